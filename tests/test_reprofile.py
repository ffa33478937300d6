"A variant re-profiled is a variant profiled from scratch: to the last bit, for every kind of fault, on random, degenerate and real tables."
import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from dsmon_research import inject, read
from dsmon_research.collect import updates
from dsmon_research.config import Inject, UsageError, rng
from dsmon_research.faults import KINDS, CannotApply, Injected, apply_fault
from dsmon_research.profile import profile_small
from dsmon_research.reprofile import Prepared, reprofile

KEYS = dict(flights=["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"], weather=["origin", "time_hour"])
WORDS = ["", " ", "a", "EWR", "N123AA", "12", " 7.5", "-0", "1e3", "1.0", "1", "nan", "\f5", "\v6", "\x1c", "2013-02-08", "2013-02-08 05:00:00", "été", "\u2003", "\U0001f600 ok", "x\ny", "#VALUE!"]
STAMPS = [dt.datetime(2013, 2, 8, h) for h in range(6)]
TYPES = {
    "int8": (pa.int8(), [-1, 0, 3]), "int64": (pa.int64(), list(range(40))), "big": (pa.int64(), [2**53+1, 2**62, 5, 2, -2**60]), "uint64": (pa.uint64(), [0, 7, 2**64-1]),
    "float32": (pa.float32(), [.1, -2.5, 0., float("inf")]), "float64": (pa.float64(), [.1, .2, .3, 1e6, -7.25, float("nan")]), "zeros": (pa.float64(), [0., -0., 1.]),
    "huge": (pa.float64(), [1e300, -1e200, 3.]), "tiny": (pa.float64(), [1e-300, 2e-200, 0.]), "decimal": (pa.decimal128(12, 2), [Decimal("1.25"), Decimal("-3"), Decimal("10.5")]),
    "text": (pa.string(), WORDS), "code": (pa.string(), ["EWR", "JFK", "LGA"]), "plates": (pa.string(), [f"N{i}UA" for i in range(300)]), "large": (pa.large_string(), WORDS),
    "numeric_text": (pa.string(), [f"{i/4}" for i in range(30)]+["1.50", "01.5"]), "iso_text": (pa.string(), [str(s) for s in STAMPS]), "date_text": (pa.string(), ["2013-01-02", "2014-01-02"]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["a", "B", "é"]), "bool": (pa.bool_(), [True, False]), "date": (pa.date32(), [s.date() for s in STAMPS]+[dt.date(1999, 1, 1)]),
    "time": (pa.timestamp("us", "UTC"), STAMPS), "binary": (pa.binary(), [b"", b"ab"]), "list": (pa.list_(pa.int64()), [[1], [2, 3]]), "null": (pa.null(), [None]),
}


def same(a, b):
    "Nothing differs: metrics, types, sketches, quantile grids, trigrams, row and key hashes, table metrics."
    assert a.table == b.table and a.name == b.name
    assert np.array_equal(a.rows, b.rows) and (a.keys is None) == (b.keys is None) and (a.keys is None or np.array_equal(a.keys, b.keys))
    assert [(c.name, c.type) for c in a.columns] == [(c.name, c.type) for c in b.columns]
    for c, d in zip(a.columns, b.columns):
        assert c.metrics == d.metrics, c.name
        assert (c.sketch.level, c.sketch.total) == (d.sketch.level, d.sketch.total) and np.array_equal(c.row_hash, d.row_hash), c.name
        assert np.array_equal(c.sketch.hashes, d.sketch.hashes) and np.array_equal(c.sketch.counts, d.sketch.counts), c.name
        assert (c.grid is None) == (d.grid is None) and (c.grid is None or np.array_equal(c.grid, d.grid, equal_nan=True)), c.name
        assert (c.grams is None) == (d.grams is None), c.name
        if c.grams is not None: assert all(np.array_equal(getattr(c.grams, k), getattr(d.grams, k)) for k in ("level", "hashes", "counts", "total")), c.name


def scratch(table, key, previous, name="", max_values=4096):
    return profile_small(table, key if set(key or []) <= set(table.column_names) else None, previous, name, max_values)


def check(table, before, key, r, each=1, kinds=KINDS, max_values=4096):
    "Every kind and magnitude that can be applied; returns the kinds that could."
    previous = before if before is None else scratch(before, key, None, max_values=max_values)
    p, variants, done = Prepared(table, key, previous, "update", max_values), [], set()
    same(p.profile, scratch(table, key, previous, "update", max_values))
    for kind in kinds:
        for magnitude in KINDS[kind].magnitudes:
            for _ in range(each):
                try: variants.append((apply_fault(table, kind, magnitude, r, None, before), previous, before))
                except CannotApply: continue
                done.add(kind)
    for (got, *_), profile in zip(variants, reprofile(p, variants), strict=True): same(profile, scratch(got.table, key, previous, "update", max_values))
    for v in variants[::7]: same(reprofile(p, [v])[0], scratch(v[0].table, key, previous, "update", max_values))
    return done


@pytest.mark.parametrize("name,days", [("flights", (3, 38)), ("weather", (5, 200))])
def test_real_days(name, days):
    ups, done = list(updates(f"example:{name}")), set()
    for d in days: done |= check(ups[d].read(), ups[d-1].read(), KEYS[name], rng(1, name, d), 2)
    assert len(set(KINDS)-done) <= 4


def random_table(r, n, names):
    cols = []
    for t in names:
        typ, values = TYPES[t]
        pick = r.integers(-max(1, len(values)//8), len(values), n)
        cols.append(pa.array([None if i < 0 else values[i] for i in pick], typ))
    return pa.table(cols, names=[f"c{i}" for i in range(len(cols))])


@pytest.mark.parametrize("seed", range(12))
def test_random_tables_of_all_types(seed):
    r = rng(seed, "reprofile")
    names = r.permutation(list(TYPES))[:8].tolist()
    n = int(r.choice([1, 2, 30, 200]))
    check(random_table(r, n, names), random_table(r, int(r.choice([0, 5, 200])), names), ["c0", "c1"] if seed % 2 else None, r)


@pytest.mark.parametrize("kind", list(TYPES))
def test_a_column_of_each_type(kind):
    r = rng(7, kind)
    check(random_table(r, 60, [kind, "int64"]), random_table(r, 40, [kind, "int64"]), ["c1"], r, 2)


def test_sampled_sketches():
    r = rng(3, "sketch")
    check(random_table(r, 300, ["plates", "int64", "float64"]), None, None, r, max_values=16)


def test_more_texts_than_are_measured():
    n = 21_000
    t = pa.table({"id": [f"k{i}" for i in range(n)], "x": np.arange(n) % 7})
    check(t, None, ["id"], rng(4, "many"), kinds=["dropped_rows", "duplicated_rows", "typos", "constant"])


def test_more_texts_than_are_measured_come_by_a_fault():
    n = 20_010
    t = pa.table({"id": [f"k{i % 19_990}" for i in range(n)], "x": np.arange(n) % 7})
    at = np.arange(19_980, n)
    cells = {0: (at, pa.array([f"new{i}" for i in at]))}
    changed = t.set_column(0, "id", pa.chunked_array([t["id"].slice(0, 19_980).combine_chunks(), cells[0][1]]))
    same(reprofile(Prepared(t), [(Injected(changed, None, {}, [], cells=cells), None, None)])[0], profile_small(changed))


def test_lines_that_do_not_fit():
    a = random_table(rng(5, "lines"), 40, ["code", "int64", "text"]).replace_schema_metadata({"bad_lines": "3"})
    assert check(a, a.slice(0, 20), ["c1"], rng(6, "lines"), 2) >= {"missing_column", "dropped_rows", "repeated_update"}
    assert Prepared(a).profile.table["bad_line_share"] == 3/40


def test_the_update_before_is_too_large_to_hash_each_row():
    t = random_table(rng(5, "large"), 40, ["code", "int64"])
    old = t.slice(0, 30)
    before = profile_small(old, ["c1"])
    before = replace(before, table={k: before.table[k] for k in ("rows", "columns", "duplicate_share", "key_violation_share")}, rows=None, keys=None)
    p, r = Prepared(t, ["c1"], before), rng(6, "large")
    for kind in ("missing", "dropped_rows", "missing_column", "repeated_update"):
        got = apply_fault(t, kind, 1. if kind in ("missing_column", "repeated_update") else .2, r, None, old)
        profile = reprofile(p, [(got, before, old)])[0]
        if kind != "repeated_update": same(profile, scratch(got.table, ["c1"], before))
        assert "schema_changes" in profile.table and "same_share" not in profile.table


@pytest.mark.parametrize("engine", [False, True])
def test_variants_of_a_large_update_are_profiled_one_by_one(monkeypatch, engine):
    p = Inject(seeds=2, prevalence=.2, max_duration=2, probes=1, faults={"missing": [.1], "repeated_update": [1.], "dropped_rows": [.2], "missing_column": [1.]})
    walk = lambda: list(inject._walk(list(updates("example:weather"))[:8], KEYS["weather"], p, 1, "weather", 2, 4096))
    usual = walk()
    monkeypatch.setattr(inject, "LARGE", 5)
    if engine: monkeypatch.setattr(read, "LARGE", 5)
    for (rec, a, _), (other, b, _) in zip(usual, walk(), strict=True):
        assert rec == other and [c.name for c in a.columns] == [c.name for c in b.columns]
        if engine: assert b.rows is None and a.table["rows"] == b.table["rows"] and a.table.get("schema_changes") == b.table.get("schema_changes")
        else: same(a, b)


def test_agreement_of_a_long_table():
    "Only blocks of its rows are looked at: the same ones from scratch."
    r, n = rng(7, "long"), 9000
    item = r.integers(0, 300, n)
    t = pa.table(dict(invoice=np.sort(r.integers(0, 900, n)), item=item, name=[f"n{k}" for k in item], price=item*.5, amount=r.integers(1, 9, n)))
    p, agreed = Prepared(t), lambda profile: [c.metrics.get("agreement") for c in profile.columns]
    for kind, size in (("missing", .1), ("typos", .1), ("dropped_rows", .1), ("missing_column", 1.)):
        v = apply_fault(t, kind, size, rng(8, kind))
        assert agreed(reprofile(p, [(v, None, None)])[0]) == agreed(profile_small(v.table)) != agreed(p.profile)


def test_repeated_column_names():
    a = random_table(rng(5, "names"), 40, ["code", "int64", "code"]).rename_columns(["x", "y", "x"])
    check(a, a.slice(0, 20), ["x"], rng(6, "names"), 3)


@pytest.mark.parametrize("table", [pa.table({}), pa.table({"x": pa.array([], pa.int64()), "s": pa.array([], pa.string())}), pa.table({"x": pa.nulls(3), "s": pa.nulls(3, pa.string())}),
                                   pa.table({"x": pa.chunked_array([[1, 2], [None, 2]])})])
def test_degenerate_tables(table):
    for previous in (None, pa.table({"x": [1, 2]}), table): check(table, previous, None, rng(8, "odd"))
    same(reprofile(Prepared(table), [(Injected(table, None, {}, [], cells={}), None, None)])[0], profile_small(table))


def test_rows_in_any_order_and_number():
    r, t = rng(9, "rows"), random_table(rng(9, "t"), 50, ["code", "float64", "text", "time"])
    p, previous = Prepared(t, ["c0"]), profile_small(t.slice(5, 20), ["c0"])
    for index in (np.arange(50)[::-1], r.integers(0, 50, 80), np.empty(0, np.int64), np.zeros(9, np.int64)):
        got = reprofile(p, [(Injected(None, None, {}, [], index=index), previous, None)])[0]
        same(got, profile_small(t.take(index), ["c0"], previous))


def test_keys_that_change():
    t = pa.table({"k": [1, 2, 3, 4, 5, 6], "v": list("aabbcc")})
    previous, p = profile_small(t, ["k"]), Prepared(t, ["k"])
    for rows, new in (([0], [2]), ([0, 1], [None, None]), ([2], [99])):
        changed = t.set_column(0, "k", pa.array([dict(zip(rows, new)).get(i, v) for i, v in enumerate(t["k"].to_pylist())], pa.int64()))
        cells = {0: (np.array(rows), pa.array(new, pa.int64()))}
        same(reprofile(p, [(Injected(changed, None, {}, [], cells=cells), previous, None)])[0], profile_small(changed, ["k"], previous))


def test_the_key_is_gone():
    t = pa.table({"k": [1, 2], "v": [3, 4]})
    got = apply_fault(t, "missing_column", 1., rng(0), "k")
    same(reprofile(Prepared(t, ["k"]), [(got, None, None)])[0], profile_small(got.table))
    with pytest.raises(UsageError): Prepared([1, 2])


@pytest.mark.parametrize("name,n", [("weather", 20), ("flights", 12)])
def test_columns_settled_with_those_of_other_updates(name, n):
    "Every block of updates gives what one update at a time gives; the walk ends in the middle of a block."
    p = Inject(seeds=2, prevalence=.4, max_duration=3, probes=1, faults={k: v.magnitudes for k, v in KINDS.items()})
    walk = lambda block: [(rec, prof) for rec, prof, _ in inject._walk(list(updates(f"example:{name}"))[:n], KEYS[name], p, 1, name, 2, 4096, block)]
    one = walk(1)
    assert {r["role"] for r, _ in one} == {"stream", "after", "probe"}
    for block in (3, 8):
        for (rec, a), (other, b) in zip(one, walk(block), strict=True):
            assert rec == other and all(c.metrics and c.sketch for c in b.columns)
            same(a, b)
