"Row checks: our vectorised rules against pandera's, YAML and suites there and back, what inference learns and leaves."
import datetime as dt, json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from dsmon_research.checks import Checks, Rule, from_suite, load_checks, pandera_rows, says
from dsmon_research.cli import main
from dsmon_research.infer import infer
from dsmon_research.project import UsageError
from dsmon_research.separate import csv_bytes, header_bytes

quick = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much])
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
    if kind == "order": return Rule(check=kind, columns=[c, draw(st.sampled_from(names))], strict=draw(st.booleans()), slack=draw(st.sampled_from([0., 0., 1.5])))
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


def shop(n, r, extra=()):
    "A healthy update of n rows."
    zone = r.choice(["A", "B", "C"], n)
    return pa.table({"id": pa.array([f"N{i:05d}" for i in r.permutation(100_000)[:n]]), "fare": pa.array([f"{x:.2f}" for x in r.uniform(0, 90, n)]), "zone": pa.array(zone),
                     "city": pa.array([dict(A="Aix", B="Bonn", C="Cork")[z] for z in zone]), "note": pa.array([None if x < .3 else "ok" for x in r.random(n)])})

def spoilt(t, column, rows, value): return t.set_column(t.column_names.index(column), column, pa.array([value if i in rows else v for i, v in enumerate(t[column].to_pylist())], pa.string()))

def test_an_order_may_have_slack():
    t = pa.table({"a": [5., 5.5, 6.5, None], "b": [5., 5., 5., 5.]})
    rule = lambda **k: Rule(columns=("a", "b"), check="order", **k)
    bad = lambda r: Checks([r]).check(t).mask.tolist()
    assert bad(rule()) == [False, True, True, False] and bad(rule(slack=1)) == [False, False, True, False] and bad(rule(slack=.5, strict=True)) == [False, True, True, False]
    assert says(rule(slack=1)) == "`a` is greater than `b` by more than 1"
    for wrong in (dict(slack=-1.), dict(slack=float("inf"))):
        with pytest.raises(ValueError, match="slack"): rule(**wrong)
    with pytest.raises(ValueError, match="slack"): Rule(column="a", check="not_null", slack=1.)

def test_order_is_learned_with_the_publishers_own_contradictions():
    r = np.random.default_rng(4)
    def day(k):
        b = r.integers(100, 3000, 60)
        a = (b*r.uniform(.7, .95, 60)).astype(int)
        return pa.table({"first": a, "all": b, "id": np.arange(60)+60*k})
    order = [x for x in infer([day(k) for k in range(16)]).rules if x.check == "order"]
    assert len(order) == 1 and order[0].columns == ("first", "all") and 1 <= order[0].slack <= 4 # a hundredth of some 250

def test_inferred_rules_find_what_is_wrong():
    r = np.random.default_rng(0)
    past, later = [shop(400, r) for _ in range(24)], [shop(400, r) for _ in range(12)]
    checks = infer(past, ["id"])
    assert {"not_null id", "type fare", "range fare", "values zone", "unique id", "depends zone, city", "depends city, zone", "pattern id", "present note"} & {x.name for x in checks.rules} >= {"not_null id", "type fare", "range fare", "values zone", "unique id"}
    assert sum(checks.check(t).mask.sum() for t in later) <= .001*12*400
    t = later[0]
    for column, value in (("fare", "-3"), ("fare", "9000"), ("fare", "n/a"), ("fare", None), ("zone", "Z"), ("zone", None), ("id", None), ("id", "x7"), ("city", "Bon\ufffd")):
        got = checks.check(spoilt(t, column, {3, 9, 11}, value))
        assert np.flatnonzero(got.mask).tolist() == [3, 9, 11], (column, value, got.text())
    assert checks.check(t.drop_columns(["zone"])).mask.all()
    assert np.flatnonzero(checks.check(pa.concat_tables([t, t.slice(5, 2)])).mask).tolist() == [400, 401]

def test_inference_sees_only_what_it_is_given():
    r = np.random.default_rng(1)
    past = [shop(100, r) for _ in range(16)]
    assert infer(past).to_yaml() == infer([t.slice(0) for t in past]).to_yaml()
    moving = [pa.table({"meter": [100*k+i for i in range(50)], "hour": [i % 24 for i in range(50)]}) for k in range(16)]
    rules = {x.column: x for x in infer(moving).rules if x.check == "range"}
    assert rules["meter"].max >= 4*1549 and (rules["hour"].min, rules["hour"].max) == (0, 23)

@pytest.mark.parametrize("tables", [[pa.table({"a": [1]})], [pa.table({"a": ["x", None]}), pa.table({"b": [1.5]})], [pa.table({"a": pa.nulls(5), "l": [[1]]*5, "b": [True]*5})], [pa.table({"a": [1, 2]}), pa.table({"a": ["x", "y"]})]*6,
                                    [pa.table({"a": [float("nan"), float("inf"), -0.]})]*9, [pa.table([[1, 2], [3, 4]], names=["a", "a"])]*8])
def test_odd_pasts(tables):
    checks = infer(tables)
    for t in tables: checks.check(t).to_dict()

def test_no_rows_is_no_past():
    for tables in ([], [pa.table({})], [pa.table({"a": pa.array([], pa.int64())})]):
        with pytest.raises(UsageError, match="no rows to learn"): infer(tables)

@pytest.mark.parametrize("text,words", [("rules: 3", "must be a list"), ("rules:\n- {check: range, column: a}", "rule 1: check 'range' needs `min`"), ("rules:\n- {check: pattern, column: a, pattern: '('}", "rule 1: pattern"),
                                        ("rules:\n- {check: values, column: a, values: [1], colour: red}", "rule 1, colour"), ("rules:\n- {check: order, columns: [a]}", "two `columns`"), ("rules: [", "line"), ("rules:\n- {check: nonsense}", "rule 1, check")])
def test_yaml_errors_are_one_line(tmp_path, text, words):
    (tmp_path/"r.yaml").write_text(text)
    with pytest.raises(UsageError, match=words) as e: load_checks(tmp_path/"r.yaml")
    assert "\n" not in str(e.value)

def test_suite_of_both_generations(tmp_path):
    k = dict(column="fare", min_value=0, max_value=9, mostly=.9)
    for kind, name in (("expectation_type", "expectation_suite_name"), ("type", "name")):
        got = from_suite({name: "s", "expectations": [{kind: "expect_column_values_to_be_between", "kwargs": k}, {kind: "expect_column_values_to_match_regex", "kwargs": dict(column="id", regex="^N")}, {kind: "expect_table_row_count_to_be_between", "kwargs": {}}]})
        assert [(x.check, x.criticality) for x in got.rules] == [("range", "low"), ("pattern", "medium")] and len(got.skipped) == 1 and "suite s" in got.note
        assert got.check(pa.table({"fare": [1, 10], "id": ["N1", "M1"]})).mask.tolist() == [False, True]
    (tmp_path/"s.json").write_text("{")
    with pytest.raises(UsageError, match="mend the JSON"): load_checks(tmp_path/"s.json")

def test_hostile_text_is_inert():
    evil = "<script>alert(1)</script>\u202e"
    got = Checks([Rule(column=evil, check="not_null")]).check(pa.table({evil: pa.array([None, evil])}))
    assert "<script" not in got._repr_html_() and "\u202e" not in got.text()+got.reasons()[0].as_py() and "\n" not in got.reasons()[0].as_py()

def cli(capsys, *args): code = main([str(a) for a in args]); got = capsys.readouterr(); return code, got.out, got.err

def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path); monkeypatch.setenv("DSMON_ARCHIVE", f"sqlite:///{tmp_path}/archive.db")
    r, raw = np.random.default_rng(2), tmp_path/"raw-data"; raw.mkdir(); (tmp_path/"past").mkdir()
    write = lambda t, to: to.write_bytes(header_bytes(t.column_names, ",")+csv_bytes(t))
    for i in range(12): write(shop(60, r), tmp_path/f"past/2026-01-{i+1:02d}.csv")
    assert cli(capsys, "check", "--infer", "past", "--key", "id", "--out", "rules.yaml")[0] == 0
    write(t := shop(60, r), raw/"good.csv"); write(spoilt(t, "zone", {0, 7}, "Q"), raw/"mixed.csv")
    assert cli(capsys, "check", raw/"good.csv", "--rules", "rules.yaml")[0] == 0
    code, out, _ = cli(capsys, "check", raw, "--rules", "rules.yaml", "--good", "g", "--bad", "b", "--json")
    assert code == 3 and [f["bad"] for f in json.loads(out)["files"]] == [0, 2] and len((tmp_path/"b/mixed.csv").read_text().splitlines()) == 3
    code, out, err = cli(capsys, "ingest", "--raw", raw, "--rules", "rules.yaml", "--json")
    assert code == 3 and sorted(f["bad"] for f in json.loads(out)["files"]) == [0, 2] and not list(raw.iterdir()) and (tmp_path/"ingest_reports/index.html").is_file()
    assert cli(capsys, "ingest", "--raw", raw, "--rules", "rules.yaml", "--once")[0] == 0
    for args, words in ((("check", "nope.csv", "--rules", "rules.yaml"), "no such file"), (("check", "past"), "--rules"), (("check", "past", "--rules", "none.yaml"), "no such file"), (("check", "past", "--rules", "rules.yaml", "--good", "g"), "both folders"),
                        (("check", "--infer", "past"), "--out"), (("ingest",), "--raw"), (("ingest", "--raw", "none", "--rules", "rules.yaml"), "no such folder"), (("ingest", "--raw", raw, "--rules", "rules.yaml", "--every", "1x"), "60s")):
        code, _, err = cli(capsys, *args)
        assert code == 2 and words in err and err.count("\n") == 1, (args, err)
