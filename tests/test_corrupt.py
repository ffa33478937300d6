"Properties of the whole library of faults: every kind under every mechanism, on random, degenerate and odd tables; combinations; all at once."
import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from dsmon_research.cellkinds import CONVERSIONS, MORE, OPTICAL, PHONETIC, Rewrites, rewritten
from dsmon_research.config import UsageError
from dsmon_research.corrupt import ALL, MECHANISMS, bursts, combine, corrupt, every, find, old_update, window
from dsmon_research.faults import KINDS, CannotApply, apply_fault
from test_faults import TEXT_ONLY, cells, city, differs, fingerprint, tables

quick = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
shares = st.sampled_from([.01, .05, .2, .5, 1.])
RECORD = {"kind", "family", "magnitude", "share", "column", "columns", "rows_removed", "rows_added", "rows_touched", "n_rows", "detail", "mechanism", "by"}
OWN_SIZE = {"lost_partition", "split_load", "mix_drift"} # k is of something else than the table's rows


def gen(seed): return np.random.default_rng(seed)


def check(table, kind, magnitude, seed, column=None, mechanism="mcar", past=(), **how):
    "Apply; check all that holds for every kind; None if it cannot apply."
    was, spec, n = fingerprint(table), ALL[kind], table.num_rows
    try: got = corrupt(table, kind, magnitude, gen(seed), column, mechanism, past=past, **how)
    except CannotApply:
        assert fingerprint(table) == was
        return None
    again = corrupt(table, kind, magnitude, gen(seed), column, mechanism, past=past, **how)
    out, mask, r = got
    out.validate(full=True)
    assert fingerprint(table) == was and fingerprint(again.table) == fingerprint(out) and again.record == r and np.array_equal(again.mask, mask)
    assert mask.dtype == bool and mask.shape == (out.num_rows, out.num_columns)
    assert set(r) == RECORD and r["kind"] == kind and r["mechanism"] == mechanism and r["n_rows"] == n and r["detail"] and r["rows_touched"] > 0
    assert all(type(v) in (str, int, float, list, type(None)) for v in r.values())
    asked = max(1, round(magnitude*n))
    if spec.scope == "column":
        assert out.column_names == table.column_names and out.num_rows == n
        assert np.array_equal(mask, differs(table, out)), (kind, r["detail"])
        assert r["rows_touched"] == mask.any(1).sum() <= asked+(kind == "split_load")
    if spec.scope == "rows":
        assert [[c[i] for i in got.index] for c in cells(table)] == cells(out)
        assert r["rows_removed"] == n-len(set(got.index.tolist())) and r["rows_added"] == mask.all(1).sum() == len(got.index)-len(set(got.index.tolist()))
        if kind not in OWN_SIZE: assert r["rows_touched"] <= asked
    return got


@pytest.mark.parametrize("kind", MORE)
@quick
@given(data=st.data())
def test_random_tables(kind, data):
    "Each kind applies as promised or refuses, whatever the types and the mechanism."
    t = data.draw(tables() | tables(TEXT_ONLY))
    mechanism = data.draw(st.sampled_from(MECHANISMS if MORE[kind].needs != "rows" else MECHANISMS[:2]))
    check(t, kind, data.draw(shares), data.draw(st.integers(0, 99)), None, mechanism)


@pytest.mark.parametrize("kind", KINDS)
def test_old_kinds_are_the_same(kind):
    "Without a mechanism the draw is the one of the backtest, to the bit."
    for text in (False, True):
        t, p, m = city(text=text), city(900, text), 1. if KINDS[kind].scope == "table" else .1
        for seed in range(3):
            a, b = corrupt(t, kind, m, gen(seed), past=[p]), apply_fault(t, kind, m, gen(seed), previous=p)
            laid = [fingerprint(x.table.take(pa.array(np.arange(x.table.num_rows)))) for x in (a, b)] # a part of a table may share its buffers
            assert laid[0] == laid[1] and np.array_equal(a.mask, b.mask) and a.record | b.record == a.record


def town(n=1000): # a table on which every kind of the shelf applies
    t, r = city(n), gen(1)
    zips = r.integers(0, 40, n)
    return (t.append_column("zip", pa.array([f"Z{10000+z}" for z in zips]))
            .append_column("town", pa.array([f"town {z % 7}" for z in zips])).append_column("when", pa.array([str(dt.date(2013, 1+int(d) % 12, 1+int(d)*7 % 28)) for d in r.integers(0, 360, n)]))
            .append_column("at", pa.array([dt.datetime(2013, 7, 1)+dt.timedelta(minutes=int(x)) for x in r.integers(0, 40000, n)])).append_column("n_rows", pa.array(r.integers(100, 9000, n))))


WHERE = dict(mojibake="note", whitespace="street", timezone_shift="at", daylight_shift="at", late_timestamps="at", future_timestamps="when", date_format="at", day_month_swap="when", broken_dependency="town",
             broken_foreign_key="zip", category_merge="area", mix_drift="area", dropped_segment="zip", fan_out="zip", duplicated_keys=None, lost_head=None, rounding="price", noise="price", converted_unit="price",
             flatline="price", stuck_at_last="price", level_drift="price", optical_typos="street", phonetic_typos="street", count_drop="n_rows", count_surge="n_rows", count_zero="n_rows", count_repeated="n_rows", split_load="n_rows")


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("kind", MORE)
def test_magnitude_is_exact(kind, mechanism):
    "Exactly round(share · n) rows, whichever way they are chosen."
    if mechanism == "mnar" and MORE[kind].needs == "rows": pytest.skip("rows have no own value")
    t, how = town(), {"zone": "Europe/Berlin"} if kind == "daylight_shift" else {}
    for m in (.001, .0005, .01, .05, .137, .24):
        got = check(t, kind, m, 3, WHERE[kind], mechanism, **how)
        asked = max(1, round(m*1000))
        assert got.record["rows_touched"] == (asked+asked % 2 if kind == "split_load" else asked), got.record


@pytest.mark.parametrize("kind", MORE)
@pytest.mark.parametrize("name,table", {
    "no rows": pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string()), "t": pa.array([], pa.timestamp("us"))}), "one row": pa.table({"a": [1], "b": ["x"]}), "no columns": pa.table({}),
    "all null": pa.table({"a": pa.nulls(5, pa.int64()), "b": pa.nulls(5, pa.string()), "c": pa.nulls(5)}), "constant": pa.table({"a": [7]*6, "b": ["x"]*6}), "all nan": pa.table({"a": [float("nan")]*3, "b": [float("inf")]*3}),
    "same names": pa.table([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"]), "chunked": pa.table({"a": pa.chunked_array([["x"], ["y", None]]), "b": pa.chunked_array([[1, 2], [3]])}),
    "no such day": pa.table({"a": ["2013-02-30", "2013-02-31 10:00", None, "2013-02-28"]}), "extremes": pa.table({"a": pa.array([-2**63, 2**63-1, 0]), "b": pa.array([0, 2**64-1, 5], pa.uint64())}),
}.items(), ids=lambda v: v if isinstance(v, str) else "")
def test_degenerate(kind, name, table):
    for mechanism in MECHANISMS if MORE[kind].needs != "rows" else MECHANISMS[:2]:
        for seed in range(2): check(table, kind, .5, seed, None, mechanism)


@quick
@given(m=st.integers(1, 60), k=st.integers(1, 60), seed=st.integers(0, 99), runs=st.none() | st.integers(1, 9), ties=st.booleans())
def test_windows_and_bursts(m, k, seed, runs, ties):
    "k rows: neighbours in the order, or runs of neighbouring rows with a gap between."
    k, rows, r = min(k, m), np.arange(m)*3, gen(seed)
    x = r.integers(0, 4, m).astype(float) if ties else r.normal(size=m)
    x[r.random(m) < .2] = np.nan
    got = window(rows, x, k, gen(seed))
    assert len(got) == k == len(set(got.tolist())) and set(got.tolist()) <= set(rows.tolist())
    inside, outside = np.nan_to_num(x[got//3], nan=np.inf), np.nan_to_num(np.delete(x, got//3), nan=np.inf)
    assert not ((outside > inside.min()) & (outside < inside.max())).any(), "nobody outside stands between two inside"
    got = bursts(rows, k, gen(seed), runs)
    n = int((np.diff(got) > 3).sum())+1
    assert len(got) == k == len(set(got.tolist())) and set(got.tolist()) <= set(rows.tolist())
    assert n == max(1, min(runs or -(-int(k**.5)//2), k, m-k+1))


def test_mechanisms_in_a_table():
    t = town()
    by = np.sort(t["rooms"].to_numpy()[corrupt(t, "missing", .2, gen(1), "price", "mar", by="rooms").mask[:, 1]])
    assert len(by) == 200 and len(np.unique(by)) <= 3, "rooms lie side by side"
    own = t["price"].to_numpy()[corrupt(t, "missing", .2, gen(2), "price", "mnar").mask[:, 1]]
    inside = (t["price"].to_numpy() >= own.min()) & (t["price"].to_numpy() <= own.max())
    assert inside.sum() < 210
    text = corrupt(t, "missing", .2, gen(3), "price", "mar", by="zip").mask[:, 1]
    assert len(set(np.array(t["zip"].to_pylist())[text].tolist())) <= 12
    hits = sum(corrupt(t, "missing", .1, gen(s), "price").mask[:, 1].astype(int) for s in range(300))
    assert hits.mean() == 30
    assert abs(np.corrcoef(hits, t["price"].to_numpy())[0, 1]) < .12 and hits.std() < 1.3*(300*.1*.9)**.5, "completely at random"
    assert corrupt(t, "missing", .2, gen(1), "price", "mar").record["by"] not in (None, "price")
    with pytest.raises(CannotApply, match="no other column"): corrupt(pa.table({"a": [1, 2, 3]}), "missing", .5, gen(0), "a", "mar")


def test_values_are_what_they_say():
    t = pa.table({"i": [2**53+1, -(2**53+3), 25, 35, None], "d": pa.array([Decimal("2.345"), Decimal("-0.5"), None, Decimal("1.25"), Decimal("1.35")], pa.decimal128(9, 3)), "s": ["12.345", "-0.55", "9007199254740993.55", None, "1e3"]})
    assert corrupt(t, "rounding", 1, gen(0), "i", digits=-1).table["i"].to_pylist() == [9007199254740990, -9007199254741000, 20, 40, None]
    assert corrupt(t, "rounding", 1, gen(0), "d", digits=1).table["d"].to_pylist() == [Decimal("2.3"), Decimal("-0.5"), None, Decimal("1.2"), Decimal("1.4")]
    f = pa.table({"x": [20., -40., None]})
    for what, (factor, offset) in CONVERSIONS.items():
        got = corrupt(f, "converted_unit", 1, gen(0), "x", conversion=what).table["x"].to_pylist()
        assert got == [20*factor+offset, -40*factor+offset, None] or what == "Celsius as Fahrenheit" and got == [68., -40., None]
    flat = corrupt(town(), "flatline", .3, gen(4), "price", level=0.)
    rows = np.flatnonzero(flat.mask[:, 1])
    assert rows.max()-rows.min() == 299 and set(flat.table["price"].take(pa.array(rows)).to_pylist()) == {0.}
    stuck, price = corrupt(town(), "stuck_at_last", .4, gen(4), "price"), town()["price"].to_pylist()
    last = None
    for i, (v, hit) in enumerate(zip(stuck.table["price"].to_pylist(), stuck.mask[:, 1])):
        assert v == (last if hit else price[i]); last = v


def test_rewrites():
    for rules in (OPTICAL, PHONETIC):
        assert len(set(rules)) == len(rules) and all(a != b and 1 <= len(a) <= 2 and 1 <= len(b) <= 2 for a, b in rules)
        w, words = Rewrites(rules), ["Philip", "corn", "1000", "wheel", "née club", "dd", "RN"]
        words = [s for s in words if any(a in s for a, _ in rules)]
        for seed in range(30):
            for a, b in zip(words, rewritten(words, w, gen(seed))):
                assert any(a[:i]+new+a[i+len(old):] == b for i in range(len(a)) for old, new in rules if a.startswith(old, i)), (a, b)


def test_times():
    t = pa.table({"s": ["2013-03-10 02:30:00.25", "2013-07-01T23:59+01:00", None, "2013-02-30 10:00"], "u": pa.array([dt.datetime(2013, 7, 5, 12), dt.datetime(2013, 1, 5, 12), None, dt.datetime(2013, 5, 5)], pa.timestamp("ms", "UTC")),
                  "d": pa.array([dt.date(2013, 3, 7), dt.date(2012, 12, 12), None, dt.date(2013, 2, 28)])})
    assert corrupt(t, "timezone_shift", 1, gen(0), "s", minutes=330).table["s"].to_pylist() == ["2013-03-10 08:00:00.25", "2013-07-02T05:29+01:00", None, "2013-02-30 10:00"]
    got = corrupt(t, "daylight_shift", 1, gen(0), "u", zone="Europe/Berlin", minutes=60)
    assert got.mask[:, 1].tolist() == [True, False, False, True] and got.table["u"][0].as_py().hour == 13
    assert corrupt(t, "day_month_swap", 1, gen(0), "d").table["d"].to_pylist() == [dt.date(2013, 7, 3), dt.date(2012, 12, 12), None, dt.date(2013, 2, 28)]
    with pytest.raises(CannotApply): corrupt(t, "timezone_shift", 1, gen(0), "d")
    big = town()
    for kind, sign in (("late_timestamps", -1), ("future_timestamps", 1)):
        hit = corrupt(big, kind, .1, gen(1), "at"); i = big.column_names.index("at")
        new, old = hit.table["at"].filter(pa.array(hit.mask[:, i])), big["at"]
        assert (pc.min(new).as_py() > pc.max(old).as_py()) if sign > 0 else (pc.max(new).as_py() < pc.min(old).as_py())
    for form, first in (("%d/%m/%Y", "10/03/2013 02:30:00.25"), ("%Y%m%d", "20130310 02:30:00.25"), ("epoch", "1362882600")):
        assert corrupt(t, "date_format", 1, gen(0), "s", form=form).table["s"][0].as_py() == first


def test_relations():
    t = town()
    twice = corrupt(t, "duplicated_keys", .1, gen(0))
    assert twice.record["columns"] == ["id"] and len(set(twice.table["id"].to_pylist())) == 900
    two = corrupt(t, "duplicated_keys", .1, gen(0), key=["street", "price"])
    assert two.record["rows_touched"] <= 100 and set(two.record["columns"]) <= {"street", "price"}
    wrong = corrupt(t, "broken_dependency", .1, gen(1), "town", on="zip")
    belongs = dict(zip(t["zip"].to_pylist(), t["town"].to_pylist()))
    for z, v, hit in zip(wrong.table["zip"].to_pylist(), wrong.table["town"].to_pylist(), wrong.mask[:, t.column_names.index("town")]): assert (belongs[z] != v) == hit
    assert set(wrong.table["town"].to_pylist()) <= set(belongs.values())
    lost = corrupt(t, "broken_foreign_key", .1, gen(1), "zip", parent=["Z99999"])
    new = [v for v, hit in zip(lost.table["zip"].to_pylist(), lost.mask[:, t.column_names.index("zip")]) if hit]
    assert len(set(new)) == 100 and not set(new) & ({*belongs} | {"Z99999"}) and all(len(v) == 6 and v[0].isupper() and v[1:].isdigit() for v in new)
    ids = corrupt(t, "broken_foreign_key", .1, gen(1), "id")
    assert not set(ids.table["id"].filter(pa.array(ids.mask[:, 0])).to_pylist()) & set(t["id"].to_pylist())
    fan = corrupt(t, "fan_out", .1, gen(1), "zip", factor=3)
    n = pd.Series(fan.table["id"].to_pylist()).value_counts()
    assert fan.table.num_rows == 1100 and n.max() <= 3 and (n > 1).sum() in (50, 51)


def test_drift_and_counts():
    t = town()
    mean = lambda **how: pc.mean(corrupt(t, "level_drift", 1, gen(0), "price", size=2., days=10, **how).table["price"]).as_py()-pc.mean(t["price"]).as_py()
    sd = np.std(t["price"].to_numpy())
    assert mean(day=3) == pytest.approx(2*sd) and mean(shape="gradual", day=3) == pytest.approx(.6*sd) and mean(shape="seasonal", day=8) == pytest.approx(2*sd*np.sin(1.6*np.pi))
    with pytest.raises(CannotApply): corrupt(t, "level_drift", 1, gen(0), "price", shape="seasonal", day=10, days=10)
    assert [corrupt(t, "mix_drift", .1, gen(0), "area", into="north", shape="gradual", day=d, days=4).record["rows_touched"] for d in (1, 2, 4, 9)] == [25, 50, 100, 100]
    split = corrupt(t, "split_load", .2, gen(0), "n_rows")
    assert pc.sum(split.table["n_rows"]).as_py() == pc.sum(t["n_rows"]).as_py() and split.record["rows_touched"] == 200
    assert corrupt(t, "count_drop", 1, gen(0), "n_rows", size=.25).table["n_rows"].to_pylist() == [int(np.floor(v*.75)) for v in t["n_rows"].to_pylist()]


def test_combinations():
    t, p = town(), town(300)
    plans = [[dict(kind="missing", magnitude=.1, column="price"), dict(kind="dropped_rows", magnitude=.2)], [dict(kind="fan_out", magnitude=.1, column="zip"), dict(kind="whitespace", magnitude=.1, column="street")],
             [dict(kind="lost_head", magnitude=.1), dict(kind="duplicated_rows", magnitude=.1), dict(kind="typos", magnitude=.5, column="street", mechanism="burst")], [dict(kind="missing", magnitude=.1, column="price"), dict(kind="missing_column", magnitude=1., column="area")]]
    for plan in plans:
        got = combine(t, plan, gen(5), [p])
        assert got.mask.shape == (got.table.num_rows, got.table.num_columns) and len(got.record["parts"]) == len(plan) and got.record["rows_removed"] == len(got.rows_removed)
        touched = set(got.table["id"].filter(pa.array(got.mask.any(1))).to_pylist())
        before = {r["id"]: r for r in t.to_pylist()}
        for row in got.table.to_pylist():
            if row["id"] not in touched: assert row == {k: v for k, v in before[row["id"]].items() if k in row}
        gone = {before_id for before_id in before}-set(got.table["id"].to_pylist())
        assert gone == {t["id"][i].as_py() for i in got.rows_removed}
    again = combine(t, [dict(kind="repeated_update", magnitude=1.), dict(kind="missing", magnitude=.1, column="price")], gen(5), [p])
    assert again.mask.all() and again.table.num_rows == 300 and again.record["rows_removed"] == 1000
    with pytest.raises(UsageError, match="at least one"): combine(t, [], gen(0))
    with pytest.raises(CannotApply): combine(t, [dict(kind="missing", magnitude=1., column="price"), dict(kind="sign_flip", magnitude=.1, column="price")], gen(0))


def test_every_and_old():
    t, past = town(), [town(n) for n in (700, 800, 900)]
    got = every(t, .05, gen(0), past)
    assert set(got) == set(ALL), set(ALL)-set(got)
    assert {k for k, g in got.items() if g.record["rows_touched"] != 50} <= OWN_SIZE | {k for k in ALL if ALL[k].scope == "table"} | {"mojibake"}
    assert old_update(t, past, gen(0), lag=3).table.equals(past[0]) and old_update(t, past, gen(0)).record["kind"] == "old_update"
    with pytest.raises(CannotApply, match="no such update"): old_update(t, [t], gen(0))


@pytest.mark.parametrize("kind,how,words", [("mising", {}, "unknown fault"), ("missing", dict(magnitude=0), "above 0"), ("missing", dict(magnitude=float("nan")), "above 0"), ("missing_column", dict(magnitude=.5), "whole table"), ("missing", dict(column="nope"), "not in the table"),
                                            ("lost_head", dict(column="area"), "no column"), ("missing", dict(mechanism="mxar"), "known are"), ("lost_head", dict(mechanism="mnar"), "whole rows"), ("missing", dict(by="area"), "goes with mechanism"), ("missing", dict(mechanism="mar", by="x"), "not in the table")])
def test_wrong_use(kind, how, words):
    with pytest.raises(UsageError, match=words) as e: corrupt(town(20), kind, **dict(dict(magnitude=.1, rng=gen(0)) | how))
    assert "\n" not in str(e.value)
    with pytest.raises(UsageError): find("nothing")


def test_pandas():
    df = city(50).to_pandas(); kept = df.copy()
    got, mask, record = corrupt(df, "rounding", .2, gen(0), "price", digits=0)
    pd.testing.assert_frame_equal(df, kept)
    assert mask.sum() == record["rows_touched"] == 10 and isinstance(got, pd.DataFrame)
