"What a column can hold, and where a fault may go: the edges that no random table happens to show."
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from dsmon_research.faults import _FACTORS, Column, _alike, _digits, _Job, _limits, _per_day, _rounded, _sentinels, _typo, applicable, apply_fault


@pytest.mark.parametrize("texts, digits", [([".5", ".25"], 2), (["1", "-3"], 0), (["1.", "2"], 0), (["1.50", "2.125", None], 3), (["0."+"1"*20], 12), ([None], 0), ([], 0)])
def test_digits_that_a_text_shows(texts, digits): assert _digits(pa.array(texts, pa.string())) == digits

@pytest.mark.parametrize("type_, low, high, digits", [(pa.int8(), -128, 127, 0), (pa.uint16(), 0, 65535, 0), (pa.int64(), -2.**63*(1-1e-12), 2.**63*(1-1e-12), 0), (pa.decimal128(5, 2), -1000, 1000, 2), (pa.float32(), -3.4028234663852886e38, 3.4028234663852886e38, None)])
def test_limits_of_a_type(type_, low, high, digits):
    got = _limits(type_)
    assert got[:2] == pytest.approx((low, high), rel=1e-11) and got[2] == digits
    if pa.types.is_decimal(type_): assert -1000 < got[0] and got[1] < 1000

def test_what_does_not_fit_is_no_value():
    c = Column(pa.array([1, 2], pa.int8()))
    assert np.array_equal(_rounded(c, np.array([127., 128., -128., -129., 2.4, np.nan])), [127, np.nan, -128, np.nan, 2, np.nan], equal_nan=True)
    assert np.array_equal(_rounded(Column(pa.array([1.], pa.float16())), np.array([65504., 65520., -7e4])), [65504, np.nan, np.nan], equal_nan=True)
    assert _rounded(Column(pa.array(["1.25"])), np.array([2.344]))[0] == 2.34

@pytest.mark.parametrize("kind", ["outliers", "unit_change", "sign_flip"])
@pytest.mark.parametrize("type_", [pa.int8(), pa.uint8(), pa.decimal128(4, 1)])
def test_a_number_stays_within_its_type(kind, type_):
    t = pa.table({"x": pa.array([Decimal(v) if pa.types.is_decimal(type_) else v for v in (100, 90, 3, 0, 7, 120)]*5, type_)})
    if kind not in applicable(t): return
    for seed in range(10):
        got = apply_fault(t, kind, 1., np.random.default_rng(seed)).table["x"]
        assert got.type == type_ and all(abs(float(v)) < 1000 for v in got.to_pylist())

def test_roles():
    import datetime as dt
    flat = {"bool": [True, False]*3, "time": [dt.time(1), dt.time(2)]*3, "span": [dt.timedelta(1), dt.timedelta(2)]*3, "bytes": [b"a", b"b"]*3}
    t = pa.table(flat | {"list": [[1], [2]]*3})
    assert [Column(t[c]).role for c in t.column_names] == ["other"]*4+["nested"]
    can = applicable(t)
    assert all(c in can["constant"] for c in flat) and "list" not in can["constant"] and "list" in can["missing"]
    assert [Column(pa.array(v)).role for v in (["1", "x"]*10, ["1"]*19+["x"], ["2024-01-01"]*20, [None, None])] == ["text", "number", "time", "empty"]

def test_the_best_option_changes_as_many_rows_as_asked():
    t = pa.table({"x": range(20)})
    can = {"few": np.arange(20) < 1, "most": np.arange(20) < 10, "none": np.arange(20) < 0}
    for seed in range(12):
        best, mask = _Job(t, .25, np.random.default_rng(seed)).best([*can], can.get)
        assert best == "most" and mask.sum() == 10
    assert _Job(t, .25, np.random.default_rng(0)).best(["none"], can.get)[0] is None
    enough = {_Job(t, .05, np.random.default_rng(s)).best(["few", "most"], can.get)[0] for s in range(12)}
    assert enough == {"few", "most"}, "one row is asked for: both do, the first of them is taken"

@pytest.mark.parametrize("values", [100, 126, 127])
def test_a_dictionary_is_widened_only_when_it_is_full(values):
    "One of two equal values is misspelt: one value more. An index of eight bits holds 127."
    t = pa.table({"a": pa.array([*(f"v{i}" for i in range(values)), *["v0"]*values]).cast(pa.dictionary(pa.int8(), pa.string()))})
    seen = set()
    for seed in range(12):
        got = apply_fault(t, "typos", 1/(2*values), np.random.default_rng(seed), "a").table
        seen.add(n := len(set(got["a"].to_pylist())))
        assert got.schema.field("a").type == pa.dictionary(pa.int32() if n > 127 else pa.int8(), pa.string())
    assert max(seen) == values+1

def test_what_changed_is_said_so_that_it_can_be_done_again():
    "Rows that moved as the row each came from, cells as the new cells: from the clean table both give the faulty one."
    t = pa.table({"a": range(40), "b": [f"w{i%7}" for i in range(40)]})
    for kind in ("dropped_rows", "duplicated_rows"):
        got = apply_fault(t, kind, .2, np.random.default_rng(2))
        assert got.cells is None and got.table.equals(t.take(pa.array(got.index)))
    for kind in ("missing", "constant", "typos"):
        got = apply_fault(t, kind, .2, np.random.default_rng(2), "b")
        assert got.index is None and [*got.cells] == [1]
        rows, new = got.cells[1]; want = t["b"].to_pylist()
        for r, v in zip(rows, new.to_pylist()): want[r] = v
        assert got.table["b"].to_pylist() == want and got.table["a"].equals(t["a"])
    got = apply_fault(t, "missing_column", 1, np.random.default_rng(2), "b")
    assert got.index is None and got.cells is None

def test_one_keystroke():
    "A neighbour on the keyboard, a letter lost, two in the wrong order, one twice; where that cannot be, one twice."
    assert [_typo("water", .2, how) for how in range(4)] == ["wster", "wter", "awter", "waater"]
    assert [_typo("A", 0, how) for how in range(4)] == ["S", "AA", "AA", "AA"] and _typo("éa", 0, 0) == "ééa" and _typo("aab", .4, 2) == "aaab" and _typo("m0", .9, 0) == "m9"

def test_what_is_drawn():
    assert {_per_day(pa.timestamp(u)) for u in ("s", "ms", "us", "ns")} == {86400, 86400*10**3, 86400*10**6, 86400*10**9} and (_per_day(pa.date32()), _per_day(pa.date64())) == (1, 86400000)
    assert [s[0].as_py() for s in _sentinels(Column(pa.array([1, 2], pa.int64())))] == [-1, -999, 99, 9999, 99999] and [s[0].as_py() for s in _sentinels(Column(pa.array([1, 2], pa.uint8())))] == [99]
    assert [str(s[0].as_py())[:10] for s in _sentinels(Column(pa.array([0], pa.date32())))] == ["1900-01-01", "1970-01-01"]
    assert {n/d for n, d in _FACTORS} == {10, 100, 1000, 60, .1, .01, .001}
    for seed in range(20):
        got = _alike("Ab-7é", np.random.default_rng(seed))
        assert got[0].isupper() and got[1].islower() and got[2] == "-" and got[3].isdigit() and len(got) == 5

def test_a_shift_and_a_cut_to_the_cell():
    t = pa.table({"a": [f"{i}" for i in range(9)], "b": ["x"]*9, "c": ["y"]*9})
    got = apply_fault(t, "shifted_columns", 1., np.random.default_rng(0), "b").table
    assert got.to_pydict() == {"a": t["a"].to_pylist(), "b": [None]*9, "c": ["x"]*9}
    widths = {int(apply_fault(pa.table({"a": ["abcdefgh"]*9}), "truncated_text", 1., np.random.default_rng(s)).record["detail"].split()[2]) for s in range(60)}
    assert widths == {4, 5, 6, 7}                                     # at least half of the letters stay
