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
from dsmon_research.perturb import MAGNITUDES, PERTURBATIONS, avh_perturbations, hit, known, perturb, track_a
from dsmon_research.profile import profile_small
from dsmon_research.read import read_table
from dsmon_research.reprofile import Prepared, reprofile
from conftest import BIN, run
from test_faults import cells, city, fingerprint, tables
from test_reprofile import random_table, same, TYPES

RECORD = {"kind", "family", "magnitude", "share", "column", "columns", "rows_removed", "rows_added", "rows_touched", "n_rows", "detail"}
HOW = {"none_text": [{}], "number_99999": [{}], "number_anomaly": [{}], "swapped_with": [{}], "keyboard_typos": [{}], "mixed_schema": [{}],
       "resized": [{"factor": f} for f in (2, 10, 2.5, .5, .1)], "sorted_part": [{"end": e} for e in ("head", "tail")],
       "characters": [{"how": h} for h in ("replace", "insert", "delete")], "padded": [{"side": s} for s in ("left", "right")]}


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
    if known(kind).scope == "rows":
        assert got.cells is None and np.array_equal(got.index, np.sort(got.index)) and got.table.num_rows == len(got.index)
        assert [[c[i] for i in got.index] for c in cells(table)] == cells(got.table)
        assert r["rows_removed"] == n-len(set(got.index)) and r["rows_added"] == len(got.index)-len(set(got.index)) == got.mask.all(1).sum() and r["rows_touched"] > 0
    return got


def profiled(table, got, key=None, before=None):
    "The variant re-profiled is the variant profiled from scratch."
    previous = before if before is None else profile_small(before, key)
    same(reprofile(Prepared(table, key, previous, "u"), [(got, previous, before)])[0], profile_small(got.table, key, previous, "u"))


quick = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("kind", PERTURBATIONS)
@quick
@given(data=st.data())
def test_random_tables(kind, data):
    "Any types, nulls, repeated names: the promises hold, or it refuses."
    t = data.draw(tables())
    column = data.draw(st.sampled_from(t.column_names))
    column = None if known(kind).needs == "rows" else column
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


def test_mixed_values_come_from_the_neighbour():
    t = city()
    for name, other in (("id", "price"), ("price", "rooms"), ("rooms", "price"), ("street", "area"), ("note", "area"), ("sold", "note")):
        got = apply_fault(t, known("mixed_schema"), .5, rng(1, name), name)
        assert got.record["detail"] == f"values of {other}" and abs(got.record["rows_touched"]-500) <= 1
        new = set(got.table[name].filter(pa.array(got.mask.any(1))).cast(pa.string()).to_pylist())
        as_is = t[other].cast(got.table[name].type) if number(got.table[name].type) else t[other]
        assert new <= set(as_is.cast(pa.string()).to_pylist())
    whole = apply_fault(t, known("mixed_schema"), 1, rng(2), "price", partner="rooms")
    assert whole.record["rows_touched"] == 1000 and sorted(whole.table["price"].to_pylist()) == sorted(float(v) for v in t["rooms"].to_pylist())
    with pytest.raises(CannotApply): apply_fault(t.select(["id", "area"]), known("mixed_schema"), 1, rng(0), "id")
    with pytest.raises(UsageError, match="not in the table"): apply_fault(t, known("mixed_schema"), 1, rng(0), "id", partner="x")


@pytest.mark.parametrize("text", [False, True])
def test_heads_and_tails(text):
    t = city(text=text)
    t = t.set_column(2, "rooms", pa.array([None if i % 5 == 0 else v for i, v in enumerate(t["rooms"].to_pylist())], t["rooms"].type))
    for name, read in (("price", float), ("rooms", int), ("street", str), ("sold", str), ("note", str)):
        rows = [(read(v), i) for i, v in enumerate(t[name].to_pylist()) if v is not None]
        for m in (.1, .5):
            for end in ("head", "tail"):
                got, k = apply_fault(t, known("sorted_part"), m, rng(0), name, end=end), max(1, round(m*len(rows)))
                want = sorted(rows)[:k] if end == "head" else sorted(rows)[-k:]
                assert got.index.tolist() == sorted(i for _, i in want)
                profiled(t, got, ["id"])


def test_sizes_are_exact():
    t = city(n=203)
    for factor in (2, 10, .5, .1):
        got = perturb(t, next(p for p in avh_perturbations("text") if p.name == f"rows x{factor:g}"), "street", rng(1))
        assert got.table.num_rows == round(203*factor) and (factor < 1 or set(np.bincount(got.index)) == {factor})
        profiled(t, got, ["id"], t.slice(10, 90))
    for bad in (pa.table({"a": [1]}), pa.table({"a": pa.array([], pa.int64())})):
        with pytest.raises(CannotApply): apply_fault(bad, known("resized"), 1, rng(0), factor=.5)


def test_characters_are_hit_at_their_rate():
    t = pa.table({"s": ["abc DEF 12, é!"]*3000, "x": np.arange(100000, 103000), "f": np.arange(3000)/64+10})
    for p in (.1, .5, 1.):
        a, b = (np.array(list("".join(v["s"].to_pylist()))) for v in (t, apply_fault(t, known("characters"), p, rng(1), "s").table))
        assert len(a) == len(b) and abs((a != b).mean()-p) < .01
        assert all(y.isdigit() if x.isdigit() else y.isascii() and y.isalpha() for x, y in zip(a, b) if x != y)
    for p in (.1, .5):
        new = {how: apply_fault(t, known("characters"), p, rng(2), "s", how=how).table["s"].to_pylist() for how in ("insert", "delete")}
        assert abs(np.mean([len(s) for s in new["insert"]])-14-15*p) < .1 and abs(np.mean([len(s) for s in new["delete"]])-14*(1-p)) < .1
        for s in new["insert"]: it = iter(s); assert all(ch in it for ch in "abc DEF 12, é!") and s.count(",") == 1
        for s in new["delete"]: it = iter("abc DEF 12, é!"); assert all(ch in it for ch in s)
        ids = {how: apply_fault(t, known("characters"), p, rng(3), "x", how=how).table["x"].to_pylist() for how in ("replace", "insert", "delete")}
        for how, extra in (("replace", 0), ("insert", 7*p), ("delete", -5*p)): assert abs(np.mean([len(str(v)) for v in ids[how]])-6-extra) < .1
        assert abs(np.mean([x != y for v, w in zip(t["x"].to_pylist(), ids["replace"]) for x, y in zip(str(v), str(w))])-p) < .02


def test_a_number_stays_a_number():
    texts = ["1e5", "-0.85", "+7", ".5", "12.", "2.50E-3", "-999999999999999999999", "0", " 4 "]*50
    t = pa.table({"s": texts})
    for how in ("replace", "insert", "delete"):
        for p in (.1, .5, 1.):
            got = apply_fault(t, known("characters"), p, rng(1, how, p), "s", how=how).table["s"].to_pylist()
            assert Column(pa.array(got)).role == "number" and np.isfinite(Column(pa.array(got)).x).all()
            for a, b in zip(texts, got):
                assert a.strip()[0] not in "+-" or a.strip()[0] == b.strip()[0]
                assert [e for e in "eE" if e in a] == [e for e in "eE" if e in b] and a.lower().partition("e")[2] == b.lower().partition("e")[2]
                if a == b or how == "insert" or a == "0": continue
                assert (b.strip().lstrip("+-")[0] != "0") or a.strip().lstrip("+-")[0] == "0" or how == "delete"


def test_padding_and_casing():
    t = city(text=True)
    for side, want in (("left", " {}"), ("right", "{} ")):
        got = apply_fault(t, known("padded"), .5, rng(1), "street", side=side)
        assert got.record["rows_touched"] == 500
        assert all(b == (want.format(a) if m else a) for a, b, m in zip(t["street"].to_pylist(), got.table["street"].to_pylist(), got.mask.any(1)))
    for p in avh_perturbations("text"):
        if p.kind == "case_change":
            got = perturb(t, p, "street", rng(1))
            assert got.record["rows_touched"] == round(1000*p.args["magnitude"]) and got.record["detail"] == p.args["how"]
            assert all(b == (getattr(a, p.args["how"])() if m else a) for a, b, m in zip(t["street"].to_pylist(), got.table["street"].to_pylist(), got.mask.any(1)))
    with pytest.raises(CannotApply): apply_fault(city(), known("padded"), .5, rng(1), "price")


def test_units_are_told():
    t = city()
    for p in avh_perturbations("number"):
        if p.kind != "unit_change": continue
        got = perturb(t, p, "rooms", rng(1))
        assert got.record["rows_touched"] == round(1000*p.args["magnitude"])
        assert got.table["rooms"].to_pylist() == [v*p.args["factor"] if m else v for v, m in zip(t["rooms"].to_pylist(), got.mask.any(1))]


def test_counts_are_those_of_the_paper():
    numbers, texts = avh_perturbations("number"), avh_perturbations("text")
    assert (len(numbers), len(texts)) == (27, 33) == (len({p.name for p in numbers}), len({p.name for p in texts}))
    assert avh_perturbations("time") == texts and all(p.kind in {**KINDS, **PERTURBATIONS} for p in numbers+texts)
    with pytest.raises(UsageError): avh_perturbations("empty")


def test_half_floats_do_not_overflow():
    t = pa.table({"a": pa.array([100, 7], pa.float16())})
    with pytest.raises(CannotApply): hit(t, pt.Error("", "number_99999", "a"), 1, rng(0))
    assert np.isfinite(apply_fault(t, "unit_change", 1, rng(0), "a", factor=1000).table["a"].to_pylist()).all()


def test_nothing_is_ever_drawn():
    "Whatever was imported: backtests draw from `KINDS` only, and names do not meet."
    assert not set(PERTURBATIONS) & set(KINDS) and known("missing") is KINDS["missing"]


def test_another_process_makes_the_same_bytes():
    code = """if True:
        import hashlib, numpy as np, pyarrow as pa
        from dsmon_research.perturb import *
        from dsmon_research.faults import CannotApply
        t, h = pa.table({"n": np.arange(50)/4, "i": np.arange(50), "s": [f"Word {i} x" for i in range(50)], "u": ["a", "B"]*25}), hashlib.sha256()
        todo = [lambda r, e=e: hit(t, e, .3, r) for e in track_a(t, ["n"], [("n", "i"), ("s", "u")], ["s"])]
        todo += [lambda r, p=p, c=c: perturb(t, p, c, r) for c, role in (("n", "number"), ("s", "text")) for p in avh_perturbations(role)]
        for k, run in enumerate(todo):
            got = run(np.random.default_rng(k))
            h.update(repr([got.table.to_pydict(), got.record]).encode())
        print(h.hexdigest(), len(todo))"""
    got = [run(BIN/"python", "-c", code, PYTHONHASHSEED=s) for s in "01"]
    assert all(g.returncode == 0 for g in got), got[0].stderr
    assert got[0].stdout == got[1].stdout and int(got[0].stdout.split()[1]) == 4+4+1+2+1+27+33


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


@needs_data
def test_track_b_on_retail(retail):
    day, before = retail[1], profile_small(retail[0])
    p, variants, refused = Prepared(day, None, before, "u"), [], set()
    for name in day.column_names:
        for what in avh_perturbations(Column(retail[0][name]).role):
            try: got = perturb(day, what, name, rng(1, name, what.name))
            except CannotApply: refused.add((name, what.name)); continue
            assert got.table.schema == day.schema
            if got.cells is not None: assert np.array_equal(got.mask, differs(day, got.table))
            variants.append((got, before, retail[0]))
    assert refused == {(n, f"{how} {m:g}") for n, hows in (("InvoiceDate", ("upper", "lower")), ("StockCode", ("upper",))) for how in hows for m in (.1, .5, 1)}, "dates have no letters, codes are capitals"
    for v, profile in zip(variants[::2], reprofile(p, variants[::2]), strict=True): same(profile, profile_small(v[0].table, None, before, "u"))
