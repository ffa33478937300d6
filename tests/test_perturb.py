"The errors of the two published benchmarks: exact shares, exact masks, one seed one table, and re-profiled as from scratch."
import os, tarfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from dsmon_research import perturb as pt
from dsmon_research.config import UsageError, rng
from dsmon_research.faults import KINDS, CannotApply, Column, apply_fault
from dsmon_research.perturb import MAGNITUDES, PERTURBATIONS, hit, known, track_a
from dsmon_research.profile import profile_small
from dsmon_research.read import read_table
from dsmon_research.reprofile import Prepared, reprofile
from test_faults import cells, city, fingerprint, tables
from test_reprofile import random_table, same, TYPES

CELLS = [k for k in PERTURBATIONS if PERTURBATIONS[k].scope == "column"]
RECORD = {"kind", "family", "magnitude", "share", "column", "columns", "rows_removed", "rows_added", "rows_touched", "n_rows", "detail"}
HOW = {"none_text": [{}], "number_99999": [{}], "number_anomaly": [{}], "swapped_with": [{}], "keyboard_typos": [{}]}


def number(t): return pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t)


def seen_as(c, t):
    "A column as it would be shown in type t, which it took."
    c = c.combine_chunks()
    if pa.types.is_dictionary(c.type): c = c.dictionary_decode()
    if pa.types.is_dictionary(t): t = t.value_type
    if c.type == t: return pa.table({"c": c})
    return pa.table({"c": pc.cast(c.cast(pa.float32()) if c.type == pa.float16() else c, t)})


def differs(before, after):
    "Cells that are not the same, by plain Python values."
    got = [[x != y or isinstance(x, str) != isinstance(y, str) for x, y in zip(cells(seen_as(a, b.type))[0], cells(seen_as(b, b.type))[0])]
           for a, b in zip(before.columns, after.columns)]
    return np.array(got, bool).reshape(after.num_columns, after.num_rows).T


def check(table, kind, magnitude, seed, column, how):
    "Apply; check all that holds for every kind; None if it cannot apply."
    was, run = fingerprint(table), lambda: apply_fault(table, known(kind), magnitude, rng(seed, kind), column, **how)
    try: got = run()
    except CannotApply:
        assert fingerprint(table) == was
        return None
    again, r, n = run(), got.record, table.num_rows
    got.table.validate(full=True)
    assert fingerprint(table) == was and fingerprint(again.table) == fingerprint(got.table)
    assert again.record == r and np.array_equal(again.mask, got.mask)
    assert set(r) == RECORD and r["kind"] == kind and r["magnitude"] == magnitude and r["column"] == column and r["n_rows"] == n and r["detail"]
    assert all(type(v) in (str, int, float, list, type(None)) for v in r.values()) and r["share"] == r["rows_touched"]/n
    if known(kind).scope == "column":
        assert got.table.column_names == table.column_names and got.table.num_rows == n and got.index is None
        assert np.array_equal(got.mask, differs(table, got.table))
        assert {table.column_names[i] for i in np.flatnonzero(got.mask.any(0))} <= set(r["columns"]) and set(got.cells) == set(np.flatnonzero(got.mask.any(0)))
        assert 0 < r["rows_touched"] == got.mask.any(1).sum() and (kind == "characters" or r["rows_touched"] <= max(1, round(magnitude*n)))
        assert all(len(rows) == len(new) and np.array_equal(rows, np.flatnonzero(got.mask[:, i])) for i, (rows, new) in got.cells.items())
    return got


def profiled(table, got, key=None, before=None):
    "The variant re-profiled is the variant profiled from scratch."
    previous = before if before is None else profile_small(before, key)
    same(reprofile(Prepared(table, key, previous, "u"), [(got, previous, before)])[0], profile_small(got.table, key, previous, "u"))


quick = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("kind", CELLS)
@quick
@given(data=st.data())
def test_random_tables(kind, data):
    "Any types, nulls, repeated names: the promises hold, or it refuses."
    t = data.draw(tables())
    column = data.draw(st.sampled_from(t.column_names))
    check(t, kind, data.draw(st.sampled_from([.01, .1, .3, .8, 1.])), data.draw(st.integers(0, 99)), column, data.draw(st.sampled_from(HOW[kind])))


@pytest.mark.parametrize("seed", range(8))
def test_reprofiled_random_tables(seed):
    r = rng(seed, "perturb")
    t, before = (random_table(r, n, r.permutation(list(TYPES))[:7].tolist()) for n in (int(r.choice([1, 30, 150])), 40))
    for kind in PERTURBATIONS:
        for column in t.column_names:
            for how in HOW[kind]:
                got = check(t, kind, .3, seed, None if known(kind).needs == "rows" else column, how)
                if got: profiled(t, got, ["c0", "c1"] if seed % 2 else None, before)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("magnitude", [.001, *MAGNITUDES])
def test_shares_are_exact(text, magnitude):
    t = city(text=text)
    errors = track_a(t, ["price", "rooms"], [("price", "rooms"), ("street", "area"), ("price", "street"), ("sold", "rooms"), ("id", "price")], ["street", "note"])
    assert len(errors) == 7+7+2+5+2
    for e in errors:
        got, c = hit(t, e, magnitude, rng(1, *e)), Column(t[e.column])
        asked, can = max(1, round(magnitude*1000)), int(c.valid.sum()) if e.error != "swapped text columns" else 1000
        if e.kind == "swapped_with": can = int((pt._unequal(c.array, Column(t[e.partner]).array)).sum())
        assert got.record["rows_touched"] == min(asked, can) and abs(got.record["share"]*1000-min(magnitude*1000, can)) <= 1
        assert np.array_equal(got.mask, differs(t, got.table))
        if text: assert got.table.schema == t.schema
        profiled(t, got)


def test_typed_columns_keep_what_they_can():
    t = pa.table({"i": pa.array([1, 2, 3], pa.int32()), "f": [1., 2.5, 4.], "d": pa.array([Decimal("1.25"), Decimal("7"), None], pa.decimal128(9, 2)), "big": pa.array([2**53+1, 5, 6], pa.int64()),
                  "s": ["a", "2", None], "when": pa.array([0, 1, 2], pa.timestamp("s"))})
    def types(a, b, m=1.): return [hit(t, pt.Error("", "swapped_with", a, b), m, rng(1)).table.schema.field(n).type for n in (a, b)]
    assert types("i", "f") == [pa.float64(), pa.float64()]
    assert types("i", "d") == [pa.float64(), pa.decimal128(9, 2)]
    assert types("i", "s") == types("i", "when") == types("s", "when") == [pa.string(), pa.string()]
    assert types("big", "i") == [pa.int64(), pa.int64()] and types("big", "f") == [pa.string(), pa.string()]
    assert hit(t, pt.Error("", "swapped_with", "big", "f"), 1, rng(3)).table["f"].to_pylist() == ["9007199254740993", "5", "6"]
    whole = pa.table({"i": pa.array([1, 2], pa.int32()), "f": [3., 4.]})
    assert hit(whole, pt.Error("", "swapped_with", "i", "f"), 1, rng(0)).table.schema == whole.schema


def test_a_swap_is_a_swap():
    t = city()
    for a, b in (("rooms", "price"), ("street", "area"), ("price", "area"), ("sold", "id")):
        got = hit(t, pt.Error("", "swapped_with", a, b), .3, rng(1, a))
        rows, text = np.flatnonzero(got.mask.any(1)), lambda c: pc.cast(c, pa.string()).to_pylist()
        as_number = number(t.schema.field(a).type) and number(t.schema.field(b).type)
        show = (lambda c: c.cast(pa.float64()).to_pylist()) if as_number else text
        assert [show(got.table[n].take(rows)) for n in (b, a)] == [show(t[n].take(rows)) for n in (a, b)]


def test_sentinels_are_exact():
    t = city()
    assert set(pc.unique(hit(t, pt.Error("", "none_text", "area"), 1, rng(0)).table["area"]).to_pylist()) == {"NONE"}
    assert set(hit(t, pt.Error("", "number_99999", "rooms"), 1, rng(0)).table["rooms"].to_pylist()) == {99999}
    assert set(hit(city(text=True), pt.Error("", "number_99999", "price"), 1, rng(0)).table["price"].to_pylist()) == {"99999"}
    for a in (pa.array([1, 2], pa.int8()), pa.array([99999, 99999]), pa.array(["99999"]*2), pa.array([Decimal(1)], pa.decimal128(5, 2)), pa.nulls(2, pa.int64())):
        with pytest.raises(CannotApply): hit(pa.table({"a": a}), pt.Error("", "number_99999", "a"), 1, rng(0))
    with pytest.raises(CannotApply): hit(pa.table({"a": ["NONE", None]}), pt.Error("", "none_text", "a"), 1, rng(0))


def test_anomalies_are_gaussian():
    x = rng(1, "x").normal(50, 4, 4000)
    for seed in range(10):
        got = hit(pa.table({"x": x, "y": np.arange(4000)}), pt.Error("", "number_anomaly", "x"), .8, rng(seed))
        new, factor = got.table["x"].to_numpy()[got.mask[:, 0]], float(got.record["detail"].split()[1])
        assert 2 <= factor <= 5 and abs(new.std()/x.std()-factor) < .06*factor and abs(new.mean()-x.mean()) < .1*factor*x.std()
    price = hit(city(text=True), pt.Error("", "number_anomaly", "price"), 1, rng(0)).table["price"].to_pylist()
    assert {len(s.partition(".")[2]) for s in price} <= {0, 1, 2} and all(s == f"{Decimal(s):f}" for s in price)
    with pytest.raises(CannotApply): hit(pa.table({"x": [.1]*9}), pt.Error("", "number_anomaly", "x"), 1, rng(0))


def test_typos_are_neighbours():
    assert all(b in pt._around(a) for b in pt._AT for a in pt._around(b))
    assert set(pt._around("g")) == set("fhtyvb") and set(pt._around("1")) == set("2q") and set(pt._around("p")) == set("o0l")
    t = pa.table({"s": ["Zürich West 12", "a", "...", None, "\U0001f600 ok", ""]*300})
    got = hit(t, pt.Error("", "keyboard_typos", "s"), 1, rng(5))
    n = wrong = 0
    for a, b in zip(t["s"].to_pylist(), got.table["s"].to_pylist()):
        if not a or a == "...": assert a == b; continue
        moved = [(x, y) for x, y in zip(a, b) if x != y]
        assert len(a) == len(b) and moved and all(y.lower() in pt._around(x.lower()) and (x.isupper() == y.isupper() or y.isdigit()) for x, y in moved)
        if len(a) == 14: n += 11; wrong += len(moved)
    assert .11 < wrong/n < .15  # a tenth, and at least one of eleven letters


def test_reading_of_track_a():
    t = city(text=True)
    kinds = {e.column: e.kind for e in track_a(t, [], [], []) if e.error == "implicit missing"}
    assert kinds == dict(id="number_99999", price="number_99999", rooms="number_99999", street="none_text", area="none_text", sold="none_text", note="none_text")
    with pytest.raises(UsageError, match="Quantity"): track_a(t)
    with pytest.raises(UsageError, match="not in the table"): hit(t, pt.Error("", "swapped_with", "id", "nowhere"), 1, rng(0))
    with pytest.raises(UsageError, match="unknown error"): known("nothing")


def test_nothing_is_ever_drawn():
    "Whatever was imported: backtests draw from `KINDS` only, and names do not meet."
    assert not set(PERTURBATIONS) & set(KINDS) and known("missing") is KINDS["missing"]


needs_data = pytest.mark.skipif("DSMON_DATA" not in os.environ, reason="DSMON_DATA is not set")


@pytest.fixture(scope="module")
def retail(tmp_path_factory):
    "Three days of Online Retail, as published."
    to = tmp_path_factory.mktemp("retail")
    with tarfile.open(Path(os.environ["DSMON_DATA"])/"online_retail_by_day/by_day.tar.xz") as tar:
        for m in tar:
            if m.name in ("2010-12-01.csv", "2010-12-02.csv", "2010-12-03.csv"): tar.extract(m, to, filter="data")
            if m.name > "2010-12-03.csv": break
    return [read_table(f) for f in sorted(to.iterdir())]


@needs_data
def test_track_a_on_retail(retail):
    errors = track_a(retail[0])
    assert len(errors) == 24
    day, before = retail[1], profile_small(retail[0])
    p, variants = Prepared(day, None, before, "u"), []
    for e in errors:
        for m in MAGNITUDES:
            got = hit(day, e, m, rng(1, *e, m))
            assert got.table.schema == day.schema and np.array_equal(got.mask, differs(day, got.table))
            valid = day.num_rows-day[e.column].null_count*(e.kind != "swapped_with")
            assert abs(got.record["rows_touched"]-min(m*day.num_rows, valid)) <= 1
            variants.append((got, before, retail[0]))
    for v, profile in zip(variants, reprofile(p, variants), strict=True): same(profile, profile_small(v[0].table, None, before, "u"))
