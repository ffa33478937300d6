"The archive under kills, full disks, crowds, replays, odd data and flipped bytes, on SQLite and on PostgreSQL. `DSMON_SOAK=1` makes every loop long."
import itertools, json, os, random, re, shutil, sqlite3, subprocess, sys, tempfile, warnings
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa, pyarrow.compute as pc, pyarrow.csv as pcsv, pyarrow.parquet as pq
import pytest

import dsmon_research.archive as archive_module
from conftest import BIN, run
from dsmon_research.archive import REVISION, UNHEALTHY_TODAY, Archive, export, named, now, tidy, utc_time, utc_text, verify, wide
from dsmon_research.capture import capture
from dsmon_research.cli import main
from dsmon_research.collect import collect, content_hash, updates
from dsmon_research.config import SourceError, UsageError
from dsmon_research.history import history_from_rows, load_history, profile_updates
from dsmon_research.profile import COLUMN_METRICS, TABLE_METRICS, profile_rows, profile_table
from dsmon_research.tables import KINDS, PUBLIC_NAME, TABLES, engine, metadata, migrate

SOAK = bool(os.environ.get("DSMON_SOAK"))
UTC = timezone.utc
DAY = datetime(2024, 5, 1, tzinfo=UTC)
PARAMS = "inject: {{faults: {{}}}}\nbacktest: {{detectors: [], members: []}}\ndatasets: {{shop: {{source: '{source}', key: [id]}}}}\n"


@pytest.fixture(scope="module")
def server():
    "A PostgreSQL of its own; as root `pgserver` runs it as an unprivileged user, which pytest's private folders would shut out."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgserver
    made = pgserver.get_server(tempfile.mkdtemp(prefix="dsmon-pg"), cleanup_mode="delete")
    yield lambda database: f"postgresql://postgres:hunter2@/{database}?host={made.get_postmaster_info().socket_dir}"
    made.cleanup()

def _fresh(request, tmp_path, kind):
    if kind == "sqlite": return f"sqlite:///{tmp_path}/archive.db"
    import psycopg
    at, name = request.getfixturevalue("server"), f"a{next(_numbers)}"
    with psycopg.connect(at("postgres"), autocommit=True) as con: con.execute(f"CREATE DATABASE {name}")
    return at(name)
_numbers = itertools.count()

@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("archive-pg"))])
def url(request, tmp_path):
    "An empty store of each kind."
    return _fresh(request, tmp_path, request.param)

@pytest.fixture
def lite(tmp_path): return f"sqlite:///{tmp_path}/archive.db"

def small(i=0, n=6): return pa.table({"id": [f"k{j+i}" for j in range(n)], "x": [float(j*j+i) for j in range(n)], "word": ["a", "b", None]*(n//3)})

def put(a, i, name="shop", **kw):
    t = small(i)
    return a.append(name, f"v{i:04d}", DAY+timedelta(days=i), profile_table(t, name=f"v{i}"), content_hash(t), **kw)

def same(h, want):
    "Two histories are equal to the bit."
    assert (h.ids, h.columns, h.types.tolist(), h.times.tolist()) == (want.ids, want.columns, want.types.tolist(), want.times.tolist())
    assert h.table.tobytes() == want.table.tobytes() and h.values.tobytes() == want.values.tobytes()
    for x, y in zip(h.sketches, want.sketches, strict=True):
        assert x.keys() == y.keys()
        for c in y:
            pairs = [(x[c], y[c]), *([(x[c].grams, y[c].grams)] if y[c].grams else [])]
            assert all((p.level, p.total) == (q.level, q.total) and p.hashes.tobytes() == q.hashes.tobytes() and p.counts.tobytes() == q.counts.tobytes() for p, q in pairs)
            assert (x[c].grams is None, x[c].grid is None) == (y[c].grams is None, y[c].grid is None) and (y[c].grid is None or x[c].grid.tobytes() == y[c].grid.tobytes())

def parquet_path(tables, times=None):
    "What the stage `profile` makes of these tables."
    ids, ps = [f"u{i}" for i in range(len(tables))], [profile_table(t) for t in tables]
    return ids, ps, history_from_rows(profile_rows(ids, ps), np.array([(DAY+timedelta(days=i)).replace(tzinfo=None) for i in range(len(ids))], "datetime64[s]"))


# tables and migrations

def test_migrations_make_what_is_declared(url):
    "Alembic compares the migrated store with the declarations; a second run has no step to do."
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext
    steps = migrate(url)
    assert steps[-1].startswith(f"{REVISION}: ") and migrate(url) == []
    made = engine(url)
    with made.connect() as con: assert compare_metadata(MigrationContext.configure(con), metadata()) == []
    made.dispose()

def test_every_metric_has_a_typed_column():
    for table, register in (("update", TABLE_METRICS), ("column_profile", COLUMN_METRICS)):
        for m in register.values(): assert KINDS[table][PUBLIC_NAME.get(m.name, m.name)] == ("whole" if m.kind == "count" else "real")
    assert all(t.columns[-1].refers == "ledger" for n, t in TABLES.items() if n != "ledger")
    words = {w for t in TABLES.values() for c in t.columns for w in [c.name.upper()]}
    assert not words & {"FROM", "TO", "WHEN", "CHECK", "COLUMN", "DISTINCT", "ORDER", "SELECT", "TABLE", "USER", "ROWS"}, "a column's name needs no quotes"

def test_each_migration_says_what_it_breaks():
    files = sorted((Path(archive_module.__file__).parent/"migrations/versions").glob("[0-9]*.py"))
    assert files and all(re.search(r"(?m)^Breaks: \S", f.read_text()) for f in files)

def _of_0001(url, tmp_path):
    "The archive that revision 0001 wrote: three updates, a verdict, a muted incident, a message, a label."
    con = sqlite3.connect(tmp_path/"archive.db" if url.startswith("sqlite") else tmp_path/"old.db")
    con.executescript((Path(__file__).parent/"data/archive_0001.sql").read_text())
    if url.startswith("sqlite"): return con.close()
    import psycopg
    from alembic import command
    from dsmon_research.tables import _alembic
    made = engine(url)
    with made.begin() as to: command.upgrade(_alembic(to), "0001")
    made.dispose()
    with psycopg.connect(url) as to:
        to.execute("SET TIME ZONE 'UTC'")
        for t in KINDS:
            if not (names := [c[1] for c in con.execute(f'PRAGMA table_info("{t}")')]): continue
            for row in con.execute(f'SELECT * FROM "{t}" ORDER BY id').fetchall(): to.execute(f'INSERT INTO "{t}" ({", ".join(names)}) VALUES ({", ".join(["%s"]*len(names))})', row)
    con.close()

def test_an_archive_of_0001_is_brought_up_to_date(url, tmp_path):
    "With its data: refused until somebody says so, then every record is as it was stored, and the old mute still counts."
    from dsmon_research.incidents import feedback, incidents, wake
    _of_0001(url, tmp_path)
    with pytest.raises(UsageError, match="dsmon archive migrate"), Archive(url) as a: a.history("shop")
    assert [s[:6] for s in migrate(url)] == ["0002: ", "0003: ", "0004: ", "0005: "] and migrate(url) == []
    with Archive(url) as a:
        assert verify(a, head="a210e335a5c416b3e858751ae281e7bbfe3ad26a43fcf3361d76133045e1b2e7") and len(a.history("shop")) == 3
        i, = incidents(a)
        assert (i.state, i.updates, i.muted_until) == ("acknowledged", ["v2"], datetime(2024, 5, 7, 1, tzinfo=UTC)) and i.events[-1]["until_at"] is None
        assert feedback(a, "shop").expected.tolist() == [False, True, False]
        assert not wake(a, datetime(2024, 5, 7, tzinfo=UTC)) and wake(a, datetime(2024, 5, 7, 2, tzinfo=UTC))[0].state == "open"
        put(a, 9); assert verify(a)

def test_values_of_an_old_hash_are_none(lite):
    "Texts of more than eight bytes, and of more than two characters where they are not plain; they are new once, then remembered."
    t = lambda k: pa.table({"short": ["ab", "cd"]*4, "wide": ["né", "ñño"]*4, "long": [f"a long text {i}" for i in range(k, k+8)], "x": [1., 2.]*4})
    from dsmon_research.features import relative_metrics
    with Archive(lite) as a:
        for k in range(4): a.append("s", f"v{k}", DAY+timedelta(k), profile_table(t(k)), f"c{k}", source="files:x")
    with sqlite3.connect(lite.removeprefix("sqlite:///")) as con: assert con.execute("UPDATE column_sketch SET kind = 'summary' WHERE kind = 'summary 2' AND update_id < 3").rowcount == 8
    with Archive(lite) as a: h = a.history("s")
    assert [[len(s[c].hashes) for c in ("short", "wide", "long", "x")] for s in h.sketches] == [[2, 0, 0, 2]]*2+[[2, 2, 8, 2]]*2
    assert np.array_equal(relative_metrics([s["long"] for s in h.sketches], [], np.empty(0, int))[0][1:, 0], [np.nan, 1, 1/8], equal_nan=True)

def test_other_tables_are_refused(lite, tmp_path):
    with Archive(lite) as a: put(a, 0)
    for revision, words in (("0000", "dsmon archive migrate"), ("9999", "install the newer package")):
        with sqlite3.connect(tmp_path/"archive.db") as con: con.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        con.close()
        with pytest.raises(UsageError, match=words), Archive(lite) as a: a.history("shop")

def test_import_is_light():
    code = "import dsmon_research.archive, sys; print([m for m in ('pandas', 'sklearn', 'alembic', 'sqlalchemy', 'duckdb', 'pydantic') if m in sys.modules])"
    assert run(BIN/"python", "-c", code).stdout.strip() == "[]"
    code = "import sys; from dsmon_research.archive import Archive; Archive(sys.argv[1]).history('shop'); print([m for m in ('pandas', 'sklearn', 'alembic', 'sqlalchemy') if m in sys.modules])"
    with tempfile.TemporaryDirectory() as d:
        with Archive(f"sqlite:///{d}/archive.db") as a: put(a, 0)
        assert run(BIN/"python", "-c", code, f"sqlite:///{d}/archive.db").stdout.strip() == "[]"


# what goes in comes out

def _wild():
    "Degenerate updates: every shape that a broken export can have."
    big = 2**53
    return {
        "no rows": small().slice(0, 0), "no columns": pa.table({}), "one cell": pa.table({"x": [1]}),
        "all empty": pa.table({"x": pa.nulls(5), "y": pa.array([None]*5, pa.float64())}),
        "not numbers": pa.table({"x": [np.nan, np.inf, -np.inf, -0., 1e308, -1e308, 5e-324]}),
        "large whole numbers": pa.table({"x": pa.array([big, big+1, 2**63-1, -2**63, None], pa.int64()), "u": pa.array([big+3, 2**64-1, 0, 1, None], pa.uint64())}),
        "names that repeat": pa.Table.from_arrays([pa.array([1, 2]), pa.array(["a", "b"]), pa.array([.5, None]), pa.array([True, False])], names=["x", "x", "", ""]),
        "mixed text": pa.table({"x": ["9007199254740993", "1e400", "NaN", "", " \t", "2024-02-30", "\u202ereversed", "\x00"]}),
        "times": pa.table({"t": pa.array([-2**62, 0, 2**62], pa.timestamp("us")), "d": pa.array([-719162, 0, 2932896], pa.date32())}),
        "nested": pa.table({"x": [[1, 2], None, []], "y": [{"a": 1}, {"a": None}, None]})}

def test_degenerate_updates_come_back(url):
    tables = list(_wild().values())
    ids, profiles, want = parquet_path(tables)
    with Archive(url) as a:
        for i, (u, p) in enumerate(zip(ids, profiles)): a.append("shop", u, DAY+timedelta(days=i), p, str(i))
        same(a.history("shop"), want)
        assert verify(a)
        rows = a.select('SELECT row_count, column_count FROM "update" ORDER BY id')
    assert [(r["row_count"], r["column_count"]) for r in rows] == [(t.num_rows, t.num_columns) for t in tables]

def test_ten_thousand_columns(url):
    wide_ = pa.table({f"c{i}": pa.array([i, i+1]) for i in range(10_000)})
    ids, profiles, want = parquet_path([wide_])
    with Archive(url) as a:
        a.append("shop", "u0", DAY, profiles[0], "x")
        same(a.history("shop"), want)
        assert len(a.select("SELECT id FROM column_profile")) == 10_000

HOSTILE = ["'; DROP TABLE \"update\"; --", '"quoted"', "a\x00b", "\x1b0000", "x"*300, "=1+1", "@SUM(A1)", "<script>alert(1)</script>", "%s %(x)s ? :name {0}", "line\nbreak\r", "\u202eabc", "../../etc", "Ünïcode 名"]

def test_hostile_text_is_inert(url):
    "As column, version, origin, note, reason: kept to the character, and run by nobody."
    table = pa.table({h: [1, 2] for h in HOSTILE})
    with Archive(url) as a:
        for i, h in enumerate(HOSTILE): a.append("shop", h, DAY+timedelta(days=i), profile_table(table), h, origin=h+"\ud83d")
        with a.write() as w: w.add("label", dataset_id=1, update_id=1, labelled_at=now(), who=HOSTILE[0], label="fault", note="\ud800".join(HOSTILE))
        h = a.history("shop")
        assert (h.columns, h.ids) == (HOSTILE, HOSTILE)
        assert [r["origin"] for r in a.select('SELECT origin FROM "update" ORDER BY id')] == [h+"\ud83d" for h in HOSTILE]
        assert a.select("SELECT note FROM label WHERE who = ?", HOSTILE[0])[0]["note"] == "\ud800".join(HOSTILE)
        assert verify(a)
        for name in ("a'b", "x\x00", "../x", "X"*70):
            with pytest.raises(UsageError, match="dataset name"): a.history(name)

def test_numbers_that_are_none_are_refused(url):
    with Archive(url) as a:
        put(a, 0)
        for bad in (float("nan"), float("inf"), "much"):
            with pytest.raises(UsageError, match="assessment.score"), a.write() as w: w.add("assessment", update_id=1, assessed_at=now(), verdict="healthy", score=bad)
        with pytest.raises(UsageError, match="once_in"), a.write() as w: w.add("assessment", update_id=1, assessed_at=now(), verdict="healthy", once_in=2.5)
        with pytest.raises(UsageError, match="no column 'colour'"), a.write() as w: w.add("label", colour="red")
        with pytest.raises(UsageError), a.write() as w: w.add("assessment", update_id=77, assessed_at=now(), verdict="healthy") # no such update
        with pytest.raises(UsageError), a.write() as w: w.add("assessment", update_id=1, assessed_at=now())                   # no verdict
        assert a.select("SELECT * FROM assessment") == [] and verify(a)

def test_clocks(url):
    "A fold is two moments, a gap none; microseconds and far years survive; no zone, no record."
    from zoneinfo import ZoneInfo
    ny = ZoneInfo("America/New_York")
    times = [datetime(2013, 11, 3, 1, 30, fold=0, tzinfo=ny), datetime(2013, 11, 3, 1, 30, fold=1, tzinfo=ny), datetime(2013, 3, 10, 2, 30, tzinfo=ny),
             datetime(2013, 3, 10, 3, 30, tzinfo=ny), datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, 23, 59, 59, 999999, UTC), datetime(1969, 12, 31, 23, 59, 59, 1, UTC)]
    with Archive(url) as a:
        for i, t in enumerate(times): a.append("shop", f"u{i}", t, profile_table(small()), str(i))
        got = [r["published_at"] for r in a.select('SELECT published_at FROM "update" ORDER BY id')]
        assert [g.timestamp() for g in got] == [t.timestamp() for t in times] and {g.utcoffset() for g in got} == {timedelta()}
        assert got[1]-got[0] == timedelta(hours=1) and got[2] == got[3]
        h = a.history("shop")
        assert (np.diff(h.times.astype(np.int64)) >= 0).all() and h.ids[0] == "u4" and h.ids[-1] == "u5"
        with pytest.raises(UsageError, match="no zone"): a.append("shop", "naive", datetime(2024, 1, 1), profile_table(small()), "n")
        assert all(r["observed_at"] > DAY for r in a.select('SELECT observed_at FROM "update"')), "event time and observed time are two things"
    assert [utc_time(utc_text(t)).timestamp() for t in times] == [t.timestamp() for t in times]

def test_append_is_once(url):
    with Archive(url) as a:
        first, again = put(a, 1), put(a, 1)
        assert first == again and len(a.select('SELECT id FROM "update"')) == 1 and len(a.select("SELECT id FROM ledger")) == 1


# crowds

APPENDER = """
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
import pyarrow as pa
from dsmon_research.archive import Archive
from dsmon_research.profile import profile_table
url, who, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
p = profile_table(pa.table({"x": [1., 2.]}))
with Archive(url) as a:
    for i in range(n): a.append("shop", f"{who}-{i}", datetime(2024, 1, 1, tzinfo=timezone.utc)+timedelta(hours=i), p, "x")
print("done")
"""

def test_four_at_once_lose_nothing(url):
    "Also the making of the store is a race here."
    n = 500 if SOAK else 12
    procs = [subprocess.Popen([sys.executable, "-c", APPENDER, url, str(k), str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for k in range(4)]
    said = [p.communicate(timeout=1200) for p in procs]
    assert [out.strip() for out, _ in said] == ["done"]*4, said
    with Archive(url, create=False) as a:
        assert {r["source_version"] for r in a.select('SELECT source_version FROM "update"')} == {f"{k}-{i}" for k in range(4) for i in range(n)}
        assert a.scalar('SELECT count(*) FROM "update"') == a.scalar("SELECT count(*) FROM ledger") == 4*n
        assert verify(a)

def test_a_held_lock_is_said(lite, tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "WAIT", .2)
    with Archive(lite) as a:
        put(a, 0)
        other = sqlite3.connect(tmp_path/"archive.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SourceError, match="locked.*another process"), Archive(lite) as b: put(b, 1)
        other.execute("ROLLBACK"); other.close()
        put(a, 1)
        assert len(a.history("shop")) == 2 and verify(a)

def test_store_that_cannot_be_reached(tmp_path):
    (tmp_path/"file").write_text("no database, but a page of text that is long enough to be looked at as one"*9)
    with pytest.raises(SourceError, match="not a database"): Archive(f"sqlite:///{tmp_path}/file").history("shop")
    with pytest.raises(SourceError, match="no archive"): Archive(f"sqlite:///{tmp_path}/none.db", create=False).history("shop")
    assert not (tmp_path/"none.db").exists()
    with pytest.raises(SourceError) as e: Archive("postgresql://someone:hunter2@127.0.0.1:9/none").history("shop")
    assert "hunter2" not in str(e.value) and "is the server up" in str(e.value)
    with pytest.raises(UsageError, match="write sqlite"): Archive("mysql://x/y")


# crashes

NURSERY = """
import json, os, random, signal, sys, time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
import pyarrow as pa
from dsmon_research.archive import Archive, verify
from dsmon_research.profile import profile_table
url, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
p, rng = profile_table(pa.table({"x": [1., 2.], "y": ["a", "b"]})), random.Random(seed)
day = datetime(2024, 1, 1, tzinfo=timezone.utc)
def versions():
    with Archive(url) as a: return {r["source_version"] for r in a.select('SELECT source_version FROM "update"')}
acknowledged, stored, midway, bad = set(), versions(), 0, []
for k in range(kills):
    read, write = os.pipe()
    if not (pid := os.fork()):
        with Archive(url) as a:
            for i in range(10**6):
                a.append("shop", f"{k}-{i}", day+timedelta(minutes=i), p, "x")
                os.write(write, f"{k}-{i}\\n".encode())
    os.close(write)
    os.read(read, 1) and acknowledged.add(f"{k}-0")         # the first one is in: now at any moment
    time.sleep(rng.random()*.08); os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
    heard = b"x"+os.read(read, 1 << 20); os.close(read)
    acknowledged |= {f"{k}-{i}" for i in range(heard.count(b"\\n"))}
    stored = versions()
    if lost := acknowledged-stored: bad.append(f"kill {k}: lost {sorted(lost)[:3]}")
    if len(extra := {v for v in stored-acknowledged if v.startswith(f"{k}-")}) > 1: bad.append(f"kill {k}: {len(extra)} unacknowledged")
    midway += len(extra); acknowledged |= extra
    if k % 20 == 19 or k == kills-1:
        with Archive(url) as a:
            v = verify(a)
            torn = a.scalar('SELECT count(*) FROM "update" u WHERE u.dataset_id = 2 AND (SELECT count(*) FROM column_profile c WHERE c.update_id = u.id) <> 2')
        if not v or torn: bad.append(f"kill {k}: {v.problems[:3]} {torn} torn")
print(json.dumps(dict(bad=bad, stored=len(stored), midway=midway)))
"""

@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("archive-pg"))])
def test_kill_9_at_any_moment(request, tmp_path, kind):
    "What was acknowledged is there, at most one more, nothing torn or twice."
    url, kills = _fresh(request, tmp_path, kind), {"sqlite": 1000 if SOAK else 40, "postgres": 200 if SOAK else 10}[kind]
    with Archive(url) as a: put(a, 0, "other")
    with Archive(url) as a, a.write() as w: named(w, "shop")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", NURSERY, url, str(kills), "7"], capture_output=True, text=True, timeout=7200)
    assert done.returncode == 0, done.stderr[-2000:]
    got = json.loads(done.stdout)
    assert got["bad"] == [] and got["stored"] > kills, got

ONE = """
import sys
from datetime import datetime, timezone
import pyarrow as pa
from dsmon_research.archive import Archive
from dsmon_research.profile import profile_table
with Archive(sys.argv[1]) as a: a.append("shop", "last", datetime(2025, 1, 1, tzinfo=timezone.utc), profile_table(pa.table({"x": [1., 2.]})), "x")
print("acknowledged")
"""

def test_kill_at_every_write(lite, tmp_path):
    "strace kills the process at its n-th system call that changes the store's files, for every n."
    if not shutil.which("strace"): pytest.skip("strace is not installed: no kill at every system call")
    file, calls = tmp_path/"archive.db", "pwrite64,write,fsync,fdatasync,unlink,unlinkat,ftruncate"
    with Archive(lite) as a: put(a, 0); put(a, 1)
    before = file.read_bytes()
    trace = lambda n: ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(file), "-P", f"{file}-journal", "-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={n}"]
    if subprocess.run([*trace(60_000), "true"], capture_output=True).returncode: pytest.skip("strace may not trace here: no kill at every system call")
    outcomes = []
    for n in range(1, 400, 1 if SOAK else 8):
        file.write_bytes(before); Path(f"{file}-journal").unlink(missing_ok=True)
        done = subprocess.run([*trace(n), sys.executable, "-c", ONE, lite], capture_output=True, text=True, timeout=300)
        with Archive(lite) as a:
            ids, v = a.history("shop").ids, verify(a)
            assert v and ids[:2] == ["v0000", "v0001"] and len(ids) in (2, 3), (n, v.problems[:3], ids)
            assert len(ids) == 3 or "acknowledged" not in done.stdout
            put(a, 5)                                                        # and the next run goes on
        outcomes.append(len(ids))
        if "acknowledged" in done.stdout: break
    assert "acknowledged" in done.stdout and outcomes[0] == 2 and len(outcomes) > 3, outcomes

def test_disk_full_at_every_page(lite, tmp_path):
    "SQLite may have one page more at each try: a typed error and the old data, until it fits."
    file = tmp_path/"archive.db"
    with Archive(lite) as a: put(a, 0); want = verify(a).head
    pages, tries = file.stat().st_size//4096, 0
    for more in itertools.count():
        with Archive(lite) as a:
            a.con.execute(f"PRAGMA max_page_count = {pages+more}")
            try: a.append("shop", "large", DAY+timedelta(days=9), profile_table(pa.table({f"c{i}": np.arange(500)+i for i in range(12)})), "x"); break
            except SourceError as e: assert "full" in str(e) and "free some space" in str(e)
        tries += 1
        with Archive(lite) as a: assert a.history("shop").ids == ["v0000"] and verify(a).head == want
    with Archive(lite) as a: assert a.history("shop").ids == ["v0000", "large"] and verify(a, head=want)
    assert tries > 10

LIMITED = """
import resource, sys
from datetime import datetime, timezone
import numpy as np, pyarrow as pa
from dsmon_research.archive import Archive, verify
from dsmon_research.config import SourceError
from dsmon_research.profile import profile_table
url, step = sys.argv[1], int(sys.argv[2])
p, most, tries = profile_table(pa.table({f"c{i}": np.arange(500)+i for i in range(12)})), resource.getrlimit(resource.RLIMIT_FSIZE)[1], 0
with Archive(url) as a: want = verify(a).head
for limit in range(0, 10**7, step):
    with Archive(url) as a:
        a.dataset_id("shop")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        try: a.append("shop", "large", datetime(2025, 1, 1, tzinfo=timezone.utc), p, "x"); done = True
        except SourceError: done = False
        finally: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    with Archive(url) as a:
        v, ids = verify(a, head=want), a.history("shop").ids
        assert v and ids == ["v0000"]+["large"]*done, (limit, v.problems, ids)
    if done: break
    tries += 1
print(tries)
"""

def test_no_write_beyond_a_limit(lite):
    "Writes fail from a byte of the files on, for every such byte in steps: of the journal, of the store."
    with Archive(lite) as a: put(a, 0)
    done = subprocess.run([sys.executable, "-c", LIMITED, lite, "2048" if SOAK else "20480"], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-1500:]
    assert int(done.stdout) > 5


# capture

def rows_of(i, n=12): return pa.table({"id": [f"k{j}" for j in range(i, n+i)], "x": [float((j*7+i) % 5) for j in range(n)], "word": [f"w{(j+i) % 4}" for j in range(n)]})

@pytest.fixture
def shop(tmp_path, monkeypatch):
    "A project whose source is the folder `in`; `publish(i)` puts one more update there."
    root = tmp_path/"project"
    (root/"in").mkdir(parents=True)
    (root/"params.yaml").write_text(PARAMS.format(source="files:in/*.csv"))
    monkeypatch.delenv("DSMON_ROOT", raising=False); monkeypatch.delenv("DSMON_ARCHIVE", raising=False); monkeypatch.chdir(root)
    def publish(i, table=None):
        pcsv.write_csv(rows_of(i) if table is None else table, root/f"in/{(DAY+timedelta(days=i)).date()}.csv")
        return root/f"in/{(DAY+timedelta(days=i)).date()}.csv"
    return root, publish

def counts(a, *tables): return {t: a.scalar(f'SELECT count(*) FROM "{t}"') for t in tables or ("update", "column_profile", "column_sketch", "finding", "dataset")}

def test_capture_equals_the_stage(shop):
    "One function makes the rows for both: the archive's history is the Parquet files', to the bit."
    root, publish = shop
    for i in range(6): publish(i)
    publish(6, rows_of(6).drop_columns("id")); publish(7, rows_of(7).append_column("more", pa.array(range(12)))); publish(8, rows_of(8).slice(0, 0))
    collect("shop", root); profile_updates("shop", root)
    got = capture("shop", root)
    assert len(got.new) == 9 and (got.compared, got.unreadable) == (0, [])
    with Archive(root=root) as a:
        same(a.history("shop"), load_history("shop", root))
        exact = a.select('SELECT row_count, rows_created, created_share, rows_deleted, previous_id FROM "update" WHERE created_share IS NOT NULL')
        assert exact and all(r["rows_created"] == pytest.approx(r["created_share"]*r["row_count"], abs=1e-9) for r in exact)

@pytest.mark.parametrize("n", [0, 1, 300])
def test_the_update_before_has_the_hashes_of_its_profile(n):
    "Whatever the type, with and without nulls, sliced, chunked, dictionary-encoded, long: row by row what measuring would give."
    from dsmon_research.capture import _row_hashes
    from dsmon_research.profile import profile_table
    r, x = np.random.default_rng(3), np.random.default_rng(3).normal(size=n+2)
    x[:2] = -0., np.nan
    some = dict(big=pa.array(2**53+r.integers(0, 9, n+2)), u64=pa.array(r.integers(2**63, 2**64-1, n+2, dtype=np.uint64)), small=pa.array(r.integers(0, 5, n+2).astype(np.int8)), f=pa.array(x), f32=pa.array(x.astype(np.float32)),
        f16=pa.array(x.astype(np.float16)), flag=pa.array(r.random(n+2) < .5), text=pa.array(["", "ü"*9, "x"]*(n//3+1))[:n+2], large=pa.array([f"k{i}" for i in range(n+2)], pa.large_string()), long=pa.array([f"{i%3}"*500 for i in range(n+2)]),
        day=pa.array(np.arange(n+2), pa.int32()).cast(pa.date32()), ms=pa.array(np.arange(n+2), pa.timestamp("ms", "Europe/Rome")), ns=pa.array(np.arange(n+2)*1001, pa.timestamp("ns")), t=pa.array(np.arange(n+2), pa.int32()).cast(pa.time32("s")), d=pa.array(np.arange(n+2), pa.duration("s")),
        raw=pa.array([bytes([i%7]) for i in range(n+2)]), none=pa.nulls(n+2), list=pa.array([[i%3] for i in range(n+2)]), price=pa.array([Decimal(i)/4 for i in range(n+2)], pa.decimal128(9, 2)))
    some |= {f"{k} gaps": pc.if_else(pa.array(r.random(n+2) < .2), pa.nulls(n+2, v.type), v) for k, v in some.items() if k not in ("list", "none", "price")}
    some["coded"] = some["text gaps"].dictionary_encode()
    whole = pa.table(some)
    table = pa.concat_tables([whole.slice(2, n//2), whole.slice(2+n//2)])
    got, want = _row_hashes(table, ["big", "text gaps"]), profile_table(table, ["big", "text gaps"])
    assert {c.name: c.row_hash.tobytes() for c in got.columns} == {c.name: c.row_hash.tobytes() for c in want.columns} and all(len(c.row_hash) == n for c in got.columns)
    assert got.rows.tobytes() == want.rows.tobytes() and got.keys.tobytes() == want.keys.tobytes() and [c.type for c in got.columns] == [c.type for c in want.columns]

def test_replays_end_in_one_state(shop, tmp_path):
    "Late, repeated and out of order: the rows and the history of a capture in order, and no row more."
    root, publish = shop
    files = [publish(i) for i in range(6)]
    want, reference = None, None
    with Archive(f"sqlite:///{tmp_path}/order.db") as a: capture("shop", root, a); want, reference = counts(a), a.history("shop")
    rng, texts, turns, pulls = random.Random(5), [f.read_bytes() for f in files], 1000 if SOAK else 8, 0
    for n in range(turns):
        order, at = rng.sample(range(6), 6), []
        for f in files: f.unlink()
        with Archive(f"sqlite:///{tmp_path}/r{n}.db") as a:
            while order:
                now_ = [order.pop() for _ in range(min(len(order), rng.randint(1, 3)))]
                for i in now_: files[i].write_bytes(texts[i])
                at += now_
                for _ in range(2): capture("shop", root, a); pulls += 1
                if rng.random() < .3: os.utime(files[at[0]], ns=(1, rng.randrange(10**18))); assert capture("shop", root, a).new == []
            assert counts(a) == want, at
            same(a.history("shop"), reference)
            assert verify(a)
            again = counts(a, *KINDS)
            capture("shop", root, a)
            assert counts(a, *KINDS) == again, "a pull with nothing new adds nothing at all"
        (tmp_path/f"r{n}.db").unlink()
    print(f"{turns} orders of arrival in {pulls:,} pulls: one state, no row more")

def test_correction_is_a_revision(shop):
    "The old one stays, the history takes the new one, and goes back if the source does."
    root, publish = shop
    for i in range(3): publish(i)
    capture("shop", root)
    publish(1, rows_of(1).slice(0, 4)); second = capture("shop", root)
    with Archive(root=root) as a: changed, kept = a.history("shop"), a.select('SELECT row_count FROM "update" WHERE source_version = \'2024-05-02\' ORDER BY id')
    assert (second.new, second.revision, second.compared) == ([], ["2024-05-02"], 1)
    assert [r["row_count"] for r in kept] == [12, 4] and changed.metric(None, "rows").tolist() == [12, 4, 12]
    publish(1); third = capture("shop", root)
    with Archive(root=root) as a: back = a.history("shop"); assert verify(a) and len(a.select('SELECT id FROM "update"')) == 4
    assert (third.new, third.revision) == ([], []) and back.metric(None, "rows").tolist() == [12, 12, 12]

def test_broken_update_is_a_fact(shop):
    root, publish = shop
    for i in range(4): publish(i)
    (root/"in/2024-05-02.csv").write_bytes(b"PK\x03\x04 no table at all")
    first, again = capture("shop", root), capture("shop", root)
    assert (len(first.new), first.unreadable, again.unreadable) == (3, ["2024-05-02"], [])
    with Archive(root=root) as a:
        assert a.history("shop").ids == ["2024-05-01", "2024-05-03", "2024-05-04"]
        said = a.select('SELECT f.check_name, f.severity, f.note, u.row_count FROM finding f JOIN "update" u ON u.id = f.update_id')
        assert [(r["check_name"], r["severity"], r["row_count"]) for r in said] == [("readable", "error", None)] and "unpack" in said[0]["note"]
    publish(1); mended = capture("shop", root)
    assert mended.new == ["2024-05-02"] and mended.compared == 1
    with Archive(root=root) as a: got = a.history("shop"); assert verify(a)
    collect("shop", root); profile_updates("shop", root)
    same(got, load_history("shop", root))

def test_only_what_is_new_is_read(shop, monkeypatch):
    root, publish = shop
    for i in range(5): publish(i)
    capture("shop", root)
    import dsmon_research.collect as c
    read, real = [], c.read_table
    monkeypatch.setattr(c, "read_table", lambda p: read.append(p.stem) or real(p))
    assert capture("shop", root).new == [] and read == []
    publish(5); capture("shop", root)
    assert read == ["2024-05-06", "2024-05-05"], "the new one, and the one before it to compare with"
    read.clear(); os.utime(root/"in/2024-05-03.csv", ns=(5, 5)); capture("shop", root)
    assert read == ["2024-05-03"]

def test_capture_is_light(shop):
    root, publish = shop
    publish(0); capture("shop", root); publish(1)
    done = run(BIN/"python", "-c", "from dsmon_research.capture import capture; import sys; print(capture('shop').new, [m for m in ('pandas', 'sklearn', 'alembic', 'sqlalchemy', 'duckdb') if m in sys.modules])", cwd=root)
    assert done.stdout.strip() == "['2024-05-02'] []", done.stderr

def test_two_captures_at_once(shop):
    root, publish = shop
    for i in range(8): publish(i)
    procs = [subprocess.Popen([sys.executable, "-c", "import sys; from dsmon_research.cli import main; sys.exit(main(['capture', 'shop', '--json']))"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [p.communicate(timeout=300) for p in procs]
    assert [p.returncode for p in procs] == [0, 0, 0], said
    assert sorted(v for out, _ in said for v in json.loads(out)["new"]) == sorted(u.id for u in updates("files:in/*.csv", None, root)), "each was new for one of them"
    with Archive(root=root) as a: assert counts(a)["update"] == 8 and counts(a, "sighting")["sighting"] == 8 and verify(a)
    collect("shop", root); profile_updates("shop", root)
    with Archive(root=root) as a: same(a.history("shop"), load_history("shop", root))

def test_capture_into_postgres(shop, request, tmp_path, monkeypatch):
    root, publish = shop
    for i in (0, 1, 3): publish(i)
    monkeypatch.setenv("DSMON_ARCHIVE", _fresh(request, tmp_path, "postgres"))
    capture("shop", root); publish(2)
    assert capture("shop", root).compared == 1
    with Archive() as a: got = a.history("shop"); assert verify(a)
    monkeypatch.delenv("DSMON_ARCHIVE"); capture("shop", root)
    with Archive(root=root) as a: same(got, a.history("shop"))
test_capture_into_postgres = pytest.mark.xdist_group("archive-pg")(test_capture_into_postgres)


# proof

def fill(a):
    "Something in every table."
    for i in range(3): put(a, i, origin=f"in/{i}.csv", bytes=100+i)
    with a.write() as w:
        d = w.select("SELECT id FROM dataset")[0]["id"]
        for i in (1, 2):
            w.add("sighting", dataset_id=d, source_version=f"v{i}", update_id=i, origin="x", stamp="1:2", observed_at=now())
            r = w.add("update_revision", update_id=i+1, previous_id=i, observed_at=now(), same_share=.5, created_share=.25, updated_share=.125, deleted_share=0., schema_changes=1, rows_created=1, rows_updated=2, rows_deleted=3)
            w.add("column_revision", update_revision_id=r, position=1, changed_share=.5)
            v = w.add("assessment", update_id=i, assessed_at=now(), model_version="m1", score=1.5, p_value=.001, budget=.03, once_in=1000, verdict="unhealthy", sentence="x fell", needed=0, judged_on=3)
            w.add("reason", assessment_id=v, rank=1, column_name="x", metric="mean", observed=1., expected_low=2., expected_high=3., z=-4., share=.5, text="x has mean 1")
            w.add("finding", update_id=i, found_at=now(), check_name="positive", column_name="x", row_count=2, share=.3, severity="warn", note="two")
            n = w.add("incident", dataset_id=d, update_id=i, assessment_id=v, opened_at=now(), key=f"k{i}", title="t", severity="high")
            w.add("incident_event", incident_id=n, happened_at=now(), who="monitor", from_state="none", to_state="open", note="n", update_id=i, assessment_id=v)
            w.add("label", dataset_id=d, update_id=i, incident_id=n, labelled_at=now(), who="ann", label="fault", column_name="x", note="n")
            m = w.add("message", incident_id=n, key=f"{n}:open", channel="mail", subject="s", body="b", created_at=now(), send_at=now())
            w.add("message_attempt", message_id=m, attempted_at=now(), state="failed", tries=1, error="e", next_try_at=now(), sent_at=now())
            w.add("model", dataset_id=d, made_at=now(), kind="past", stamp="s", learned=i, sha256="ab"*32, size=10)
            g = w.add("ingestion", dataset_id=d, update_id=i, file_name="f.csv", file_hash=f"{i:064}", ingested_at=now(), row_count=3, valid_count=2, invalid_count=1, criticality="high", note="n")
            w.add("ingestion_event", ingestion_id=g, happened_at=now(), what="split", channel="file", state="done", note="n")
    put(a, 9)

def flipped(v):
    "The stored value with one bit of it flipped."
    if isinstance(v, float): raw = bytearray(np.float64(v).tobytes()); raw[0] ^= 1; return float(np.frombuffer(bytes(raw), np.float64)[0])
    if isinstance(v, int): return v ^ 1 << 20
    if isinstance(v, datetime): return v+timedelta(microseconds=1)
    if isinstance(v, str): return v[:-1]+chr(ord(v[-1]) ^ 2)
    raw = bytearray(v); raw[len(raw)//2] ^= 1
    return bytes(raw)

@pytest.fixture
def tamper(url):
    "A way to change a store behind the archive's back."
    if url.startswith("sqlite"): con, mark = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None), "?"
    else:
        import psycopg
        con, mark = psycopg.connect(url, autocommit=True), "%s"
    yield lambda sql, *values: con.execute(sql.replace("?", mark), values)
    con.close()

def test_a_flipped_bit_in_any_cell_is_found_and_named(url, tamper):
    with Archive(url) as a: fill(a); assert verify(a)
    if not url.startswith("sqlite"): tamper("SET session_replication_role = replica")     # constraints do not hold back who tampers
    missed, tried = [], 0
    for table, kinds in KINDS.items():
        names = list(kinds)
        row = dict(zip(names, tamper(f'SELECT {", ".join(names)} FROM "{table}" ORDER BY id LIMIT 2').fetchall()[-1]))
        for c in names:
            if c == "id" or row[c] is None: continue
            bad = flipped(bytes(row[c]) if isinstance(row[c], memoryview) else row[c])
            tamper(f'UPDATE "{table}" SET {c} = ? WHERE id = ?', bad, row["id"])
            with Archive(url) as a: got = verify(a)
            if [(p.table, p.id, p.column) for p in got.problems] != [(table, row["id"], c)]: missed.append((table, c, [str(p) for p in got.problems]))
            tamper(f'UPDATE "{table}" SET {c} = ? WHERE id = ?', row[c], row["id"]); tried += 1
    assert not missed and tried > 100, missed
    with Archive(url) as a: assert verify(a)

def test_rows_removed_or_put_in_are_found(url, tamper):
    with Archive(url) as a: fill(a); head = verify(a).head
    for table, row in (("message_attempt", 2), ("reason", 1), ("column_revision", 2)):
        names = ", ".join(KINDS[table])
        kept = tamper(f"SELECT {names} FROM {table} WHERE id = ?", row).fetchone()
        tamper(f"DELETE FROM {table} WHERE id = ?", row)
        with Archive(url) as a: assert [(p.table, p.id, p.what) for p in verify(a).problems] == [(table, row, "is missing")]
        tamper(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?'*len(kept))})", *kept)
    tamper("INSERT INTO label (id, dataset_id, update_id, labelled_at, who, label, entry) VALUES (99, 1, 1, ?, 'eve', 'expected', 1)", "2024-01-01 00:00:00.000000")
    with Archive(url) as a: assert [(p.table, p.id) for p in verify(a).problems] == [("label", 99)]
    tamper("DELETE FROM label WHERE id = 99")
    with Archive(url) as a: assert verify(a, head=head) and not verify(a, head="ab"*32)

def test_flipped_bytes_of_the_file(lite, tmp_path):
    "Any byte of the file: the archive says so, or no record is different."
    file, rng = tmp_path/"archive.db", random.Random(3)
    with Archive(lite) as a: fill(a)
    whole = file.read_bytes()
    def content():
        con = sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)
        try: return [con.execute(f'SELECT * FROM "{t}" NOT INDEXED ORDER BY id').fetchall() for t in KINDS]
        finally: con.close()
    want, found = content(), 0
    for _ in range(3000 if SOAK else 120):
        raw, at = bytearray(whole), rng.randrange(100, len(whole))
        raw[at] ^= 1 << rng.randrange(8)
        file.write_bytes(raw)
        try:
            with Archive(lite, create=False) as a: sound = bool(verify(a))
        except (SourceError, UsageError): sound = False
        found += not sound
        if sound: assert content() == want, f"byte {at}"
    assert found > 5


# questions and exports

def test_unhealthy_today_why_and_since(url):
    "One plain SELECT, the same on both databases."
    with Archive(url) as a:
        for name in ("shop", "well", "mended"): put(a, 0, name); put(a, 1, name)
        ids = {(r["name"], r["source_version"]): (r["did"], r["id"]) for r in a.select('SELECT d.id AS did, d.name, u.source_version, u.id FROM "update" u JOIN dataset d ON d.id = u.dataset_id')}
        with a.write() as w:
            def judge(name, version, verdict, why=None):
                v = w.add("assessment", update_id=ids[name, version][1], assessed_at=now(), verdict=verdict, once_in=500)
                if why: w.add("reason", assessment_id=v, rank=1, metric="rows", text=why); w.add("reason", assessment_id=v, rank=2, metric="columns", text="no")
            judge("shop", "v0000", "unhealthy", "old"); judge("shop", "v0001", "healthy"); judge("shop", "v0001", "unhealthy", "5 rows, 10 to 20 expected")
            judge("well", "v0001", "healthy"); judge("mended", "v0000", "unhealthy", "gone"); judge("mended", "v0001", "unhealthy", "was"); judge("mended", "v0001", "healthy")
            old = w.add("incident", dataset_id=ids["shop", "v0000"][0], update_id=ids["shop", "v0000"][1], opened_at=DAY, key="a")
            w.add("incident_event", incident_id=old, happened_at=DAY, who="m", to_state="open")
            shut = w.add("incident", dataset_id=ids["shop", "v0000"][0], update_id=ids["shop", "v0001"][1], opened_at=DAY+timedelta(days=1), key="b")
            for state in ("open", "closed"): w.add("incident_event", incident_id=shut, happened_at=DAY, who="ann", to_state=state)
        got = a.select(UNHEALTHY_TODAY)
    assert [(r["dataset"], r["update_shown"], r["why"], r["since"] if isinstance(r["since"], datetime) else utc_time(r["since"])) for r in got] == [("shop", "v0001", "5 rows, 10 to 20 expected", DAY)]

def test_exports(url, tmp_path):
    with Archive(url) as a:
        for i in range(3): put(a, i)
        h = a.history("shop")
        w, t = wide(a, "shop"), tidy(a)
        assert w.num_rows == 3 and t.num_rows == 9
        for c in h.columns:
            assert w[f"{c}.null_share"].to_pylist() == h.metric(c, "null_share").tolist()
            assert [r["null_share"] for r in t.to_pylist() if r["column_name"] == c] == h.metric(c, "null_share").tolist()
        assert pq.read_table(export(a, tmp_path/"t.parquet")).equals(t)
        assert "x.mean" in export(a, tmp_path/"w.csv", "shop", in_width=True).read_text().splitlines()[0]
        a.append("shop", "=cmd()", DAY+timedelta(days=9), profile_table(pa.table({"@SUM": ["-1"]})), "x")
        for cell in export(a, tmp_path/"t.csv").read_text().replace("\n", ",").split(","): assert cell.strip('"')[:1] not in ("=", "@")
        with pytest.raises(UsageError, match="csv or"): export(a, tmp_path/"t.xlsx")
        with pytest.raises(UsageError, match="of one dataset"): export(a, tmp_path/"t.csv", in_width=True)

def test_verbs(shop, capsys):
    root, publish = shop
    for i in range(3): publish(i)
    def dsmon(*args):
        code = main(list(args)); out = capsys.readouterr()
        return code, out.out, out.err
    assert dsmon("archive", "verify")[0] == 5
    assert not (root/"data/archive.db").exists()
    assert dsmon("capture", "shop")[:2] == (0, "shop: 3 new; 3 updates in the archive, 3 at the source\n")
    code, out, _ = dsmon("archive", "verify", "--json")
    head = json.loads(out)["head"]
    assert code == 0 and json.loads(out)["problems"] == [] and re.fullmatch("[0-9a-f]{64}", head)
    assert dsmon("archive", "verify", "--head", head)[0] == 0 and dsmon("archive", "verify", "--head", "0"*63+"1")[0] == 5
    assert dsmon("archive", "export", "shop", "--wide", "--out", "w.csv")[0] == 0 and len(Path("w.csv").read_text().splitlines()) == 4
    assert dsmon("archive", "export")[0] == 2 and dsmon("archive", "burn")[0] == 2 and dsmon("capture", "nothing")[0] == 2
    assert dsmon("archive", "migrate")[:2] == (0, "the archive's tables are the newest\n")
    shutil.rmtree(root/"in")
    assert dsmon("capture", "shop")[0] == 5
