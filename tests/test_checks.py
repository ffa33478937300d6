"Row checks: our vectorised rules against pandera's, YAML and suites there and back, what inference learns and leaves."
import datetime as dt

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings, strategies as st

from dsmon_research.checks import Checks, Rule, load_checks, pandera_rows

quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much])
words = st.sampled_from(["", "a", "B", "AA1", "N123", "x y", "é", "\n", "a\n", "1\n", " 7 ", "7", "-3", "2.50", "1e3", "nan", "inf", "true", "FALSE", "9007199254740993", "2013-02-08", "2013-02-30", "2013-02-08 06:00:00", "2013-02-08T06:00:00Z", "12:30"])
moments = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)).map(lambda t: t.replace(microsecond=0, tzinfo=dt.timezone.utc))
TYPES = {pa.string(): words, pa.int64(): st.integers(-5, 5) | st.just(2**62), pa.float64(): st.floats(-3, 3) | st.sampled_from([float("nan"), float("inf"), 2., -0.]), pa.bool_(): st.booleans(), pa.timestamp("us", "UTC"): moments}

@st.composite
def tables(draw):
    n = draw(st.integers(0, 12))
    cols = [(t, draw(st.lists(st.none() | TYPES[t], min_size=n, max_size=n))) for t in draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))]
    return pa.table({f"c{i}": pa.array(v, t) for i, (t, v) in enumerate(cols)})

limits = st.none() | st.integers(-3, 3) | st.floats(-2, 2)
times = st.none() | st.sampled_from(["1970-01-01", "2013-02-08T06:00:00Z"])

@st.composite
def rules(draw, names):
    c, kind = draw(st.sampled_from(names)), draw(st.sampled_from(["present", "type", "not_null", "range", "moments", "length", "values", "pattern", "unique", "order", "depends", "pairs", "same"]))
    some = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    low, high = draw(times if kind == "moments" else limits), draw(times if kind == "moments" else limits)
    given = dict(present={}, type=dict(type=draw(st.sampled_from(["integer", "number", "time", "boolean"]))), not_null={}, range=dict(min=low if low is not None or high is not None else 0, max=high, strict=draw(st.booleans())),
                 length=dict(min=1, max=draw(st.integers(1, 4))), values=dict(values=draw(st.lists(words | st.integers(-2, 2) | st.booleans(), min_size=1, max_size=4))),
                 pattern=dict(pattern=draw(st.sampled_from([r"\d+", r"[A-Z]{1,2}\d*", r".*", r"a|B", r"\w+", r"-?\d+(\.\d+)?"]))), depends=dict(on=some), same={})
    given["moments"] = given["range"] if kind == "moments" and (low or high) else dict(min="1970-01-01")
    if kind == "unique": return Rule(check=kind, columns=some)
    if kind == "order": return Rule(check=kind, columns=[c, draw(st.sampled_from(names))], strict=draw(st.booleans()))
    if kind == "pairs": return Rule(column=c, check="depends", on=some, pairs=[(*draw(st.tuples(*[words]*len(some))), draw(words)) for _ in range(3)])
    return Rule(column=c, check="range" if kind == "moments" else kind, **given[kind])

@quick
@given(data=st.data())
def test_agrees_with_pandera(data):
    "Row by row, whatever the types, also where a column is missing."
    t = data.draw(tables())
    checks = Checks([data.draw(rules([*t.column_names, "c9"])) for _ in range(data.draw(st.integers(1, 3)))])
    got = checks.check(t)
    assert np.array_equal(got.mask, pandera_rows(checks, t)), (checks.to_yaml(), t.to_pylist(), got.mask)
    assert got.mask.sum() == len(got.reasons()) and all(got.reasons().to_pylist())
    assert sum(f.rows.size for f in got.findings) >= got.mask.sum() and got.good.num_rows+got.bad.num_rows == t.num_rows

@quick
@given(data=st.data())
def test_yaml_there_and_back(data, tmp_path_factory):
    odd = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6) | st.sampled_from(["NO", "12:30", "1e3", "null", "&a", "*b", "- x", "a: b", "x, &y", "~", "007", "\x85", "😀"])
    r = Rule(column=data.draw(odd), check="values", values=data.draw(st.lists(odd | st.integers() | st.booleans(), min_size=1, max_size=4)), criticality=data.draw(st.sampled_from(["low", "medium", "high"])))
    file = Checks([r, Rule(columns=[data.draw(odd)], check="unique")], note=data.draw(odd)).save(tmp_path_factory.mktemp("yaml")/"rules.yaml")
    assert load_checks(file).rules[0] == r
