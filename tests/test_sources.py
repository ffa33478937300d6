"Sources on a bad day: scripted servers, places that must not be asked, secrets that must not be seen, every permutation of arrival."
import gzip, json, os, random, re, sqlite3, subprocess, sys, tempfile, traceback
from datetime import datetime, timezone

import pyarrow as pa, pyarrow.parquet as pq
import pytest

from conftest import ROOT
from dsmon_research import collect, extracts as ex, socrata as so, standin, web as w
from dsmon_research.archive import Archive, verify
from dsmon_research.capture import capture
from dsmon_research.config import SourceError, UsageError

SOAK = bool(os.environ.get("DSMON_SOAK"))
SCHEDULES = 500 if SOAK else 40
WORDS = ["429:1", "429:0", "503:2", "500", "502", "504", "drip", "truncate", "cut", "lost", "reset", "html", "empty", "move", "schema", "shuffle", "redirect:http://169.254.169.254/latest", "404", "403", "429:99999"]


def project(folder, source, key="[number]", archive=b""):
    text = (ROOT/"params.yaml").read_text()
    (folder/"params.yaml").write_text(text[:text.index("\ndatasets:")]+f"\ndatasets:\n  d: {{source: '{source}', key: {key}}}\n")
    if archive: (folder/"data").mkdir(); (folder/"data"/"archive.db").write_bytes(archive)
    return folder


class Clock:
    "Time that passes only when somebody waits, and a little with every look."
    def __init__(self): self.now, self.waits = 0., []
    def __call__(self): self.now += .02; return self.now
    def sleep(self, s): self.now += s; self.waits.append(s)


@pytest.fixture
def near(monkeypatch):
    with standin.Portal(datasets=1, rows=230, drip=.001) as p:
        monkeypatch.setenv("DSMON_PRIVATE_HOSTS", p.place)
        yield p


def states(h, moves): # what the portal can show: its CSV without :id, before and after each move or change
    out, twin = set(), standin.Holding(h.id, 230, 0)
    seen = [(twin.seed, twin.rows, twin.header)]
    for m in moves:
        (twin.move if m == "move" else twin.rename)()
        seen.append((twin.seed, twin.rows, twin.header))
    for seed, rows, header in seen:
        t = standin.Holding(h.id, rows, seed); t.header = header
        out.add(t.csv(system=False))
    return out


def as_csv(table): # as the stand-in writes it
    cell = lambda v: "" if v is None else '"'+v.replace('"', '""')+'"' if "," in v or '"' in v else v
    return ("\n".join([",".join(table.column_names), *[",".join(map(cell, r)) for r in zip(*(c.to_pylist() for c in table.columns))]])+"\n").encode()


def test_no_partial_update_is_ever_archived(near, tmp_path, monkeypatch, empty_archive):
    "Scripted schedules: what is archived is a state that the portal had, whole, or nothing."
    clock, done, kept = Clock(), 0, 0
    real = so.Portal.__init__
    monkeypatch.setattr(so.Portal, "__init__", lambda self, a, limits=None, **_: real(self, a, w.Limits(tries=4, quiet=.25, deadline=30, rate=1e6), clock.sleep, clock))
    for n in range(SCHEDULES):
        rng = random.Random(n)
        api = rng.choice(["2", "3", "export"])
        folder = tmp_path/str(n); folder.mkdir()
        near.holdings[0].__init__("0000-data", 230, 0); near._cache.clear(); near.done.clear()
        near.script[:] = [rng.choice(WORDS) if rng.random() < .35 else "" for _ in range(rng.randint(1, 25))]
        project(folder, f"socrata:{near.place}/0000-data?page=100&api={api}", archive=empty_archive)
        try: got = capture("d", folder)
        except SourceError: got = None
        allowed = states(near.holdings[0], [x for x in near.done if x in ("move", "schema")])
        updates = ex.extracts(ex.extract_folder(f"socrata:{near.place}/0000-data", folder))
        assert all(as_csv(u.read()) in allowed for u in updates), (n, near.done)
        with Archive(root=folder) as a:
            rows = a.select('SELECT row_count FROM "update"')
            assert [r["row_count"] for r in rows] == [u.read().num_rows for u in updates] and bool(verify(a)), (n, near.done)
        assert (got is None) == (not updates), (n, near.done)
        assert not list(folder.rglob(".part-*"))
        done, kept = done+1, kept+len(updates)
    assert done == SCHEDULES and .3*done < kept < done     # the schedules are neither harmless nor hopeless
    print(f"{done} schedules, {kept} updates kept, 0 partial")


def test_a_pull_goes_on_where_it_stopped(near, tmp_path):
    near.script[:] = [""]*4+["404"]                          # view, count, two pages, then no more
    a = so.asset(f"{near.place}/0000-data?page=100&rate=1000")
    with so.Portal(a) as p, pytest.raises(SourceError): so.pull(p, a.id, tmp_path)
    assert ex.extracts(tmp_path) == [] and len(list(tmp_path.rglob("0*.csv"))) == 2
    near.log.clear()
    with so.Portal(a) as p: so.pull(p, a.id, tmp_path)
    assert [re.search("offset=(\\d+)", path.replace("%24", "$"))[1] for _, path, *_ in near.log if "offset" in path] == ["200"]
    assert [u.read().num_rows for u in ex.extracts(tmp_path)] == [230] and not list(tmp_path.rglob(".pull*"))


def test_pages_of_another_state_are_not_used(near, tmp_path):
    near.script[:] = [""]*3+["404"]
    a = so.asset(f"{near.place}/0000-data?page=100&rate=1000")
    with so.Portal(a) as p, pytest.raises(SourceError): so.pull(p, a.id, tmp_path)
    near.holdings[0].move()
    with so.Portal(a) as p: so.pull(p, a.id, tmp_path)
    assert as_csv(ex.extracts(tmp_path)[0].read()) == near.holdings[0].csv(system=False)


def test_soda_3_wants_its_token_and_never_shows_it(near, tmp_path, monkeypatch):
    near.token = "canary-token-77aa"
    monkeypatch.setenv("APP", near.token)
    monkeypatch.setenv("LOGIN", "ann:canary-pass-31bb")
    uri = f"socrata:{near.place}/0000-data?api=3&rate=1000"
    with pytest.raises(SourceError, match="App token required"): list(collect.updates(uri, None, project(tmp_path, uri)))
    got = list(collect.updates(uri+"&token=env:APP&login=env:LOGIN", None, tmp_path))
    assert got[0].read().num_rows == 230
    assert all("canary" not in path for _, path, *_ in near.log) and any(h.get("Authorization", "").startswith("Basic ") for *_, h, _ in near.log)
    near.script[:] = ["redirect:http://127.0.0.1:9/x", *["403"]*9]
    for _ in range(3):
        near.holdings[0].move()
        with pytest.raises(SourceError) as e: list(collect.updates(uri+"&token=env:APP&login=env:LOGIN", None, tmp_path))
        assert "canary" not in "".join(traceback.format_exception(e.value))
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and b"canary" in f.read_bytes()]


@pytest.mark.parametrize("uri", ["socrata:data.example.org/2vhs-cf6b?token=canary-1", "socrata:data.example.org/2vhs-cf6b?login=ann:canary-1", "sql:postgresql://ann:canary-1@db.example/x#t", "sql:mysql+x://ann:canary-1@h/x#t",
                                 "sql:postgresql://db.example/x?password=canary-1#t", "files:s3://ann:canary-1@bucket/x.csv"])
def test_a_secret_in_a_uri_is_refused_unseen(uri, tmp_path):
    with pytest.raises((UsageError, SourceError)) as e: list(collect.updates(uri, None, tmp_path))
    assert "canary" not in "".join(traceback.format_exception_only(e.value))


def test_credentials_stay_with_their_host(monkeypatch):
    with standin.Portal() as a, standin.Portal() as b:
        monkeypatch.setenv("DSMON_PRIVATE_HOSTS", f"{a.place} {b.place}")
        a.script[:] = [f"redirect:http://{b.place}/api/views/0000-data.json"]
        with w.Web({a.place, b.place}, {"X-App-Token": "canary"}, ("ann", "canary")) as web: web.get(f"http://{a.place}/x")
        assert a.log[0][2].get("X-App-Token") == "canary" and b.log and "canary" not in json.dumps([x[2] for x in b.log])
        a.script[:] = [f"redirect:http://{b.place}/"]
        with w.Web({a.place}) as web, pytest.raises(SourceError, match="not a place"): web.get(f"http://{a.place}/x")
        assert len(b.log) == 1
        a.script[:] = [f"redirect:http://{a.place}/x"]*10
        with w.Web({a.place}) as web, pytest.raises(SourceError, match="redirects without end"): web.get(f"http://{a.place}/x")


def test_a_name_that_answers_differently_the_second_time(monkeypatch):
    "DNS rebinding: the address that is connected to is the one that was checked."
    asked, dialled = [], []
    monkeypatch.setattr(w.socket, "getaddrinfo", lambda host, port, **_: asked.append(host) or [(2, 1, 6, "", ("8.8.8.8" if len(asked) == 1 else "127.0.0.1", port))])
    import httpcore
    def dial(self, host, port, **_): dialled.append(host); raise httpcore.ConnectError("no route")
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", dial)
    web = w.Web({"data.example.org"}, limits=w.Limits(tries=2, rate=1e6), sleep=lambda s: None)
    with pytest.raises(SourceError, match="an address inside"): web.get("https://data.example.org/x")
    assert dialled == ["8.8.8.8"]


def test_proxies_of_the_environment_are_not_used(near, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9"); monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with so.Portal(so.asset(f"{near.place}/0000-data")) as p: assert p.view("0000-data")["id"] == "0000-data"


# arrival in any order

def flights(n): return [u.read().select(["carrier", "flight", "origin"]) for u, _ in zip(collect.updates("example:flights"), range(n))]


@pytest.mark.parametrize("seed", range(12 if SOAK else 2))
def test_replay_late_duplicate_out_of_order(tmp_path, seed, empty_archive):
    "Whatever order files arrive in, however often they are looked at: one final state. (All orders: test_reliability.)"
    rng, folder = random.Random(seed), project(tmp_path, "files:in/*.parquet", "[]", empty_archive)
    (folder/"in").mkdir()
    days = list(enumerate(flights(5), 1))
    for n, t in rng.sample(days, 5):
        pq.write_table(t, folder/"in"/f"2026-01-0{n}.parquet")
        for _ in range(rng.randint(0, 2)): capture("d", folder)
    capture("d", folder); again = capture("d", folder)
    assert (again.new, again.revision, again.compared) == ([], [], 0)
    with Archive(root=folder) as a:
        h = a.history("d")
        assert [int(r) for r in h.metric(None, "rows")] == [t.num_rows for _, t in days]
        assert len(a.select('SELECT id FROM "update"')) == 5


def test_revisions_of_a_listing_are_taken_once_in_the_order_of_their_publication(tmp_path, monkeypatch):
    day = lambda d: datetime(2026, 1, d, tzinfo=timezone.utc)
    t = flights(4)
    same = lambda x: lambda: x
    listing = [collect.Update("a", day(1), same(t[0]), "", 1, "c1", day(1)), collect.Update("a", day(1), same(t[1]), "", 1, "c4", day(4)), collect.Update("a", day(1), same(t[0]), "", 1, "c5", day(5)),
               collect.Update("b", day(2), same(t[2]), "", 1, "c2", day(2))]
    monkeypatch.setitem(collect.SOURCES, "made", lambda *_: listing)
    folder = project(tmp_path, "made:x", "[]")
    for _ in range(3): capture("d", folder)
    with Archive(root=folder) as a:
        assert [(u["source_version"], u["row_count"]) for u in a.current("d")] == [("a", t[0].num_rows), ("b", t[2].num_rows)]     # a, mended, and put back
        assert len(a.select('SELECT id FROM "update"')) == 3
        seen = a.select("SELECT source_version, stamp FROM sighting ORDER BY id")
    assert [s["stamp"] for s in seen] == ["c1", "c2", "c4", "c5"]


def test_log_lines_are_judged_like_tables(tmp_path):
    lines = [f"2026-{1+d//28:02d}-{1+d%28:02d} 09:00:54,044 INFO [x] rows update summary DatasetWriter nbe rt4a-u7gh {{Rows Deleted={d%3}, Rows Updated={9000+37*(d%7)}, Rows Created={24000+11*(d%5)}}}" for d in range(60)]
    (tmp_path/"s.log").write_text("\n".join(lines)+"\n")
    folder = project(tmp_path, "log:s.log", "[]")
    got = capture("d", folder)
    assert len(got.new) == 60 and capture("d", folder).new == []
    with Archive(root=folder) as a:
        h = a.history("d")
        assert h.metric("rows_created", "mean").tolist() == [24000+11*(d % 5) for d in range(60)]
        assert [u["rows_updated"] for u in a.current("d")] == [9000+37*(d % 7) for d in range(60)]
    from dsmon_research.monitor import Monitor
    assert Monitor("d", folder).assess().to_dict()["verdict"] == "healthy"
    with (tmp_path/"s.log").open("a") as f: f.write(lines[0].replace("2026-01-01", "2026-03-05").replace("24000", "12")+"\n")       # the day after: nearly nothing was created
    capture("d", folder)
    got = Monitor("d", folder).assess().to_dict()
    assert (got["verdict"], got["reasons"][0]["column"]) == ("unhealthy", "rows_created")


def test_a_spoiled_line_hides_no_other(tmp_path):
    "One line that does not fit is one update that cannot be read, by its number; mended, or read by a better pattern, it is an update like others. A line that is being written waits."
    good = [f"2026-03-{d:02d} 09:00:54 rows update summary {{Rows Deleted=0, Rows Updated={d}, Rows Created={100+d}}}" for d in range(1, 10)]
    put = lambda text: (tmp_path/"s.log").write_text(text)
    put("\n".join([*good[:4], good[4].replace("105", "oops"), *good[5:]])+"\n")
    folder = project(tmp_path, "log:s.log", "[]")
    got = capture("d", folder)
    assert len(got.new) == 8 and got.unreadable == ["2026-03-05T09:00:54Z"] and "s.log, line 5" in got.why[got.unreadable[0]]
    put("\n".join(good)+"\n"+good[0].replace("-01 ", "-10 ")[:-5])
    got = capture("d", folder)
    assert (got.new+got.revision, got.unreadable, got.listed) == (["2026-03-05T09:00:54Z"], [], 9)
    put("\n".join(x[:40] for x in good)+"\n")
    with pytest.raises(SourceError, match="s.log, line 1"): capture("d", folder)             # all of them: the format has changed


def test_every_registered_scheme_is_a_source():
    for scheme in collect.SOURCES: assert callable(collect._source(scheme))
    with pytest.raises(UsageError, match="scheme 'gopher'"): collect.updates("gopher:x")


# files

BOMBS = {"zeros.csv.gz": gzip.compress(bytes(250_000_000), 9), "layers.csv.gz": gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"a\n1\n")))), "x.zip": b"PK\x03\x04"+b"\0"*60, "x.xlsx": b"PK\x03\x04"}

@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(tmp_path, name):
    (tmp_path/name).write_bytes(BOMBS[name])
    code = "import re, resource, sys\nresource.setrlimit(resource.RLIMIT_AS, (2_000_000_000,)*2)\nfrom dsmon_research.collect import updates\nfrom dsmon_research.project import SourceError\ntry: next(iter(updates(sys.argv[1]))).read()\nexcept SourceError as e: print('refused', e)\nprint(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    done = subprocess.run([sys.executable, "-c", code, f"files:{tmp_path/name}"], capture_output=True, text=True, cwd=ROOT)
    said = done.stdout.splitlines()
    assert said and said[0].startswith("refused"), done.stderr[-300:]
    assert int(said[-1]) < 512_000


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "..\\x", "%2e%2e/x", "x\0y", "~/x", "a"*300])
def test_extracts_stay_inside(tmp_path, path):
    (tmp_path/"params.yaml").write_text("datasets: {}")
    t = pa.table({"a": ["1"]})
    at = ex.save_extract(ex.extract_folder(f"sql:{path}", tmp_path), t, path, datetime.now(timezone.utc), path, path, 1)
    assert at.resolve().is_relative_to((tmp_path/"data"/"extracts").resolve()) and at.is_file()
    assert ex.extracts(at.parent)[0].id == path


def test_a_killed_extract_is_no_extract(tmp_path):
    "What a kill leaves is not listed, and gone a day later."
    left = [tmp_path/".part-abc", tmp_path/".pull-0123456789abcdef"]
    left[0].write_bytes(b"half"); left[1].mkdir(); (left[1]/"000000.csv").write_bytes(b":id,a\n")
    assert ex.extracts(tmp_path) == []
    save = lambda stamp: ex.save_extract(tmp_path, pa.table({"a": ["1"]}), stamp, datetime.now(timezone.utc), stamp, "", 1)
    save("one")
    assert all(f.exists() for f in left)                    # it may be somebody at work
    for f in left: os.utime(f, (0, 0))
    save("two")
    assert not any(f.exists() for f in left) and [u.id for u in ex.extracts(tmp_path)] == ["one", "two"]


@pytest.mark.parametrize("words", [["truncate"], ["503", "reset"], ["reset", "truncate", "500"]])
def test_bytes_of_a_failed_try_are_forgotten(near, tmp_path, words):
    "What came of a page before the connection broke is not part of it."
    near.script[:] = ["", "", *[w_+"@.csv" for w_ in words]]
    a = so.asset(f"{near.place}/0000-data?page=100&rate=1000")
    with so.Portal(a, w.Limits(rate=1e6, quiet=.3, first=.01)) as p: so.pull(p, a.id, tmp_path)
    assert near.done == words and as_csv(ex.extracts(tmp_path)[0].read()) == near.holdings[0].csv(system=False) and not [f for f in tmp_path.iterdir() if f.name[0] == "."]


# SQL

@pytest.mark.xdist_group("postgres")
def test_postgres_for_real(tmp_path, monkeypatch):
    pgserver, psycopg = pytest.importorskip("pgserver"), pytest.importorskip("psycopg")
    server = pgserver.get_server(tempfile.mkdtemp(prefix="dsmon-pg"), cleanup_mode="delete")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as con:
            con.execute("CREATE TABLE sales (day date, n bigint, price numeric(38, 18), note text, at timestamptz)")
            con.execute("INSERT INTO sales SELECT '2026-01-01'::date + (i % 3), 9007199254740993 + i, 1.000000000000000001, CASE WHEN i = 5 THEN NULL ELSE 'a:b %% c' END, '2026-03-29 02:30:00+01' FROM generate_series(1, 300) i")
            con.execute("CREATE ROLE reader LOGIN PASSWORD 'canary-pg'; GRANT SELECT ON sales TO reader; GRANT pg_read_all_data TO reader")
        monkeypatch.setenv("PGREF", url)
        folder = project(tmp_path, "sql:env:PGREF#sales?watermark=day", "[n]")
        one, two = capture("d", folder), capture("d", folder)
        assert (one.new, two.new) == (["2026-01-01", "2026-01-02"], ["2026-01-03"])
        t = list(collect.updates("sql:env:PGREF#SELECT * FROM sales WHERE note = 'a:b %% c' ORDER BY n", None, folder))[0].read()
        assert t.num_rows == 299 and t["n"][0].as_py() == 9007199254740994 and str(t["price"][0].as_py()) == "1.000000000000000001"
        with psycopg.connect(url, autocommit=True) as con: con.execute("INSERT INTO sales VALUES ('2026-01-05', 1, 2, NULL, now()); CREATE TABLE load_log (id serial)")
        from dsmon_research import trigger
        trigger.listen(trigger.Trigger("load_log", "d"), "env:PGREF", folder, None, .2, print)                 # a load is done: its day is taken at once, not when the next one comes
        with psycopg.connect(url, autocommit=True) as con: con.execute("INSERT INTO load_log DEFAULT VALUES")
        with Archive(root=folder) as a: assert [u["source_version"] for u in a.current("d")][-2:] == ["2026-01-03", "2026-01-05"]
        with psycopg.connect(url, autocommit=True) as con: con.execute("DELETE FROM sales WHERE day = '2026-01-05'")
        (tmp_path/"there").mkdir()
        there = project(tmp_path/"there", "sql:env:PGREF#sales?profile=there", "[n]")
        assert (len(capture("d", there).new), capture("d", there).new) == (1, [])
        with psycopg.connect(url, autocommit=True) as con: con.execute("INSERT INTO sales VALUES ('2026-01-04', 1, 2, NULL, now())")
        assert len(capture("d", there).new) == 1
        with Archive(root=there) as a:
            h = a.history("d")
            assert (h.metric(None, "rows").tolist(), h.metric("note", "null_share").round(6).tolist()) == ([300, 301], [round(1/300, 6), round(2/301, 6)]) and verify(a)
        assert [f.name for f in (there/"data"/"extracts").rglob("*") if f.is_file()] == ["state.json"]
        # a table whose reading writes: whoever copies it and whoever lets it be measured is refused, and nothing was written
        with psycopg.connect(url, autocommit=True) as con:
            con.execute("CREATE TABLE traces (at timestamptz); CREATE FUNCTION trace() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO traces VALUES (now()); RETURN 1; END $$; CREATE VIEW trap AS SELECT n, trace() AS t FROM sales")
            assert con.execute("SELECT sum(t) FROM trap WHERE n < 9007199254740996").fetchone()[0] == con.execute("SELECT count(*) FROM traces").fetchone()[0] == 3
        for how in ("", "?profile=there", "?watermark=t"):
            with pytest.raises(SourceError, match="read-only"): list(collect.updates(f"sql:env:PGREF#trap{how}", None, there))
        with psycopg.connect(url) as con: assert con.execute("SELECT count(*) FROM traces").fetchone()[0] == 3
        for bad in ("sql:env:PGREF#SELECT pg_sleep(0); DROP TABLE sales", 'sql:env:PGREF#sales"; DROP TABLE sales; --'):
            with pytest.raises((UsageError, SourceError)): list(collect.updates(bad, None, folder))
        with pytest.raises(SourceError, match="read-only"): list(collect.updates("sql:env:PGREF#SELECT lo_create(0)", None, folder))
        monkeypatch.setenv("PW", "canary-wrong")
        with pytest.raises(SourceError) as e: list(collect.updates("sql:postgresql://nobody:env:PW@127.0.0.1:1/x#sales", None, folder))
        assert "canary" not in "".join(traceback.format_exception(e.value))
    finally: server.cleanup()


def test_no_session_can_write(tmp_path, monkeypatch):
    "Who tries to write where a table is read or measured: refused by the database itself, its file stays as it was."
    import duckdb
    from dsmon_research import sqltable, warehouse
    (tmp_path/"params.yaml").write_text("datasets: {}")
    with duckdb.connect(str(tmp_path/"x.duckdb")) as con: con.execute("CREATE TABLE t AS SELECT 1 AS a")
    with sqlite3.connect(tmp_path/"x.db") as con: con.execute("CREATE TABLE t (a)"); con.execute("INSERT INTO t VALUES (1)")
    con.close()
    before = {n: (tmp_path/n).read_bytes() for n in ("x.duckdb", "x.db")}
    for url in ("sqlite:///x.db", "duckdb:///x.duckdb"):
        for sql in ("INSERT INTO t VALUES (2)", "DELETE FROM t", "CREATE TABLE u (a int)", "DROP TABLE t", f"ATTACH '{tmp_path}/y.db' AS y"):
            with sqltable._Database(url, tmp_path) as db, pytest.raises(SourceError): db.table(sql)
    tried = []
    def measure(table, *_, **__): # in the very session that measures
        for sql in ("INSERT INTO t VALUES (2)", "CREATE TABLE u (a int)", f"COPY t TO '{tmp_path}/out.csv'"):
            try: table.get_backend().raw_sql(sql)
            except duckdb.Error as e: tried.append(type(e).__name__)
        return real(table)
    real = warehouse.profile_warehouse; monkeypatch.setattr(warehouse, "profile_warehouse", measure)
    assert sqltable.profile_in_place("duckdb:///x.duckdb#t", None, tmp_path).table["rows"] == 1 and len(tried) == 3, tried
    assert {n: (tmp_path/n).read_bytes() for n in before} == before and not (tmp_path/"out.csv").exists() and not (tmp_path/"y.db").exists()


def test_mixed_types_of_sqlite_are_kept(tmp_path):
    (tmp_path/"params.yaml").write_text("datasets: {}")
    with sqlite3.connect(tmp_path/"x.db") as con: con.execute("CREATE TABLE t (a, a2, b)"); con.executemany("INSERT INTO t VALUES (?, ?, ?)", [(1, 1, None), ("x", 2.5, None), (b"\xff", None, None)])
    con.close()
    t = list(collect.updates("sql:sqlite:///x.db#t", None, tmp_path))[0].read()
    assert t.to_pydict() == {"a": ["1", "x", "ff"], "a2": [1.0, 2.5, None], "b": [None]*3}


# what goes out

def schema(): # of a run event and its two facets, as the specification 2-0-2 and facets 1-0-1 and 1-0-2 describe them
    text, number, whole, uri = dict(type="string"), dict(type="number"), dict(type="integer"), dict(type="string", pattern=r"^https://\S+$")
    def thing(required, **properties): return dict(type="object", required=required.split(), properties=properties)
    facet = dict(_producer=uri, _schemaURL=dict(type="string", pattern=r"^https://openlineage\.io/spec/facets/\d+-\d+-\d+/\w+\.json#/\$defs/\w+$"))
    column = thing("", nullCount=whole, distinctCount=whole, sum=number, count=number, min=number, max=number, quantiles=dict(type="object", additionalProperties=number)) | dict(additionalProperties=False)
    assertions = thing("_producer _schemaURL assertions", **facet, assertions=dict(type="array", items=thing("assertion success", assertion=text, success=dict(type="boolean"), column=text) | dict(additionalProperties=False)))
    metrics = thing("_producer _schemaURL columnMetrics", **facet, rowCount=whole, columnMetrics=dict(type="object", additionalProperties=column))
    source = thing("namespace name", namespace=text, name=text, facets=dict(type="object"), inputFacets=thing("dataQualityAssertions", dataQualityAssertions=assertions, dataQualityMetrics=metrics))
    return thing("eventTime run job producer schemaURL", eventType=dict(enum=["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]), eventTime=dict(type="string", pattern=r"^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$"),
                 run=thing("runId", runId=dict(type="string", pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")), job=thing("namespace name", namespace=text, name=text), inputs=dict(type="array", minItems=1, items=source), outputs=dict(type="array"), producer=uri, schemaURL=uri)


def test_an_assessment_goes_out_as_an_openlineage_event(tmp_path, monkeypatch, capsys, empty_archive):
    "From a captured dataset and from one that only has stages; healthy, unhealthy and too young: each fits the specification and says what was said."
    from jsonschema import Draft202012Validator
    from dsmon_research.cli import main
    fits = Draft202012Validator(schema())
    (tmp_path/"in").mkdir()
    rng = random.Random(5)
    for d in range(40): (tmp_path/"in"/f"2026-{1+d//28:02d}-{1+d%28:02d}.csv").write_text("k,v,city\n"+"".join(f"{i},{rng.gauss(10, 2):.2f},{'' if d == 39 else rng.choice(['Rome', 'Bari'])}\n" for i in range(200+rng.randrange(9))))
    project(tmp_path, "files:in/*.csv", "[k]", empty_archive)
    monkeypatch.setenv("DSMON_ROOT", str(tmp_path)); monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "night")
    assert main(["capture", "d"]) == 0
    said = {}
    for what, args in dict(bad=[], good=["--update", "2026-02-10"], young=["--update", "2026-01-03"]).items():
        capsys.readouterr()
        code = main(["assess", "d", *args, "--openlineage", str(tmp_path/f"{what}.json"), "--json"])
        verdict, event = json.loads(capsys.readouterr().out), json.loads((tmp_path/f"{what}.json").read_text())
        fits.validate(event)
        facets = event["inputs"][0]["inputFacets"]
        said[what] = code, facets["dataQualityAssertions"]["assertions"]
        rows = (tmp_path/"in"/f"{verdict['update']}.csv").read_text().count("\n")-1
        assert facets["dataQualityMetrics"]["rowCount"] == rows and facets["dataQualityMetrics"]["columnMetrics"]["city"]["nullCount"] == (rows if what == "bad" else 0)
        assert (event["job"], event["inputs"][0]["name"]) == (dict(namespace="night", name="assess d", facets={}), "in/*.csv")
    assert [said[k][0] for k in ("bad", "good", "young")] == [3, 0, 4] and said["young"][1] == [] and said["good"][1] == [dict(assertion="update is healthy", success=True)]
    assert said["bad"][1][0] == dict(assertion="update is healthy", success=False) and "city" in {a.get("column") for a in said["bad"][1]}
    assert main(["assess", "d", "--openlineage", str(tmp_path/"x.txt")]) == 2 and not (tmp_path/"x.txt").exists()
    assert not fits.is_valid(event | dict(run={})) and not fits.is_valid(json.loads(json.dumps(event).replace('"success"', '"ok"')) if said["young"][1] else event | dict(producer=1))


def test_init_says_rhythm_and_budget(tmp_path, monkeypatch, capsys):
    from dsmon_research.cli import main
    monkeypatch.setenv("DSMON_ROOT", str(tmp_path)); project(tmp_path, "example:flights")
    (tmp_path/"in").mkdir()
    for w_ in range(30): (tmp_path/"in"/f"{datetime.fromordinal(datetime(2026, 1, 5).toordinal()+7*w_):%Y-%m-%d}.csv").write_text(f"id,at\n{w_},2026-01-01\n{w_+1},2026-01-02\n")
    assert main(["init", "weekly", "--source", "files:in/*.csv", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["block"] == dict(source="files:in/*.csv", key=["id"], time="at", season=52, alerts_per_month=.21) and got["rhythm"]["words"] == "weekly" and got["budget"]["needed"] == 20
    from dsmon_research.config import load_params
    assert load_params(tmp_path).datasets["weekly"].alerts_per_month == .21
    (tmp_path/"empty.log").write_text("nothing here\n")
    assert main(["init", "none", "--source", "log:empty.log"]) == 5 and "no update yet" in capsys.readouterr().err
