"Properties of every fault kind, on random, degenerate and odd tables."
import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from dsmon_research.config import UsageError, load_params
from dsmon_research.faults import KINDS, CannotApply, Fault, applicable, apply_fault, draw

CELLS = [k for k in KINDS if KINDS[k].scope == "column"]
ONE_COLUMN = [k for k in CELLS if k not in ("swapped_columns", "shifted_columns")]
KEEPS_NULLS = [k for k in ONE_COLUMN if k not in ("missing", "stale_column")]
KEEPS_TYPE = [k for k in CELLS if k not in ("wrong_type", "shifted_columns")]

iso = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)).map(lambda d: d.isoformat(" ", "seconds"))
numeric_text = st.one_of(st.integers(-10**20, 10**20).map(str), st.decimals(-1000, 1000, places=2).map(str))
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
TYPES = {
    "int8": (pa.int8(), st.integers(-128, 127)), "uint8": (pa.uint8(), st.integers(0, 255)),
    "int64": (pa.int64(), st.integers(-2**63, 2**63-1)), "uint64": (pa.uint64(), st.integers(0, 2**64-1)), "flag": (pa.int32(), st.integers(0, 1)),
    "float32": (pa.float32(), st.floats(width=32)), "float64": (pa.float64(), st.floats()), "small": (pa.float64(), st.floats(-5, 5)),
    "decimal": (pa.decimal128(12, 2), st.decimals(-10**9, 10**9, places=2)), "wide": (pa.decimal128(38, 3), st.integers(-10**34, 10**34).map(lambda i: Decimal(i)/1000)),
    "text": (pa.string(), words), "code": (pa.string(), st.sampled_from(["EWR", "JFK", "LGA"])), "large": (pa.large_string(), words), "view": (pa.string_view(), words),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "B", "é"])),
    "numeric_text": (pa.string(), numeric_text), "iso_text": (pa.string(), iso), "date_text": (pa.string(), st.dates().map(str)),
    "bytes": (pa.binary_view(), st.binary(max_size=4)), "half": (pa.float16(), st.integers(-9, 9).map(float)), "bool": (pa.bool_(), st.booleans()), "date": (pa.date32(), st.dates()), "date64": (pa.date64(), st.dates()),
    "time": (pa.timestamp("us", "UTC"), st.datetimes().map(lambda d: d.replace(tzinfo=dt.timezone.utc))), "ns": (pa.timestamp("ns"), st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1))),
    "second": (pa.timestamp("s"), st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1)).map(lambda d: d.replace(microsecond=0))),
    "binary": (pa.binary(), st.binary(max_size=4)), "clock": (pa.time32("s"), st.times().map(lambda t: t.replace(microsecond=0))), "null": (pa.null(), st.none()),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=2)), "struct": (pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": st.integers(0, 9)})),
}
TEXT_ONLY = ("text", "code", "numeric_text", "iso_text", "date_text")

@st.composite
def columns(draw_, n, types=tuple(TYPES)):
    typ, values = TYPES[draw_(st.sampled_from(types))]
    return pa.array(draw_(st.lists(st.none() | values, min_size=n, max_size=n)), typ)

@st.composite
def tables(draw_, types=tuple(TYPES), max_rows=12):
    n = draw_(st.integers(0, max_rows))
    cols = draw_(st.lists(columns(n, types), min_size=1, max_size=3))
    cols += draw_(st.sampled_from([[], cols[:1]]))
    names = [f"c{i}" for i in range(len(cols))]
    if draw_(st.booleans()) and len(names) > 1: names[-1] = names[0]
    return pa.table(cols, names=names)

def fingerprint(t): return t.schema.metadata, [(f.name, f.type, f.nullable) for f in t.schema], [bytes(b or b"") for c in t.columns for a in c.chunks for b in a.buffers()]

def cells(t): return [[str(v) if isinstance(v, (float, bytes, Decimal, dt.date, dt.time)) else v for v in column_values(c)] for c in t.columns]

def column_values(c):
    if pa.types.is_timestamp(c.type): return c.cast(pa.int64()).to_pylist()
    return c.to_pylist()

def as_shown(t, like): # columns as text where the fault turned them into text
    turned = [a.type == pa.string() and b.type != pa.string() for a, b in zip(like.columns, t.columns)]
    plain = lambda c: c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c
    return pa.table([plain(c).cast(pa.string()) if x else c for c, x in zip(t.columns, turned)], names=t.column_names)

def differs(before, after):
    a, b = cells(as_shown(before, after)), cells(after)
    return np.array([[x != y or type(x) is not type(y) for x, y in zip(p, q)] for p, q in zip(a, b)], bool).reshape(len(b), after.num_rows).T

def check(table, kind, magnitude, seed, previous=None, column=None):
    "Apply; check all that holds for every kind; None if it cannot apply."
    was = fingerprint(table)
    try: got = apply_fault(table, kind, magnitude, np.random.default_rng(seed), column, previous)
    except CannotApply:
        assert fingerprint(table) == was
        return None
    again = apply_fault(table, kind, magnitude, np.random.default_rng(seed), column, previous)
    got.table.validate(full=True)
    assert fingerprint(table) == was
    assert fingerprint(again.table) == fingerprint(got.table) and again.record == got.record and np.array_equal(again.mask, got.mask)
    assert got.mask.dtype == bool and got.mask.shape == (got.table.num_rows, got.table.num_columns)
    r, n = got.record, table.num_rows
    assert set(r) == {"kind", "family", "magnitude", "share", "column", "columns", "rows_removed", "rows_added", "rows_touched", "n_rows", "detail"}
    assert r["n_rows"] == n and r["rows_removed"] == len(got.rows_removed) and all(type(i) is int for i in got.rows_removed)
    assert 0 < r["share"] <= 1 and r["share"] == (r["rows_touched"]/n if n else 1) and isinstance(r["detail"], str) and r["detail"]
    assert all(type(v) in (str, int, float, list, type(None)) for v in r.values())
    asked = max(1, round(magnitude*n))
    if KINDS[kind].scope == "column":
        assert got.table.column_names == table.column_names and got.table.num_rows == n
        assert np.array_equal(got.mask, differs(table, got.table))
        assert 0 < r["rows_touched"] == got.mask.any(1).sum() <= asked
        assert r["columns"] and {table.column_names[i] for i in np.flatnonzero(got.mask.any(0))} <= set(r["columns"])
    if KINDS[kind].scope == "rows":
        keep = [i for i in range(n) if i not in set(got.rows_removed)]
        assert r["rows_removed"] + r["rows_added"] == r["rows_touched"] and got.mask.all(1).sum() == got.mask.any(1).sum() == r["rows_added"]
        kept, source = np.flatnonzero(~got.mask.any(1)), cells(table)
        assert [[c[i] for i in kept] for c in cells(got.table)] == [[c[i] for i in keep] for c in source]
        if kind != "lost_partition": assert r["rows_touched"] == asked
    if kind in KEEPS_TYPE: assert all(a == b or pa.types.is_dictionary(a) for a, b in zip(table.schema.types, got.table.schema.types))
    if kind in KEEPS_NULLS:
        for a, b in zip(table.columns, got.table.columns): assert a.is_null().equals(b.is_null())
    return got

quick = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
shares = st.sampled_from([.01, .05, .2, .5, 1.])

@pytest.mark.parametrize("kind", KINDS)
@quick
@given(data=st.data())
def test_random_tables(kind, data):
    "Each kind applies as promised or raises CannotApply, whatever the types."
    t = data.draw(tables())
    p = data.draw(st.sampled_from([None, t]) | tables(max_rows=8))
    check(t, kind, 1. if KINDS[kind].scope == "table" else data.draw(shares), data.draw(st.integers(0, 99)), p)

@pytest.mark.parametrize("kind", KINDS)
@quick
@given(data=st.data())
def test_text_tables(kind, data):
    "The same where everything is text, as in a published CSV."
    t = data.draw(tables(TEXT_ONLY))
    got = check(t, kind, 1. if KINDS[kind].scope == "table" else data.draw(shares), data.draw(st.integers(0, 99)), data.draw(tables(TEXT_ONLY, 8)))
    if got and kind != "repeated_update": assert set(got.table.schema.types) == {pa.string()}

@quick
@given(data=st.data())
def test_applicable_agrees(data):
    "`applicable` names exactly the columns where `apply_fault` works, for any seed."
    t, p = data.draw(tables(max_rows=8)), data.draw(tables(max_rows=8))
    can = applicable(t, p)
    for k in KINDS.values():
        names = dict.fromkeys(t.column_names) if k.needs not in ("rows", "previous") else []
        works = [c for c in names if check(t, k.name, 1., data.draw(st.integers(0, 99)), p, c)]
        assert can.get(k.name, []) == works
        assert (k.name in can) == (check(t, k.name, 1., 0, p) is not None)

def city(n=1000, text=False): # a table on which every kind applies
    r = np.random.default_rng(0)
    t = pa.table({"id": np.arange(n)+2**60, "price": np.round(r.normal(50, 9, n), 2), "rooms": r.integers(1, 9, n), "street": [f"{a} Street" for a in r.choice(["Elm", "Oak", "Bay"], n)],
                  "area": r.choice(["north", "south"], n), "sold": pa.array(1_357_000_000+r.integers(0, 86400, n), pa.timestamp("s", "UTC")), "note": [None if i % 3 else f"née {i}" for i in range(n)]})
    return pa.table([c.cast(pa.string()) for c in t.columns], names=t.column_names) if text else t

@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_magnitude_is_exact(kind, text):
    t, p = city(text=text), city(900, text).slice(200)
    for m in KINDS[kind].magnitudes if KINDS[kind].scope == "table" or kind == "lost_partition" else (.001, .0005, .01, .05, .137, .3):
        got = check(t, kind, m, 3, p)
        if KINDS[kind].scope != "table" and kind != "lost_partition": assert got.record["rows_touched"] == max(1, round(m*1000))
        elif kind == "lost_partition": assert 0 < got.record["rows_removed"] < 1000

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name,table", {
    "no rows": pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())}), "one row": pa.table({"a": [1], "b": ["x"]}), "no columns": pa.table({}),
    "all null": pa.table({"a": pa.nulls(5, pa.int64()), "b": pa.nulls(5, pa.string()), "c": pa.nulls(5)}), "one column": pa.table({"a": [1, 2, 3]}),
    "constant": pa.table({"a": [7]*6, "b": ["x"]*6}), "all nan": pa.table({"a": [float("nan")]*3, "b": [float("inf")]*3}), "empty text": pa.table({"a": ["", "", None]}),
    "same names": pa.table([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"]), "half floats": pa.table({"a": pa.array([1, 2, None], pa.float16())}),
    "extension": pa.table({"a": pa.array([b"0"*16, None, b"1"*16], pa.uuid())}), "not nullable": pa.table([pa.array([1, 2])], schema=pa.schema([pa.field("a", pa.int64(), nullable=False)])),
    "chunked": pa.table({"a": pa.chunked_array([["x"], ["y", None]]), "b": pa.chunked_array([[1, 2], [3]])}),
}.items(), ids=lambda v: v if isinstance(v, str) else "")
def test_degenerate(kind, name, table):
    for previous in (None, table, pa.table({"a": [1, 9]})):
        for seed in range(3): check(table, kind, 1. if KINDS[kind].scope == "table" else .5, seed, previous)

def test_degenerate_that_must_refuse():
    for table in (pa.table({"a": pa.array([], pa.int64())}), pa.table({"a": pa.nulls(5, pa.int64())})):
        for kind in ONE_COLUMN+["swapped_columns"]:
            with pytest.raises(CannotApply): apply_fault(table, kind, 1, np.random.default_rng(0), previous=table)
    for kind in ("constant", "swapped_columns", "stale_column", "lost_partition"):
        with pytest.raises(CannotApply): apply_fault(pa.table({"a": [7]*6}), kind, 1, np.random.default_rng(0), "a", pa.table({"a": [7]*6}))

def test_integers_stay_exact():
    big = [2**53+1, None, -(2**53+3), 2**62+1]
    t = pa.table({"i": big, "s": [v and str(v) for v in big]})
    for kind in ("missing", "implicit_missing", "sign_flip", "outliers", "wrong_type", "constant"):
        for column in "is":
            got = check(t, kind, .25, 1, column=column)
            same = [str(b) for b, m in zip(got.table[column].to_pylist(), got.mask[:, "is".index(column)]) if b is not None and not m]
            assert set(same) <= {str(v) for v in big} and len(same) == 2
    ids = pa.table({"i": [2**53+1, -(2**53+3)], "s": ["9007199254740993", "0.125"]})
    for seed in range(20):
        got = apply_fault(ids, "unit_change", 1, np.random.default_rng(seed), "i")
        num, den = (got.record["detail"].removeprefix("factor ")+"/1").split("/")[:2]
        assert got.table["i"].to_pylist() == [(v*int(num)*2+int(den))//(2*int(den)) for v in ids["i"].to_pylist()]
        got = apply_fault(ids, "unit_change", 1, np.random.default_rng(seed), "s")
        num, den = (got.record["detail"].removeprefix("factor ")+"/1").split("/")[:2]
        assert [Decimal(s) for s in got.table["s"].to_pylist()] == [Decimal(s)*int(num)/int(den) for s in ids["s"].to_pylist()]

def test_dictionary_that_is_full():
    full = pa.table({"a": pa.array([f"v{i}" for i in range(127)]+["v0"]).cast(pa.dictionary(pa.int8(), pa.string()))})
    got = check(full, "typos", 1, 0)
    assert got.mask.all() and pa.types.is_dictionary(got.table.schema.field("a").type)

def test_wrong_category_is_unknown():
    t = city()
    for seed in range(20):
        got = apply_fault(t, "wrong_category", .1, np.random.default_rng(seed), "area")
        assert len(set(got.table["area"].to_pylist())-set(t["area"].to_pylist())) == 1

def test_lost_partition_is_whole():
    t = city()
    got = check(t, "lost_partition", 1, 0, column="area")
    assert len(set(got.table["area"].to_pylist())) == 1 and got.record["rows_removed"]+got.table.num_rows == 1000
    half = check(t, "lost_partition", .5, 0, column="area")
    assert half.record["rows_removed"] == round(got.record["rows_removed"]/2)
    block = check(pa.table({"a": pa.array(range(8), pa.float64())}), "lost_partition", 1, 0)
    assert block.record["column"] is None and block.rows_removed in ([0, 1], [6, 7])

def test_metadata_stays():
    t = city().replace_schema_metadata({"bad_lines": "3"})
    for kind in KINDS:
        if kind != "repeated_update": assert apply_fault(t, kind, 1, np.random.default_rng(0), previous=city(10)).table.schema.metadata == {b"bad_lines": b"3"}

def test_shifts_keep_the_form():
    stamps = ["2013-03-10 02:30:00", "2013-03-10T02:30:00.123456Z", "2013-12-31 23:59+01:00", "2012-02-29T00"]
    for seed in range(20):
        got = check(pa.table({"t": stamps}), "shifted_timestamps", 1, seed)
        move = {dt.datetime.fromisoformat(b[:13])-dt.datetime.fromisoformat(a[:13]) for a, b in zip(stamps, got.table["t"].to_pylist())}
        assert len(move) == 1 and all(len(a) == len(b) and a[13:] == b[13:] and a[10] == b[10] for a, b in zip(stamps, got.table["t"].to_pylist()))

def test_draw():
    t, p, faults = city(), city(900), load_params().inject.faults
    drawn = [draw(t, faults, np.random.default_rng(s), p) for s in range(300)]
    assert {f.kind for f in drawn} == set(faults)
    for f in drawn[:100]:
        kind, column, magnitude = f
        assert isinstance(f, Fault) and f.family == KINDS[kind].family and magnitude in faults[kind]
        assert check(t, kind, magnitude, 0, p, column).record["column"] in (column, None)
    assert draw(t, {"repeated_update": [1.], "missing": [.1]}, np.random.default_rng(0), None).kind == "missing", "no previous update, no repetition"
    with pytest.raises(CannotApply): draw(pa.table({"a": [1]}), {"typos": [.1]}, np.random.default_rng(0))
    with pytest.raises(CannotApply): draw(t, {}, np.random.default_rng(0))

@pytest.mark.parametrize("args,words", [(("mising", .1), "unknown fault"), (("missing", 0), "above 0"), (("missing", 1.5), "at most 1"), (("missing", float("nan")), "magnitude"), (("missing_column", .5), "whole table"),
                                        (("missing", .1, "nope"), "not in the table"), (("dropped_rows", .1, "area"), "no column"), (("typos", .1, "price"), "would change nothing")])
def test_wrong_use(args, words):
    kind, magnitude, *column = args
    with pytest.raises(UsageError, match=words) as e: apply_fault(city(10), kind, magnitude, np.random.default_rng(0), *column)
    assert "\n" not in str(e.value)

def test_pandas():
    df = city(50).to_pandas()
    kept = df.copy()
    got = apply_fault(df, "missing", .1, np.random.default_rng(0), "id")
    pd.testing.assert_frame_equal(df, kept)
    assert got.table["id"].isna().sum() == 5 and all(a == b for a, b in zip(df["id"], got.table["id"]) if b is not pd.NA)
