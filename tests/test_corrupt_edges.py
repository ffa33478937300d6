"Corners of the fault library: what cannot change is refused, long tables come out as short ones do, chunks and missing cells are no obstacle."
import numpy as np
import pyarrow as pa
import pytest

from dsmon_research.cellkinds import MORE, Rewrites, rewritten
from dsmon_research.corrupt import ALL, CannotApply, _Quick, bursts, combine, corrupt, every, old_update
from dsmon_research.faults import KINDS, Column, apply_fault
from dsmon_research.slots import _encoded, coded, codes, count, texts, unlike

def gen(seed=0): return np.random.default_rng(seed)

@pytest.mark.parametrize("kind,column,values,how", [
    ("flatline", "v", [5., 5., 5.], dict(level=5)), ("flatline", "v", [None, None, 1.], dict(level=1)), ("category_merge", "v", ["a", "b"]*4, dict(into="nope")), ("category_merge", "v", ["a"]*4, {}), ("category_merge", "v", [1.5, 2.5]*3, {}),
    ("mix_drift", "v", ["a", "b"]*4, dict(into="nope")), ("mix_drift", "v", [1.5, 2.5]*3, {}), ("mix_drift", "v", ["a", "b"]*4, dict(shape="seasonal", day=0)), ("level_drift", "v", [1, 2, 3], dict(shape="gradual", day=0)),
    ("broken_dependency", "v", [1.5, 2.5]*3, {}), ("broken_dependency", "v", ["a"]*6, {}), ("stuck_at_last", "v", ["a"], {}), ("stuck_at_last", "v", ["a", "a", "a"], {}), ("mojibake", "v", ["plain", "words"], {}), ("mojibake", "v", ["", ""], {}),
    ("broken_foreign_key", "v", [True, False], {}), ("broken_foreign_key", "v", [1.5, 2.5], {}), ("broken_foreign_key", "v", pa.array([126, 127], pa.int8()), {}), ("whitespace", "v", ["ab", "cd"], dict(how="doubled")), ("rounding", "v", [10, 20], dict(digits=2)),
    ("day_month_swap", "v", ["2026-05-05", "2026-01-13"], {}), ("daylight_shift", "v", ["2026-07-01", "2026-07-02"], {}), ("daylight_shift", "v", ["2026-01-05 10:00", "2026-01-06 10:00"], dict(zone="Europe/Berlin")), ("timezone_shift", "v", ["2026-07-01", "2026-07-02"], dict(minutes=60)),
    ("count_drop", "v", [0, 0], {}), ("split_load", "v", [5], {}), ("count_repeated", "v", [5, 5, 5], {})])
def test_refused(kind, column, values, how):
    "What would change nothing is said, and nothing is drawn for it."
    with pytest.raises(CannotApply, match=kind): corrupt(pa.table({column: values}), kind, .5, gen(), column, **how)

def test_each_pair_once_leaves_nothing_to_contradict():
    t = pa.table({"k": list("abcdef"), "v": list("xxyyzz")})
    with pytest.raises(CannotApply): corrupt(t, "broken_dependency", .5, gen(), "v", on="k")
    again = pa.concat_tables([t, t])
    got = corrupt(again, "broken_dependency", .25, gen(), "v", on="k")
    assert got.mask[:6].sum() == 0 and got.mask[:, 1].sum() == 3 and got.record["detail"] == "does not belong to k" # the first of each group stays, so that a reader can tell

def long(n=9000, chunks=3):
    r = gen(3); at = 1_780_000_000+60*(np.arange(n) % 700)
    cols = dict(a=pa.array([None if v < .1 else int(1000*v) for v in r.random(n)]), f=r.normal(size=n), g=pa.array([None if v < .05 else round(v, 1) for v in r.random(n)], pa.float64()), t=pa.array(at*10**6, pa.timestamp("us", "UTC")), s=np.array(["née", "b 1", "c", "west"])[r.integers(0, 4, n)],
                d=pa.array((r.integers(0, 300, n)).astype(np.int32)).cast(pa.date32()), b=r.random(n) < .5, num=[f"{v:.2f}" for v in r.random(n)])
    t = pa.table(cols); step = -(-n//chunks)
    return pa.concat_tables([t.slice(i, step) for i in range(0, n, step)])

@pytest.mark.parametrize("kind", KINDS)
def test_long_tables_as_short_ones(kind):
    "The quick ways of long and chunked tables give what the plain ones give, to the value."
    t, old, m = long(), long(5000), 1. if KINDS[kind].scope == "table" else .02
    for seed in range(2):
        a, b = corrupt(t, kind, m, gen(seed), past=[old]), apply_fault(t, kind, m, gen(seed), previous=old)
        assert a.table.schema.equals(b.table.schema, check_metadata=True) and np.array_equal(a.mask, b.mask) and a.record | b.record == a.record
        assert a.table.equals(b.table)
        a.table.validate(full=True)

@pytest.mark.parametrize("kind", MORE)
def test_chunks_do_not_matter(kind):
    m = 1. if MORE[kind].scope == "table" else .02
    how = dict(duplicated_keys=dict(key=["a", "f"])).get(kind, {})
    def go(t):
        try: return corrupt(t, kind, m, gen(1), **how)
        except CannotApply: return None
    a, b = go(long()), go(long().combine_chunks())
    assert (a is None) == (b is None) and (a is None or a.table.equals(b.table) and np.array_equal(a.mask, b.mask) and a.record == b.record)

COLUMNS = dict(words=["north", "south"]*300, digits=["1", "22"]*300, mixed=["1", "x"]*300, mostly=["x"]*20+["1"]*580, nearly=["x"]*40+["1"]*560, dates=["2026-01-01"]*600, codes=["A1", None, "", "b"]*150, odd=[" 7", "+7.5", "-.5", "1e5"]*150, signs=["-", "?", "%", "§"]*150, empty=[None]*600, blank=[""]*600, ints=list(range(600)),
               gone=pa.array([None]*600, pa.int64()), nans=[float("nan")]*600, some=[float("nan")]*599+[1.], flags=[True, None]*300)

@pytest.mark.parametrize("name", COLUMNS)
def test_roles_are_the_same(name):
    "The quick look decides as the exact one, on a part of a longer array too."
    whole = pa.array(COLUMNS[name]) if not isinstance(COLUMNS[name], pa.Array) else COLUMNS[name]
    for a in (whole, whole.slice(3), whole.slice(0, 0), whole.slice(7, 400), pa.concat_arrays([whole]*20)):
        quick, plain = _Quick(a), Column(a)
        assert quick.role == plain.role and np.array_equal(quick.valid, plain.valid), name

def test_every_skips_what_cannot_be():
    t = pa.table({"v": [1, 2, 3, 4]*5})
    got = every(t, .2, gen(), mechanism="mnar")
    assert set(got) < set(ALL) and "typos" not in got and "dropped_rows" not in got and "unit_change" in got and all(g.record["mechanism"] == "mnar" for g in got.values())

def test_one_part_of_a_table_is_no_copy():
    t = long(chunks=1)
    for kind, first in (("truncated_file", 0), ("lost_head", 1800)):
        got = corrupt(t, kind, .2, gen())
        assert got.table.equals(t.slice(first, 7200)) and got.record["rows_removed"] == 1800 and len(got.rows_removed) == 1800 and not got.mask.any()

@pytest.mark.parametrize("what,was,shown", [("Celsius as Fahrenheit", 100, 212), ("Celsius as Fahrenheit", -40, -40.001), ("Fahrenheit as Celsius", 212, 100), ("Fahrenheit as Celsius", 50, 10), ("miles as kilometres", 26.2188, 42.195), ("kilometres as miles", 42.195, 26.2188), ("feet as metres", 29032, 8848.95),
                                            ("pounds as kilograms", 220.462, 100), ("inches as centimetres", 11.811, 30), ("kelvin as Celsius", 300, 26.85)])
def test_conversions_are_those_of_physics(what, was, shown):
    t = pa.table({"v": [float(was)+.001*i for i in range(10)]})
    got = corrupt(t, "converted_unit", 1., gen(), "v", conversion=what)
    assert got.table["v"][0].as_py() == pytest.approx(shown, rel=1e-4, abs=2e-3) and got.record["detail"] == what

def test_noise_and_drift_have_the_size_that_is_said():
    r = gen(1); small = pa.table({"v": 5+.01*r.normal(size=4000)})
    moved = corrupt(small, "noise", 1., gen(), "v", size=.5).table["v"].to_numpy()-small["v"].to_numpy()
    assert .0045 < moved.std() < .0055 and abs(moved.mean()) < .0005
    drift = corrupt(small, "level_drift", 1., gen(), "v", size=2., shape="gradual", day=1, days=4).table["v"].to_numpy()-small["v"].to_numpy()
    assert np.allclose(drift, .5*np.nanstd(small["v"].to_numpy()))
    whole = pa.table({"v": r.integers(0, 3, 500)}) # numbers that show no decimals move by one at least
    got = corrupt(whole, "noise", .4, gen(), "v", size=.1)
    assert got.mask.sum() == 200 and (np.abs(got.table["v"].to_numpy()-whole["v"].to_numpy())[got.mask[:, 0]] >= 1).all()

@pytest.mark.parametrize("digits,was,now", [(-1, 25, 20), (-1, 35, 40), (-1, -25, -20), (-2, 149, 100), (-2, 151, 200), (-3, 1500, 2000)])
def test_whole_numbers_are_rounded_half_to_even(digits, was, now):
    assert corrupt(pa.table({"v": [was]}), "rounding", 1., gen(), "v", digits=digits).table["v"][0].as_py() == now

def hours(first, n): return pa.array(np.datetime64(first, "us")+np.arange(n)*np.timedelta64(3_600_000_000, "us"), pa.timestamp("us", "UTC"))

@pytest.mark.parametrize("zone,first,summer", [("Europe/Berlin", "2026-03-28T20:00", slice(5, None)), ("America/New_York", "2026-11-01T00:00", slice(0, 6)), ("Australia/Sydney", "2026-10-03T10:00", slice(6, None))])
def test_summer_begins_and_ends_on_its_hour(zone, first, summer):
    got = corrupt(pa.table({"t": hours(first, 12)}), "daylight_shift", 1., gen(), "t", zone=zone, minutes=60)
    assert got.mask[:, 0].tolist() == [i in range(12)[summer] for i in range(12)]

def test_offsets_are_those_of_places():
    from datetime import datetime
    from zoneinfo import ZoneInfo
    t = pa.table({"t": hours("2026-01-10T00:00", 3)})
    drawn = {int(corrupt(t, "timezone_shift", 1., gen(s), "t").record["detail"].split()[0]) for s in range(250)}
    winter = lambda z: int(datetime(2026, 1, 10, tzinfo=ZoneInfo(z)).utcoffset().total_seconds())//60
    assert drawn >= {winter(z) for z in ("Europe/Berlin", "Europe/Athens", "Europe/Moscow", "America/New_York", "America/Chicago", "America/Los_Angeles", "Pacific/Honolulu", "Asia/Karachi", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Shanghai", "Asia/Tokyo", "Pacific/Auckland")}-{780} | {-60, -120}
    assert drawn <= {m for d in range(-12, 15) for m in (60*d, 60*d+30, 60*d+45)} and 0 not in drawn

def test_two_rows_are_enough_for_a_doubled_key():
    got = corrupt(pa.table({"k": ["a", "b"], "v": [1, 2]}), "duplicated_keys", .5, gen(), key=["k"])
    assert len(set(got.table["k"].to_pylist())) == 1 and got.record["rows_touched"] == 1
    with pytest.raises(CannotApply): corrupt(pa.table({"k": ["a"], "v": [1]}), "duplicated_keys", .5, gen(), key=["k"])

def test_bursts_and_parts_keep_their_size():
    t = pa.table({"v": np.arange(1000), "g": ["a", "b", "c", "d"]*250})
    for m in (.01, .1, .3): assert corrupt(t, "missing", m, gen(3), "v", "burst").mask.sum() == 1000*m
    gone = corrupt(t, "dropped_segment", .25, gen(2), "g")
    assert gone.record["rows_removed"] == 250 and len(set(gone.table["g"].to_pylist())) == 3
    fan = corrupt(t, "fan_out", .1, gen(2), "g", factor=3)
    assert fan.record["rows_added"] == 100 and np.bincount(fan.index).max() == 3 and set(np.bincount(fan.index)) <= {1, 2, 3}

@pytest.mark.parametrize("kind,unit", [("date32", 1), ("s", 86_400), ("ms", 86_400_000), ("us", 86_400*10**6), ("ns", 86_400*10**9)])
def test_moments_at_the_end_of_a_type_stay(kind, unit):
    "What would leave the type's range is not moved; what would not, is, by as much as is said."
    t, top = (pa.date32(), 2**31-1) if kind == "date32" else (pa.timestamp(kind), 2**63-1)
    plain = [20_000*unit, -20_000*unit]
    v = pa.array([top, -top, *plain, None], pa.int64())
    table = pa.table({"t": v.cast(pa.int32()).cast(t) if kind == "date32" else v.cast(t)})
    got = corrupt(table, "timezone_shift", 1., gen(), "t", minutes=1440)
    now = got.table["t"].combine_chunks().cast(pa.int32() if kind == "date32" else pa.int64()).to_pylist()
    assert now == [top, -top, *(p+unit for p in plain), None] and got.mask[:, 0].tolist() == [False, False, True, True, False]

def test_a_flatline_of_all_rows_leaves_none_out():
    for seed in range(12): assert corrupt(pa.table({"v": [1., 2., 3., 4.]}), "flatline", 1., gen(seed), "v", level=0).table["v"].to_pylist() == [0., 0., 0., 0.]

def test_unknown_identifiers_differ_from_each_other():
    known = [f"{a}{d}" for a in "ABCDEFG" for d in range(10)]
    for seed in range(5):
        new = corrupt(pa.table({"k": known}), "broken_foreign_key", 1., gen(seed), "k").table["k"].to_pylist()
        assert len(set(new)) == 70 and not set(new) & set(known)

@pytest.mark.parametrize("values", [["née", "köl"], ["ab", "ba", "ab"], ["x"], ["\U0001f600", "abcd", "ééé"[:2]], ["abc", "ab"], ["a", None], ["", ""], ["abcde"]])
def test_short_texts_as_numbers_are_the_same_values(values):
    a = pa.array(values*3000, pa.string())
    for part in (a, a.slice(1, 5000)):
        got = _encoded(part); got.validate(full=True)
        assert got.equals(part.dictionary_encode())

def test_cells_of_two_rows_are_compared_as_ever():
    t = long(); r = gen(8); rows, others = r.integers(0, t.num_rows, (2, 3000))
    for name in t.column_names:
        a = t[name].combine_chunks()
        was = [not (x == y or x is None and y is None) for x, y in zip(a.take(pa.array(rows)).to_pylist(), a.take(pa.array(others)).to_pylist())]
        for c in (_Quick(t[name]), Column(t[name])): assert unlike(c, rows, others).tolist() == was, name

@pytest.mark.parametrize("low,t", [(-999, pa.int16()), (19_000, pa.int32()), (2**40, pa.int64()), (2**61-3000, pa.int64()), (2**63, pa.uint64()), (-2**63, pa.int64())])
def test_numbers_that_become_words_are_spelt_as_ever(low, t):
    values = [None if i % 7 == 3 else low+i % 900 for i in range(9000)]
    got = corrupt(pa.table({"v": pa.array(values, t)}), "wrong_type", .01, gen(2), "v")
    hit, now = got.mask[:, 0], got.table["v"].to_pylist()
    assert hit.sum() == 90 and all(n == (None if v is None else str(v)) for n, v, h in zip(now, values, hit) if not h) and all(not n.lstrip("-").isdigit() for n, h in zip(now, hit) if h)

@pytest.mark.parametrize("kind", ["dropped_rows", "duplicated_rows", "fan_out"])
def test_masks_of_whole_rows_cannot_be_written_to(kind):
    "They are one byte a row, seen once for each column."
    t = long(chunks=1); got = corrupt(t, kind, .1, gen(4))
    again = np.diff(got.index, prepend=-1) == 0
    assert got.mask.shape == (got.table.num_rows, t.num_columns) and (got.mask == again[:, None]).all() and got.mask.copy().flags.writeable
    with pytest.raises(ValueError, match="read-only"): got.mask[0, 0] = True

@pytest.mark.parametrize("values,size,moved", [([50.]*4, 1., 50.), ([0.]*4, 2., 2.), ([.25]*4, 1., 1.), ([1e200, 2e200, 3e200], 1., 2e200), ([1e12, 1e12+1, 1e12+2], 1., 1e12+1), ([-50.]*4, 1., 50.), ([1., 3.], 1., 1.)])
def test_what_drift_is_measured_by(values, size, moved):
    "Its spread; where there is none to speak of, or too large a one, the size of the mean, and one at least."
    got = corrupt(pa.table({"v": values}), "level_drift", 1., gen(), "v", size=size)
    assert got.table["v"].to_numpy()-values == pytest.approx([moved]*len(values), rel=1e-9) and got.mask.all()

def test_every_rule_of_a_rewriting_is_used():
    "A pair and its first letter have rules of their own: either may strike, the pair's also where it stands first of all."
    w = Rewrites((("rn", "m"), ("r", "x"), ("r", "y")))
    seen = {rewritten(["urn"], w, gen(s))[0] for s in range(60)}
    assert seen == {"um", "uxn", "uyn"} and rewritten([], w, gen()) == []

@pytest.mark.parametrize("kind,values,how,want", [
    ("category_merge", ["a", "b", "c"]*4, dict(into="c"), dict(into="c", others=1)), ("category_merge", [1, 2, 3]*4, dict(into=3), dict(into=3, others=1)), ("mix_drift", ["a", "b", "c"]*4, dict(into="c"), dict(into="c", others=2))])
def test_categories_become_the_one_that_is_named(kind, values, how, want):
    got = corrupt(pa.table({"v": values}), kind, .25, gen(4), "v", **how)
    hit = got.mask[:, 0]
    assert hit.sum() == 3 and set(got.table["v"].filter(pa.array(hit)).to_pylist()) == {want["into"]} and want["into"] not in set(np.array(values)[hit].tolist())
    assert kind == "mix_drift" or len(set(np.array(values)[hit].tolist())) == want["others"] # as few categories as are enough

def test_unknown_identifiers_keep_their_form():
    "Also where half of all that have this form are known; what finds none is told by a sign more, and still unknown."
    known = [f"{i:03d}" for i in range(0, 1000, 2)]
    for seed in range(3):
        got = corrupt(pa.table({"k": [f"#{s}" for s in known]}), "broken_foreign_key", .2, gen(seed), "k")
        new = np.array(got.table["k"].to_pylist())[got.mask[:, 0]]
        assert len(set(new)) == 100 and not set(new) & {f"#{s}" for s in known} and sum(len(s) == 4 and s[0] == "#" and s[1:].isdigit() for s in new) >= 95

@pytest.mark.parametrize("top,can", [(100, True), (116, True), (117, False), (120, False)])
def test_unknown_numbers_stay_inside_their_type(top, can):
    t = pa.table({"k": pa.array([3, top], pa.int8())})
    if not can:
        with pytest.raises(CannotApply): corrupt(t, "broken_foreign_key", .5, gen(), "k")
        return
    new = {max(corrupt(t, "broken_foreign_key", .5, gen(s), "k").table["k"].to_pylist()) for s in range(60)}-{top}
    assert new == set(range(top+1, top+10))

@pytest.mark.parametrize("at,moves", [("2152-09-01", True), ("2152-10-15", False), ("1787-04-10", True), ("1787-01-15", False)])
def test_nanoseconds_end_within_history(at, moves):
    "They reach to 2262 and back to 1677: what lies within a century of the ends stays where it is, for nothing may wrap around."
    t = pa.table({"t": pa.array([np.datetime64(at, "ns"), np.datetime64("2020-01-01", "ns")])})
    assert corrupt(t, "timezone_shift", 1., gen(), "t", minutes=60).mask[:, 0].tolist() == [moves, True]

def test_as_many_runs_as_asked():
    for k in range(1, 9):
        for seed in range(6):
            for runs in range(1, k+1):
                got = bursts(np.arange(40), k, gen(seed), runs)
                assert len(got) == k and 1+int((np.diff(got) > 1).sum()) == runs

def sheet(): return pa.table({"id": list(range(10)), "v": [float(i) for i in range(10)], "z": list("ababababab")})

def test_records_of_several_faults_add_up():
    got = combine(sheet(), [dict(kind="lost_head", magnitude=.2), dict(kind="missing", magnitude=.5, column="v"), dict(kind="sign_flip", magnitude=.25, column="id")], gen(1))
    r = got.record
    assert got.table["id"].to_pylist() != list(range(2, 10)) and [abs(v) for v in got.table["id"].to_pylist()] == list(range(2, 10)) and got.rows_removed == [0, 1]
    assert (r["rows_removed"], r["rows_added"], r["n_rows"], r["magnitude"], r["columns"], r["column"]) == (2, 0, 10, .5, ["id", "v"], None)
    assert r["rows_touched"] == got.mask.any(1).sum()+2 and r["share"] == r["rows_touched"]/10 and r["detail"].count("; ") == 2 and [p["kind"] for p in r["parts"]] == ["lost_head", "missing", "sign_flip"]
    assert got.mask.sum(0).tolist() == [2, 4, 0] and [v is None for v in got.table["v"].to_pylist()] == got.mask[:, 1].tolist()

def test_rows_that_come_twice_are_counted_after_others_went():
    got = combine(sheet(), [dict(kind="lost_head", magnitude=.3), dict(kind="duplicated_rows", magnitude=.25)], gen(2))
    assert (got.record["rows_removed"], got.record["rows_added"], got.table.num_rows) == (3, 2, 9) and got.mask.all(1).sum() == got.mask.any(1).sum() == 2

def test_a_mask_follows_its_rows():
    "A row that was touched and then came twice is touched in both; columns that went take their marks with them."
    t = sheet()
    got = combine(t, [dict(kind="missing", magnitude=1., column="v"), dict(kind="duplicated_rows", magnitude=.2), dict(kind="missing_column", magnitude=1., column="z")], gen(3))
    assert got.table.column_names == ["id", "v"] and got.mask.shape == (12, 2) and got.mask[:, 1].all() and got.mask[:, 0].sum() == 2
    again = np.flatnonzero(got.mask[:, 0])
    ids = got.table["id"].to_pylist()
    assert all(ids[i] == ids[i-1] for i in again)

def test_one_generator_each():
    "With a generator for each fault, one fault's draw does not move another's."
    a = [dict(kind="missing", magnitude=.3, column="v"), dict(kind="case_change", magnitude=.3, column="z")]
    both, alone = combine(sheet(), a, [gen(1), gen(2)]), corrupt(sheet(), "case_change", .3, gen(2), "z")
    assert both.table["z"].equals(alone.table["z"]) and np.array_equal(both.mask[:, 2], alone.mask[:, 2])

@pytest.mark.parametrize("lag", [1, 2, 3])
def test_an_old_update_is_that_one(lag):
    past = [sheet().slice(0, n) for n in (5, 6, 7)]
    got = old_update(sheet(), past, gen(), lag)
    assert got.table.equals(past[-lag]) and got.record["detail"] == f"the update of {lag} before" and got.mask.all() and got.record["rows_removed"] == 10 and got.record["rows_added"] == 8-lag

def test_old_updates_are_all_drawn_but_the_same_never():
    past = [sheet().slice(0, 5), sheet(), sheet().slice(0, 7)]
    assert {old_update(sheet(), past, gen(s)).record["detail"] for s in range(30)} == {"the update of 1 before", "the update of 3 before"}
    for lag in (0, 2, 4):
        with pytest.raises(CannotApply, match="past of 3"): old_update(sheet(), past, gen(), lag)

@pytest.mark.parametrize("mechanism,by", [("mcar", None), ("mar", "id"), ("mnar", None), ("burst", None)])
def test_the_record_says_how_rows_were_chosen(mechanism, by):
    t = sheet(); kept = t.to_pydict()
    got = corrupt(t, "missing", .4, gen(5), "v", mechanism, by)
    assert (got.record["mechanism"], got.record["by"]) == (mechanism, by) and t.to_pydict() == kept
    rows = np.flatnonzero(got.mask[:, 1])
    assert len(rows) == 4 and got.record["share"] == .4 and got.record["rows_touched"] == 4 and (mechanism not in ("mar", "mnar") or rows[-1]-rows[0] == 3)

def test_every_fault_can_be_told_the_key():
    "A key of several columns is only found if it is named; frames come back as frames."
    t = pa.table({"a": [1, 1, 2, 2]*3, "b": [1, 2, 1, 2]*3, "c": [1.5]*12}).slice(0, 4)
    assert "duplicated_keys" not in every(t, .25, gen(), kinds=["duplicated_keys"])
    got = every(t, .25, gen(), kinds=["duplicated_keys", "missing_column"], key=["a", "b"])
    assert set(got) == {"duplicated_keys", "missing_column"} and len({*zip(got["duplicated_keys"].table["a"].to_pylist(), got["duplicated_keys"].table["b"].to_pylist())}) == 3 and got["missing_column"].record["magnitude"] == 1.
    frame = corrupt(t.to_pandas(), "repeated_update", 1., gen(), past=[t.slice(1).to_pandas(), t.slice(2).to_pandas()])
    assert len(frame.table) == 2 and frame.record["rows_removed"] == 4

def attempt(fn, *a, **k):
    try: return fn(*a, **k)
    except CannotApply: return None

@pytest.mark.parametrize("column", long(1).column_names)
def test_long_columns_as_short_ones(column):
    "Every kind on every column: what the quick way writes, marks, records and refuses is what the plain way does."
    t, old, tried = long(5000, 2), long(4300), 0
    for kind, spec in KINDS.items():
        if spec.needs in ("rows", "previous") or spec.scope == "table": continue
        a, b = attempt(corrupt, t, kind, .03, gen(len(kind)), column, past=[old]), attempt(apply_fault, t, kind, .03, gen(len(kind)), column, previous=old)
        assert (a is None) == (b is None), kind
        if a is None: continue
        assert a.table.schema.equals(b.table.schema, check_metadata=True) and a.table.equals(b.table) and np.array_equal(a.mask, b.mask) and a.record | b.record == a.record and a.rows_removed == b.rows_removed, kind
        tried += 1
    assert tried >= 4

@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_one_name(kind):
    "Where two columns share a name, the quick ways strike and write as the plain ones do."
    r = gen(9)
    t, m = pa.table([pa.array(range(40)), pa.array(r.normal(size=40)), pa.array([f"w{i % 3} x" for i in range(40)]), pa.array([f"é{i}" for i in range(40)])], names=["a", "a", "b", "b"]), 1. if KINDS[kind].scope == "table" else .3
    for seed in range(6):
        a, b = attempt(corrupt, t, kind, m, gen(seed), past=[t.slice(5)]), attempt(apply_fault, t, kind, m, gen(seed), previous=t.slice(5))
        assert (a is None) == (b is None)
        if a is not None: assert a.table.equals(b.table) and a.table.schema.equals(b.table.schema) and np.array_equal(a.mask, b.mask) and a.record | b.record == a.record

def test_two_values_are_enough_to_go_by():
    t = pa.table({"v": list(range(20)), "one": ["x"]*20, "two": ["a"]*10+["b"]*10})
    got = corrupt(t, "missing", .25, gen(1), "v", "mar")
    rows = np.flatnonzero(got.mask[:, 0])
    assert got.record["by"] == "two" and len(rows) == 5 and len(set((rows < 10).tolist())) == 1
    with pytest.raises(CannotApply, match="no other column has two values"): corrupt(t.select(["v", "one"]), "missing", .25, gen(1), "v", "mar")

def test_frames_keep_their_columns():
    frame = sheet().to_pandas().set_index(np.arange(10)*7)
    got = corrupt(frame, "missing", .3, gen(1), "v")
    assert list(got.table.columns) == ["id", "v", "z"] and got.mask.shape == (10, 3) and got.table["v"].isna().tolist() == got.mask[:, 1].tolist() and got.table["id"].tolist() == frame["id"].tolist()

def test_a_rewriting_of_one_pair():
    assert rewritten(["urn", "rnrn"], Rewrites((("rn", "m"),)), gen(2)) in (["um", "mrn"], ["um", "rnm"])

def test_nothing_is_shown_as_minus_nothing():
    got = corrupt(pa.table({"v": ["273", "300"]}), "converted_unit", 1., gen(), "v", conversion="kelvin as Celsius")
    assert got.table["v"].to_pylist() == ["0", "27"]

def test_two_values_are_enough_to_stick():
    got = corrupt(pa.table({"v": [None, 1, None, 2]}), "stuck_at_last", 1., gen(), "v")
    assert got.table["v"].to_pylist() == [None, 1, None, 1] and got.mask[:, 0].tolist() == [False, False, False, True] and got.record["rows_touched"] == 1


@pytest.mark.parametrize("kind", ["dropped_rows", "duplicated_rows", "lost_head", "truncated_file", "lost_partition", "dropped_segment", "fan_out"])
def test_rows_of_an_old_update_are_faulty_too(kind):
    "A past update of fewer rows is published again, then loses or doubles rows: all rows of today are gone, none of its own is counted twice."
    today = pa.table({"x": range(50), "y": [f"text {i%7}" for i in range(50)]})
    got = combine(today, [dict(kind="repeated_update", magnitude=1.), dict(kind=kind, magnitude=.3)], np.random.default_rng(0), [today.slice(0, 20)])
    assert got.record["rows_removed"] == 50 and got.rows_removed == list(range(50)) and got.mask.shape == (got.table.num_rows, 2)
    assert got.record["rows_added"] == got.table.num_rows and (got.table.num_rows > 20) == (kind in ("duplicated_rows", "fan_out"))


@pytest.mark.parametrize("n", [30, 5_000, 20_000])
@pytest.mark.parametrize("share", [0., .03, .049, .051, .08, .5, 1.])
@pytest.mark.parametrize("nulls", [0., .04, .3])
def test_a_column_is_read_in_short_as_in_full(n, share, nulls):
    "Roles near their limits (a twentieth may be no number, no moment), values, spread and limits; also where what is odd stands at one end."
    r = np.random.default_rng([n, int(1000*share), int(100*nulls)])
    odd, none = r.random(n) < share, r.random(n) < nulls
    for order in (np.arange(n), np.argsort(odd, kind="stable"), np.argsort(~odd, kind="stable")):
        o, z = odd[order], none[order]
        for a in (np.where(o, "word", np.arange(n).astype(str)), np.where(o, "-", "2013-02-08"), np.where(o, "12:30", "7.5")):
            c = pa.array(a.tolist(), pa.string(), mask=z)
            assert (_Quick(c).role, _Quick(c).valid.tolist()) == (Column(c).role, Column(c).valid.tolist())
        for t in (pa.int32(), pa.float64(), pa.uint8(), pa.timestamp("us")):
            c = pa.array(r.integers(0, 200, n), pa.int64(), mask=z).cast(t)
            q, p = _Quick(c), Column(c)
            assert (q.role, q.valid.tolist()) == (p.role, p.valid.tolist())
            if t != pa.timestamp("us"): assert q.limits == p.limits and np.array_equal(q.x, p.x, equal_nan=True)
            assert coded(q).dictionary.equals(c.drop_null().unique()) and count(q) == len(c.drop_null().unique())
            i, words = texts(q) or (codes(q), coded(q).dictionary.cast(pa.string()))
            assert [None if k < 0 else words[int(k)].as_py() for k in i[:50]] == c.cast(pa.string()).slice(0, 50).to_pylist()
