"The profile against an independent reference in plain Python; the engine against the profile in memory; gates of accuracy, repeatability and memory."
import math, os, re, struct
from collections import Counter
from fractions import Fraction

import numpy as np
import pyarrow as pa, pyarrow.csv as pcsv, pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from dsmon_research.config import SourceError, UsageError
from dsmon_research.engine import Plan, scan
from dsmon_research.profile import profile_large, profile_small, profile_table, scanned_column
from dsmon_research.read import read_table
from dsmon_research.sketch import BIG, text_hashes, value_hashes

EXAMPLES = int(os.environ.get("DSMON_EXAMPLES", 1000))   # `make soak` runs 10,000
SMALL = Plan(probe=200, few=60, small=20, kept=100, listed=3_000, numbers=400, texts=400, group=3, cells=2_100)


# ---- what a careful person would count by hand

def number_of(v):
    if isinstance(v, bool): return float(v)
    if isinstance(v, (int, float)): return float(v)
    return float(v) if isinstance(v, str) and re.fullmatch(r"[ \t\n\r\f\v]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?[ \t\n\r\f\v]*", v, re.A) else None


def numbers_by_hand(xs):
    fin = sorted(x for x in xs if math.isfinite(x))
    out = dict(nonfinite_share=1-len(fin)/len(xs))
    if not fin: return out
    n, exact = len(fin), [Fraction(x) for x in fin]
    mean = sum(exact)/n
    var = sum((x-mean)**2 for x in exact)/max(n-1, 1)
    root = Fraction(math.isqrt(int(var*10**24)), 10**12) if var < 10**20 else Fraction(math.isqrt(int(var)))
    quantile = {f"q{q:02d}": fin[math.ceil(Fraction(q, 100)*n)-1] for q in (5, 25, 50, 75, 95)}
    share = lambda test: sum(map(test, fin))/n
    return out | quantile | dict(min=fin[0], max=fin[-1], mean=float(mean), std=float(root), zero_share=share(lambda x: x == 0), negative_share=share(lambda x: x < 0), integer_share=share(lambda x: x == math.trunc(x)))


def texts_by_hand(vs, rows):
    joined = "".join(vs)
    out = dict(empty_share=sum(not v.strip(" \t\n\r\f\v") for v in vs)/rows, len_min=min(map(len, vs)), len_max=max(map(len, vs)), len_mean=len(joined)/len(vs))
    if not joined: return out
    share = lambda test: sum(map(test, joined))/len(joined)
    ascii_ = lambda c: ord(c) < 128
    out |= dict(letter_share=share(lambda c: ascii_(c) and c.isalpha()), upper_share=share(lambda c: ascii_(c) and c.isupper()), digit_share=share(lambda c: c in "0123456789"),
                space_share=share(lambda c: c in " \t\n\r"), punct_share=share(lambda c: 33 <= ord(c) < 127 and not c.isalnum()))
    g2, g3 = (Counter(v[i:i+k] for v in vs for i in range(len(v)-k+1)) for k in (2, 3))
    index = [.5*(math.log(g2[v[i:i+2]])+math.log(g2[v[i+1:i+3]]))-math.log(g3[v[i:i+3]]) for v in vs for i in range(len(v)-2)]
    return out | (dict(peculiarity=math.fsum(index)/len(index)) if index else {})


def by_hand(values):
    rows, filled = max(len(values), 1), [v for v in values if v is not None]
    out = dict(null_share=1-len(filled)/rows)
    same = Counter("nan" if isinstance(v, float) and math.isnan(v) else v for v in filled)
    out["distinct"] = len(same)
    if not filled: return out
    xs = [x for v in filled if (x := number_of(v)) is not None]
    out |= dict(unique_share=len(same)/len(filled), top_share=max(same.values())/rows, numeric_share=len(xs)/len(filled))
    if xs: out |= numbers_by_hand(xs)
    if isinstance(filled[0], str): out |= texts_by_hand(filled, rows)
    return out


def differences(metrics, want, rel=1e-9):
    got = {k: metrics.get(k) for k in want}
    return {k: (got[k], w) for k, w in want.items() if got[k] is None or not math.isclose(got[k], w, rel_tol=rel, abs_tol=1e-12*max(1, abs(want.get("max", 0)), abs(want.get("min", 0))) if k in ("mean", "std") else 1e-9)}


texts = st.text(st.sampled_from("aB7 .,-_é\u00a0\t\n😀N/A'\"\0"), max_size=12) | st.sampled_from(["NA", "007", "-1.5e3", "1_000", " 12 ", "", " ", "2013-02-08", "9007199254740993", "nan"])
floats = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from([0., -0., 1., .1, 1e300, -1e300])
def hashed_apart(v): # not one of the whole numbers beyond 2^53 that have a small one's hash (01a, Limits): Hypothesis reads `BIG`, which is that of 0, out of the source
    x, = struct.unpack("<d", struct.pack("<Q", (v ^ BIG) % 2**64))
    return abs(v) <= 2**53 or not (abs(x) <= 2**53 and x == int(x))

columns = st.sampled_from([(pa.int64(), st.integers(-2**63, 2**63-1).filter(hashed_apart) | st.integers(-3, 3)), (pa.float64(), floats), (pa.string(), texts), (pa.bool_(), st.booleans()), (pa.int8(), st.integers(-128, 127)), (pa.uint64(), st.integers(0, 2**64-1).filter(hashed_apart))])


@st.composite
def tables(draw):
    rows, out = draw(st.integers(0, 12)), []
    for _ in range(draw(st.integers(0, 3))):
        t, cell = draw(columns)
        out.append(pa.array(draw(st.lists(st.none() | cell, min_size=rows, max_size=rows)), t))
    names = draw(st.lists(st.sampled_from(["a", "b", "", "a", "x\"; drop table t; --", "<script>"]), min_size=len(out), max_size=len(out)))
    return pa.Table.from_arrays(out, names=names)


def shown(v): return "nan" if isinstance(v, float) and v != v else float(v) if isinstance(v, (bool, int)) and abs(v) <= 2**53 else 0. if v == 0 else v # what counts as one value

def followed(columns):
    "Pair by pair: of rows that are equal in one column, how many are equal in the other, beyond chance."
    n = len(columns[0]) if columns else 0
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    alike = [[c[i] == c[j] and type(c[i]) is type(c[j]) for i, j in pairs] for c in columns]
    out = []
    for b in alike:
        chance, best = sum(b)/max(len(pairs), 1), None
        for a in alike:
            if a is b or 2*sum(a) < n or not any(a) or all(a) or not 0 < chance < 1: continue
            best = max(best if best is not None else 0., (sum(x and y for x, y in zip(a, b))/sum(a)-chance)/(1-chance))
        out.append(best)
    return out


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(tables())
def test_nothing_is_lost(table):
    "Every metric that can be counted by hand is that number; every row is accounted for."
    p = profile_table(table)
    assert p.table["rows"] == table.num_rows and len(p.columns) == table.num_columns
    for c, values in zip(p.columns, (a.to_pylist() for a in table.columns)):
        assert not (odd := differences(alone(c), by_hand(values))), (odd, values)
        assert c.sketch.total == sum(v is not None for v in values) == c.sketch.counts.sum()
        assert all(math.isfinite(v) for v in c.metrics.values())
    assert [c.metrics.get("agreement") for c in p.columns] == [None if v is None else pytest.approx(v) for v in followed([[shown(v) for v in a.to_pylist()] for a in table.columns])]
    plain = [tuple("nan" if v != v else 0. if v == 0 and isinstance(v, float) else v for v in r) for r in zip(*(a.to_pylist() for a in table.columns))]
    if plain: assert p.table["duplicate_share"] == pytest.approx(1-len(set(plain))/len(plain))


def test_many_texts_are_all_counted():
    "Blank texts, shortest and longest are exact even where only some texts' characters are looked at."
    r = np.random.default_rng(4)
    v = np.array([f"{i}-{'x'*int(k)}" for i, k in enumerate(r.integers(0, 30, 60_000))], object)
    v[r.random(60_000) < .01] = "  "
    got, n = profile_table(pa.table({"t": v})).columns[0].metrics, len(v)
    lens = np.array([len(x) for x in v])
    assert (got["empty_share"], got["len_min"], got["len_max"]) == ((v == "  ").sum()/n, lens.min(), lens.max()) and got["len_mean"] == pytest.approx(lens.mean())


# ---- the engine

def mixed(n=4000, seed=3):
    "Every type the engine treats apart, with nulls, few and many values."
    r = np.random.default_rng(seed)
    holes = lambda a, share=.07: pa.array(a, mask=r.random(n) < share)
    text = np.array([f"{a} {b} St{'.' if a%3 else ''}" for a, b in zip(r.integers(0, 10**6, n), r.choice(["Oak", "Élm", "Łódź", "東京"], n))])
    text[r.random(n) < .02] = " "
    return pa.table({"id": pa.array(np.arange(n)*3+10**12), "few": holes(r.integers(0, 9, n)), "many": holes(r.integers(-10**9, 10**9, n)), "big": pa.array(r.integers(-2**62, 2**62, n)), "x": holes(r.normal(40, 9, n)),
                     "odd": pa.array(np.where(r.random(n) < .01, np.nan, np.where(r.random(n) < .01, np.inf, r.normal(size=n)))), "huge": pa.array(r.normal(size=n)*1e300), "text": holes(text), "code": holes(r.choice(["A", "B", "", "N/A"], n)),
                     "spelt": holes(np.char.mod("%.3f", r.normal(100, 30, n)).astype(object)), "when": holes(np.datetime64("2013-01-01", "us")+r.integers(0, 10**14, n).astype("m8[us]")), "day": pa.array(np.datetime64("1969-01-01")+r.integers(0, 9000, n)),
                     "flag": holes(r.random(n) < .3), "none": pa.nulls(n), "price": pa.array(r.integers(0, 10**6, n)).cast(pa.decimal128(20)).cast(pa.decimal128(20, 4)), "f32": holes(r.normal(size=n).astype(np.float32)),
                     "list": pa.array([[int(v)] for v in r.integers(0, 5, n)]), "raw": pa.array([bytes([int(v)]) for v in r.integers(0, 200, n)]), "cat": pa.array(r.choice(["x", "y"], n)).dictionary_encode(), "at": pa.array(r.integers(0, 86400, n).astype(np.int32)).cast(pa.time32("s"))})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    path = tmp_path_factory.mktemp("engine")/"year=2013"/"it's [a] table.parquet"   # nothing in a path means anything
    path.parent.mkdir()
    pq.write_table(mixed(), path, row_group_size=700)
    table = read_table(path)
    return table, path, profile_small(table)


SAMPLED = {"q05", "q25", "q50", "q75", "q95", "top_share", "letter_share", "upper_share", "digit_share", "space_share", "punct_share", "other_share", "peculiarity", "distinct", "unique_share"}
def alone(c): return {k: v for k, v in c.metrics.items() if k != "agreement"} # what a scan knows: it never has two columns side by side



@pytest.mark.parametrize("door", ["arrow", "parquet"])
@pytest.mark.parametrize("plan", [Plan(), SMALL], ids=["whole", "sampled"])
def test_engine_agrees_with_memory(both, door, plan):
    table, path, want = both
    got, shares = scan(table if door == "arrow" else path, plan=plan)
    assert shares["duplicate_share"] == 0
    some_sampled = 0
    for s, w in zip(got, want.columns):
        c = scanned_column(s)
        assert (c.name, c.type) == (w.name, w.type)
        exact = {k: v for k, v in alone(w).items() if not (s.sampled and k in SAMPLED)}
        assert not (odd := differences(c.metrics, exact)), (c.name, odd)
        assert set(c.metrics) == set(alone(w)), c.name
        level = max(c.sketch.level, w.sketch.level)
        a, b = c.sketch.at(level), w.sketch.at(level)
        assert a.total == b.total and np.array_equal(a.hashes, b.hashes) and np.array_equal(a.counts, b.counts), c.name
        if s.sampled: some_sampled += 1; assert abs(c.metrics["distinct"]/w.metrics["distinct"]-1) < .35, c.name  # a hundred hashes or so
    assert some_sampled == (0 if plan.few > 10_000 else 10)


def test_profile_rows_repeat_to_the_byte(both, tmp_path):
    "Reruns, one thread or two, file or table in memory: the same profile, to the byte."
    from dsmon_research.profile import profile_rows
    table, path, _ = both
    def rows(source, threads):
        got, shares = scan(source, threads=threads, plan=SMALL)
        p = [scanned_column(s) for s in got]
        return [repr((c.metrics, c.heavy[0], c.heavy[1].tolist(), None if c.grid is None else c.grid.tobytes(), c.sketch.hashes.tobytes(), c.sketch.counts.tobytes(), c.grams and c.grams.hashes.tobytes())) for c in p]+[repr(shares)]
    first = rows(path, 1)
    assert first == rows(path, 2) == rows(path, 2) == rows(table, 2)
    a, b = (profile_rows(["u"], [profile_large(path, threads=k)]) for k in (1, 2))
    assert all(a[k].equals(b[k]) for k in a)


def test_gates_of_accuracy(tmp_path):
    "A million rows: distinct within 2 % (exact below 8,000), quantile ranks within 0.25 %, every value of a thousandth among the heavy hitters."
    n, r = 1_000_000, np.random.default_rng(11)
    tail = r.zipf(1.15, n).clip(max=10**15)
    data = {"unique": r.permutation(n), "sorted": np.sort(r.integers(0, 400_000, n)), "tail": tail, "normal": r.normal(size=n), "amount": np.exp(r.normal(5, 2, n)).round(2), "period": np.tile(np.arange(10_000)*1., n//10_000),
            "edge": r.integers(0, 7_900, n), "codes": np.char.add("C-", tail.astype(str)), "long": np.char.add(np.char.mod("%07d", r.integers(0, 700_000, n)), " and so on and on, with more to say than anyone reads")}
    path = tmp_path/"million.parquet"
    pq.write_table(pa.table(data), path)
    p = profile_table(path)
    for c in p.columns:
        x = data[c.name]
        values, counts = np.unique(x, return_counts=True)
        assert c.metrics["distinct"] == len(values) if len(values) < 8000 else abs(c.metrics["distinct"]/len(values)-1) < .02, c.name
        heavy = values[counts >= .001*n].astype(str)
        assert set(heavy) <= set(c.heavy[0]), c.name
        if x.dtype.kind in "if":
            order = np.sort(x)
            for q in (5, 25, 50, 75, 95):
                v = c.metrics[f"q{q:02d}"]
                low, high = np.searchsorted(order, v, "left")/n, np.searchsorted(order, v, "right")/n
                assert low-.0025 <= q/100 <= high+.0025, (c.name, q)
            assert c.metrics["mean"] == pytest.approx(x.mean(), rel=1e-9) and c.metrics["std"] == pytest.approx(x.std(ddof=1), rel=1e-9)


def test_duplicates_and_keys_of_large_tables(tmp_path):
    n, r = 400_000, np.random.default_rng(5)
    t = pa.table({"id": np.arange(n), "v": r.normal(size=n)})
    t = pa.concat_tables([t, t.slice(0, 20_000)])
    p = profile_table(t, key=["id"])
    assert p.rows is None and p.table["duplicate_share"] == pytest.approx(20_000/420_000, abs=.004) and p.table["key_violation_share"] == pytest.approx(40_000/420_000, abs=1e-12)
    with pytest.raises(UsageError, match="key column 'no'"): profile_table(t, key=["no"])


def test_large_against_the_one_before(tmp_path):
    "Created, updated and deleted rows of large tables are exact."
    n = 300_000
    old = pa.table({"id": np.arange(n), "v": np.arange(n)%7})
    v = np.arange(n)%7; v[:300] = 99
    new = pa.table({"id": np.concatenate([np.arange(600, n), np.arange(n, n+900)]), "v": np.concatenate([v[600:], np.zeros(900, int)])})
    new = new.set_column(1, "v", pa.array(np.where(new["id"].to_numpy() < 900, 99, new["v"].to_numpy())))
    pq.write_table(old, tmp_path/"old.parquet"); pq.write_table(new, tmp_path/"new.parquet")
    t = profile_table(tmp_path/"new.parquet", ["id"], tmp_path/"old.parquet").table
    m = new.num_rows
    assert (t["created_share"], t["deleted_share"]) == pytest.approx((900/m, 600/n)) and t["updated_share"] == pytest.approx(300/m) and t["same_share"] == pytest.approx((m-1200)/m) and t["schema_changes"] == 0


def test_large_text_files(tmp_path, monkeypatch):
    "Read in pieces: exact figures as in memory, the rest within its error."
    from dsmon_research import read
    n, r = 300_000, np.random.default_rng(9)
    table = pa.table({"id": np.arange(n), "x": r.normal(-5, 3, n).round(4), "code": r.choice(["A", "", "n/a"], n), "note": np.char.add(np.char.mod("%d, ", r.integers(0, 250_000, n)), 'said "no"'), "at": np.datetime64("2013-01-01", "s")+r.integers(0, 10**8, n).astype("m8[s]")})
    pcsv.write_csv(table, tmp_path/"t.csv")
    want = profile_table(tmp_path/"t.csv")
    monkeypatch.setattr(read, "LARGE_FILE", 10**6)
    got = profile_table(tmp_path/"t.csv", key=["id"])
    assert got.table["rows"] == n and got.table["duplicate_share"] == got.table["key_violation_share"] == 0
    for c, w in zip(got.columns, want.columns):
        assert not (odd := differences(c.metrics, {k: v for k, v in alone(w).items() if k not in SAMPLED})), (c.name, odd)
        assert c.metrics["distinct"] == pytest.approx(w.metrics["distinct"], rel=.02) and c.sketch.total == n


def _awkward(n): # records that a careless reader spoils: quoted line breaks and delimiters, empty against missing, other letters, numbers and times in several spellings
    r, row = np.random.default_rng(7), []
    for i in range(n):
        k = int(r.integers(0, 200_000))
        row.append(",".join([str(i), f"{r.normal(-5, 3):.4f}" if i%50 else r.choice(["", "n/a", " 7 ", "1_000", "nan"]), r.choice(["A", '""', "", "Łódź", "é"]), f'"{k}\nsaid ""no"", twice"' if k%9 == 0 else f"{k}é",
                             r.choice(["2013-02-08", f"20{k%90+10}-01-0{k%9+1} 0{k%9}:15:00", f"2013-02-0{k%9+1}T06:00:00+02:00", "soon"], p=[.3, .3, .3, .1]) if i%997 else "2113-01-01 01:00:00+02:00"]))
    return ["id,x,code,note,at", *row]


@pytest.fixture(scope="module")
def awkward(): return _awkward(60_000)


def _spoilt_files(lines):
    ragged = [*lines]
    for i in range(500, len(ragged), 700): ragged[i] = ragged[i].rsplit(",", 2)[0] if '"' not in ragged[i] else ragged[i]+",more,,"
    whole = "\n".join(lines)+"\n"
    return {"fine": whole.encode(), "mark": whole.encode("utf-8-sig"), "crlf": ("\r\n\n"+whole.replace("\n", "\r\n")).encode(), "utf-16": whole.encode("utf-16"), "latin-1": whole.replace("Łódź", "Lödz").encode("latin-1"),
            "torn": whole.replace("Łódź", "Lödz\udcff").encode("utf-8", "surrogateescape"), "ragged": "\n".join(ragged).encode(), "doubled": "\n".join([*lines, *lines[1:2001]]).encode(), "open": (whole+'1,2,3,4,"never closed\n5,6,7,8,9\n').encode()}


@pytest.mark.parametrize("kind", ["fine", "mark", "crlf", "utf-16", "latin-1", "torn", "ragged", "doubled", "open"])
def test_text_in_pieces_is_the_text_in_memory(awkward, kind, tmp_path, monkeypatch):
    "Below and above the threshold: the same cells, rows, bad lines, exact figures and sketches."
    from dsmon_research import read
    path = tmp_path/f"{kind}.csv"
    path.write_bytes(_spoilt_files(awkward)[kind])
    want, cells = profile_table(path, key=["id"]), read_table(path)
    monkeypatch.setattr(read, "LARGE_FILE", 1000)
    with read.Input(path) as it:
        assert isinstance(it.source, read.Text)
        pieces = pa.concat_tables([pa.Table.from_batches([b]) for b in read.Records(it.source)]).rename_columns(cells.column_names)
        assert pieces.num_rows == cells.num_rows and Counter(map(str, pieces.to_pylist())) == Counter(map(str, cells.to_pylist()))
        typed = read_table(it.typed().source)
        assert Counter(map(str, typed.to_pylist())) == Counter(map(str, cells.to_pylist()))
    got = profile_table(path, key=["id"])
    assert {k: v for k, v in got.table.items() if k != "duplicate_share"} == pytest.approx({k: v for k, v in want.table.items() if k != "duplicate_share"})
    assert got.table["duplicate_share"] == pytest.approx(want.table["duplicate_share"], abs=.006)
    assert (got.table["bad_line_share"] > 0) == (kind in ("ragged", "open"))
    for c, w in zip(got.columns, want.columns, strict=True):
        assert not (odd := differences(c.metrics, {k: v for k, v in alone(w).items() if k not in SAMPLED})), (c.name, odd)
        level = max(c.sketch.level, w.sketch.level)
        a, b = c.sketch.at(level), w.sketch.at(level)
        assert a.total == b.total and np.array_equal(a.hashes, b.hashes) and np.array_equal(a.counts, b.counts), c.name


def test_text_in_pieces_repeats_to_the_byte(awkward, tmp_path):
    from dsmon_research.profile import profile_rows
    from dsmon_research.read import text_source
    path = tmp_path/"t.csv"
    path.write_bytes(_spoilt_files(awkward)["ragged"])
    a, b, c = (profile_rows(["u"], [profile_large(text_source(path), threads=k)]) for k in (1, 2, 2))
    assert all(a[k].equals(b[k]) and b[k].equals(c[k]) for k in a)


def test_a_column_that_stops_repeating(tmp_path):
    "The first records promise few values, the others break the promise: measured as what it is."
    from dsmon_research.read import text_source
    n = 40_000
    path = tmp_path/"t.csv"
    path.write_text("a,b\n"+"".join(f"{i},{'same' if i < 4_000 else i}\n" for i in range(n)))
    got, _ = scan(text_source(path, size=20_000), plan=Plan(low=2_000, kept=20_000))
    assert got[1].sampled and got[1].sketch.distinct == n-4_000+1 and got[1].filled == n


def test_large_text_files_of_two_days(tmp_path, monkeypatch):
    "Two CSV files above the threshold are compared as they are below it."
    from dsmon_research import read
    lines = [f"{i},{i%7},x" for i in range(3000)]
    (tmp_path/"old.csv").write_text("\n".join(["id,v,w", *lines])+"\n")
    (tmp_path/"new.csv").write_text("\n".join(["id,v,w", *lines[100:], *(f"{i},short" for i in range(3000, 3050)), "7,9,x"])+"\n")
    want = profile_table(tmp_path/"new.csv", ["id"], tmp_path/"old.csv").table
    monkeypatch.setattr(read, "LARGE_FILE", 1000)
    assert profile_table(tmp_path/"new.csv", ["id"], tmp_path/"old.csv").table == pytest.approx(want) and want["created_share"] > 0


def test_under_a_memory_limit(tmp_path):
    n, r = 2_000_000, np.random.default_rng(2)
    pq.write_table(pa.table({"id": r.permutation(n), "x": r.normal(size=n), "t": np.char.mod("%d Oak Street", r.integers(0, n, n))}), tmp_path/"t.parquet")
    p = profile_table(tmp_path/"t.parquet", key=["id"], memory_limit="256MiB", threads=2)
    assert p.table["rows"] == n and p.table["key_violation_share"] == 0


def test_ten_thousand_columns(tmp_path):
    t = pa.table({f"c{i}": pa.array([i, i+1, None]) for i in range(10_000)})
    assert len(profile_table(t).columns) == 10_000
    wide = pa.table({f"c{i}": np.arange(300) for i in range(500)})
    pq.write_table(wide, tmp_path/"w.parquet")
    got, _ = scan(tmp_path/"w.parquet", plan=SMALL)
    assert [g.name for g in got] == wide.column_names and all(g.sketch.total == 300 for g in got if g.sketch)


def test_hashes_agree_with_the_engine():
    import duckdb
    values = pa.array([f"{'é' if i%5 else '😀'}{i}"*(i%9) for i in range(300)])
    con = duckdb.connect()
    con.register("v", pa.table({"x": values}))
    theirs, ours = con.sql("select hash(x) h from v").to_arrow_table()["h"].to_numpy(), value_hashes(values)
    long = np.array([isinstance(v, str) and len(v.encode()) > 8 for v in values.to_pylist()])
    assert np.array_equal(theirs[~long], ours[~long]) and np.array_equal(theirs >> 40, ours >> 40)
    if pa.types.is_string(values.type): assert long.any() and np.array_equal(theirs, text_hashes(values, coarse=True))


CODES = [f"KEWR-01{a}-07-230{b}" for a in map(chr, range(48, 91)) for b in map(chr, range(48, 91))] # differ in the last byte of two eight-byte words

@pytest.mark.parametrize("large", [False, True])
def test_codes_that_are_alike_are_told_apart(large, monkeypatch):
    "As values, as keys and as rows; DuckDB's own hash takes most of them for another."
    from dsmon_research import read
    if large: monkeypatch.setattr(read, "LARGE", 1_000)
    t = pa.table({"code": CODES})
    p = profile_table(t, ["code"])
    assert p.columns[0].metrics["distinct"] == len(CODES) and p.table["key_violation_share"] == 0 == p.table["duplicate_share"] and (p.rows is None) == large
    q = profile_table(t.slice(10), ["code"], t.slice(0, len(CODES)-5))
    assert (q.table["created_share"]*q.table["rows"], q.table["deleted_share"]*(len(CODES)-5), q.table["updated_share"]) == pytest.approx((5, 10, 0))
    sampled, shares = scan(t, plan=Plan(few=10, kept=100_000)) if large else ([value_hashes(t["code"].combine_chunks())], {"duplicate_share": 0})
    assert (sampled[0].sketch.distinct if large else len(np.unique(sampled[0]))) == len(CODES) and shares["duplicate_share"] == 0


def test_broken_files(tmp_path):
    (tmp_path/"torn.parquet").write_bytes(b"PAR1 half a file")
    with pytest.raises(SourceError, match="torn.parquet"): profile_table(tmp_path/"torn.parquet")
    with pytest.raises(SourceError, match="absent.parquet"): profile_table(tmp_path/"absent.parquet")
