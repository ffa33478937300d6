"The archive at its edges, quickly: what each error advises, widths, ties, what is the newest, what `verify` calls by name, what an export is."
import csv, json, os, sqlite3, zlib
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pyarrow as pa, pyarrow.parquet as pq
import pytest

import dsmon_research.archive as archive_module
from dsmon_research.archive import LISTED, Archive, Problem, Verified, _Postgres, _Sqlite, archive_url, export, named, now, pack, row_counts, schema_hash, tidy, unpack_all, utc_text, verify, wide
from dsmon_research.config import SourceError, UsageError
from dsmon_research.metrics import COLUMN_METRICS, TABLE_METRICS
from dsmon_research.profile import profile_table
from dsmon_research.tables import KINDS

DAY = datetime(2024, 5, 1, tzinfo=timezone.utc)

@pytest.fixture
def lite(tmp_path): return f"sqlite:///{tmp_path}/archive.db"

def table(i=0, n=6): return pa.table({"id": [f"k{j+i}" for j in range(n)], "x": [float(j*j+i) for j in range(n)]})
def put(a, version, day=0, i=0, name="shop", **kw): return a.append(name, version, DAY+timedelta(days=day), profile_table(table(i)), str(i), **kw)


# errors

CAUSES = dict(BUSY="another process has held it", LOCKED="try again", READONLY="make the file and its folder writable", IOERR="the disk fails or is full", CORRUPT="the file is damaged: restore it from a backup", FULL="free some space and run it again",
              CANTOPEN="check the folder and its rights", NOTADB="this is another kind of file", PROTOCOL="check the file")

@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("detail", [0, 3, 250]) # SQLite's extended codes carry more in their upper bytes
def test_each_cause_has_its_advice(cause, detail):
    e = sqlite3.OperationalError("it says why"); e.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{cause}") | detail << 8
    got = _Sqlite("sqlite:////x/archive.db").failed(e)
    assert type(got) is SourceError and str(got).startswith(f"archive '/x/archive.db': it says why: {CAUSES[cause]}") and (cause == "LOCKED") == str(got).endswith(": try again") or cause == "BUSY"

@pytest.mark.parametrize("cause", ["ERROR", "CONSTRAINT", "MISMATCH", "RANGE"])
def test_what_was_asked_wrongly_is_no_trouble_of_the_store(cause):
    e = sqlite3.OperationalError("it says why"); e.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{cause}")
    assert type(_Sqlite("sqlite:////x").failed(e)) is UsageError
    assert type(_Sqlite("sqlite:////x").failed(sqlite3.InterfaceError("no code"))) is UsageError

def test_real_causes(tmp_path, lite, monkeypatch):
    (tmp_path/"note.txt").write_text("this is no database at all "*99)
    with pytest.raises(SourceError, match="another kind of file"), Archive(f"sqlite:///{tmp_path}/note.txt") as a: a.history("shop")
    (tmp_path/"folder").mkdir()
    with pytest.raises(SourceError), Archive(f"sqlite:///{tmp_path}/folder", create=False) as a: a.history("shop")
    with Archive(lite) as a: put(a, "v1")
    monkeypatch.setattr(archive_module, "WAIT", .05)
    other = sqlite3.connect(tmp_path/"archive.db", isolation_level=None); other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceError, match="locked: another process has held it"), Archive(lite) as a: put(a, "v2")
    other.execute("ROLLBACK"); other.close()
    with Archive(lite) as a: put(a, "v2"); assert a.scalar('SELECT count(*) FROM "update"') == 2
    whole = (tmp_path/"archive.db").read_bytes()
    (tmp_path/"archive.db").write_bytes(whole[:len(whole)//2])
    with pytest.raises(SourceError, match="damaged: restore it from a backup"), Archive(lite) as a: a.history("shop")

def test_an_empty_file_becomes_an_archive(tmp_path, lite):
    (tmp_path/"archive.db").touch()
    with pytest.raises(SourceError, match="there is no archive"), Archive(lite, create=False) as a: a.history("shop")
    with Archive(lite) as a: put(a, "v1"); assert verify(a)
    with pytest.raises(SourceError, match=r"there is no archive sqlite:///.*none.db: `dsmon capture NAME` makes it"), Archive(f"sqlite:///{tmp_path}/none.db", create=False) as a: a.history("shop")
    assert not (tmp_path/"none.db").exists()
    with Archive(f"sqlite:///{tmp_path}/deep/er/archive.db") as a: put(a, "v1")
    sqlite3.connect(tmp_path/"foreign.db").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(SourceError, match="there is no archive in"), Archive(f"sqlite:///{tmp_path}/foreign.db", create=False) as a: a.history("shop")

def test_it_is_as_safe_as_sqlite_can_be(tmp_path, lite):
    "Flushed to the disk, with a rollback journal whatever the file was used with before, relations kept, no code from a schema."
    with Archive(lite) as a: put(a, "v1")
    con = sqlite3.connect(tmp_path/"archive.db"); assert con.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"; con.close()
    with Archive(lite) as a:
        assert {p: a.scalar(f"PRAGMA {p}") for p in ("synchronous", "foreign_keys", "trusted_schema", "cell_size_check", "journal_mode")} == dict(synchronous=3, foreign_keys=1, trusted_schema=0, cell_size_check=1, journal_mode="delete")
        assert a._db.begin == "BEGIN IMMEDIATE" and a.con.isolation_level is None

def test_where_it_is(tmp_path, monkeypatch):
    (tmp_path/"params.yaml").write_text("datasets: {}\n")
    monkeypatch.delenv("DSMON_ARCHIVE", raising=False)
    assert archive_url(tmp_path) == f"sqlite:///{tmp_path}/data/archive.db"
    for said, want in (("sqlite:///other/a.db", f"sqlite:///{tmp_path}/other/a.db"), ("sqlite:////abs/a.db", "sqlite:////abs/a.db"), ("postgresql://host/db", "postgresql://host/db")):
        monkeypatch.setenv("DSMON_ARCHIVE", said); assert archive_url(tmp_path) == want
    for odd, shown in (("mysql://secret@h/db", "'mysql'"), ("no address", "'address'"), ("a"*30+"://x", "'"+"a"*20+"'")):
        with pytest.raises(UsageError, match=f"archive {shown}: write sqlite"): Archive(odd)
    assert [type(Archive(u)._db) for u in ("postgresql://h/d", "postgres://h/d", "postgresql+psycopg://h/d", "sqlite:///x")] == [_Postgres]*3+[_Sqlite]
    db = _Postgres("postgresql+psycopg://ann:s3cret%21@h/d?password=canary&x=1")
    assert db.url == "postgresql://ann:s3cret%21@h/d?password=canary&x=1" and db.shown == "postgresql+psycopg://…@h/d"
    said = db.said(Exception("cannot log in ann:s3cret%21, s3cret!, canary, postgresql://ann:s3cret%21@h/d?password=canary&x=1\nsecond line"))
    assert said.startswith("cannot log in ") and not any(s in said for s in ("s3cret", "canary", "second"))
    assert db.said(ValueError()) == "ValueError"


# transactions

def test_a_transaction_is_whole_or_nothing(lite):
    with Archive(lite) as a:
        put(a, "v1"); before = verify(a).head
        with pytest.raises(ZeroDivisionError), a.write() as w: w.add("label", dataset_id=1, update_id=1, labelled_at=now(), who="ann", label="fault"); w.entry(); w.add("label", dataset_id=1, update_id=1, labelled_at=now(), who="bob", label="fault"); 1/0
        assert a._con is None and verify(a).head == before and a.select("SELECT * FROM label") == []        # the next use starts afresh
        with a.write() as w:
            assert w.add("label", dataset_id=1, update_id=1, labelled_at=now(), who="ann", label="fault") == 1
            w.entry(); w.entry()
            assert w.add("label", dataset_id=1, update_id=1, labelled_at=now(), who="bob", label="fault") == 2
        assert [r["entry"] for r in a.select("SELECT entry FROM label ORDER BY id")] == [2, 3] and verify(a).entries == 3
        with a.write(): pass
        assert verify(a).entries == 3
        with pytest.raises(UsageError, match="in a transaction already"), a.reading(), a.write(): pass
        with a.reading(), a.reading(): assert a.scalar("SELECT count(*) FROM label") == 2
        with pytest.raises(UsageError, match="no column 'id' to fill in table 'label': there are id, "), a.write() as w: w.add("label", id=7)
        for t in ("ledger", "nothing"):
            with pytest.raises(UsageError, match=f"no column 'x' to fill in table '{t}': there are dataset|no column 'x' to fill in table '{t}': there are ledger"), a.write() as w: w.add(t, x=1)
        with pytest.raises(UsageError, match="no such table"): a.select("SELECT * FROM nowhere")
        with pytest.raises(UsageError, match="no such table"): a.scalar("SELECT * FROM nowhere")

def test_numbers_at_their_edges(lite):
    with Archive(lite) as a:
        put(a, "v1")
        with a.write() as w:
            for n, x in ((2**63-1, 1e308), (-2**63, -5e-324), (0, -0.), (np.int64(7), np.float32(.5)), (3., 3)): w.add("assessment", update_id=1, assessed_at=now(), verdict="healthy", once_in=n, score=x)
        got = a.select("SELECT once_in, score FROM assessment ORDER BY id")
        assert [r["once_in"] for r in got] == [2**63-1, -2**63, 0, 7, 3] and [repr(r["score"]) for r in got] == ["1e+308", "-5e-324", "0.0", "0.5", "3.0"]
        for bad in (2**63, -2**63-1, .5, "x", [1]):
            with pytest.raises(UsageError, match="assessment.once_in cannot keep"), a.write() as w: w.add("assessment", update_id=1, assessed_at=now(), verdict="healthy", once_in=bad)
        with pytest.raises(UsageError, match="assessed_at cannot keep"), a.write() as w: w.add("assessment", update_id=1, assessed_at="today", verdict="healthy")
        with pytest.raises(UsageError, match="has no zone"): utc_text(datetime(2024, 1, 1))
        assert utc_text(datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2023-12-31 23:00:00.000000"

def test_a_forked_child_leaves_the_parents_connection_alone(lite):
    with Archive(lite) as a:
        put(a, "v1"); mine = a.con
        if not (pid := os.fork()):
            try: code = 0 if a.con is not mine and a.scalar('SELECT count(*) FROM "update"') == 1 else 1; a.close()
            except BaseException: code = 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert a.con is mine and a.scalar('SELECT count(*) FROM "update"') == 1
    assert a._con is None
    with pytest.raises(sqlite3.ProgrammingError, match="closed"): mine.execute("SELECT 1")


# summaries

@pytest.mark.parametrize("most, width", [(1, 1), (255, 1), (256, 2), (65535, 2), (65536, 4), (2**32-1, 4), (2**32, 8), (2**63-2, 8)])
def test_counts_take_as_little_as_they_can(most, width):
    h, n = np.array([3, 2**64-1], np.uint64), np.array([1, most], np.int64)
    none = (0, 0, np.empty(0, np.uint64), np.empty(0, np.int64))
    for grid in (None, np.linspace(-1, 1, 101)):
        for grams in (none, (5, 9, h[:1], n[1:])):
            raw = pack((2, most+1, h, n), grams, grid)
            assert len(raw) == 72+16+2*width+(0 if grid is None else 808)+(len(grams[2])*(8+width))
            s = unpack_all({"x": raw})["x"]
            assert (s.level, s.total, s.hashes.tolist(), s.counts.tolist(), s.counts.dtype) == (2, most+1, h.tolist(), n.tolist(), np.int64)
            assert (s.grid is None) == (grid is None) and (grid is None or s.grid.tobytes() == grid.tobytes())
            assert (s.grams is None) == (grams is none) and (grams is none or (s.grams.level, s.grams.total, s.grams.hashes.tolist(), s.grams.counts.tolist()) == (5, 9, [3], [most]))
    assert unpack_all({"none": pack(none, none, None)})["none"].hashes.tolist() == [] and unpack_all({}) == {}

def test_shares_as_numbers_of_rows():
    got = row_counts(dict(rows=3, created_share=1/3, updated_share=2/3, deleted_share=.5), 4)
    assert got == dict(rows_created=1, rows_updated=2, rows_deleted=2)
    assert row_counts(dict(rows=3, created_share=1/3), None) == dict(rows_created=1, rows_updated=None, rows_deleted=None)
    assert row_counts(dict(rows=3, deleted_share=1.), None)["rows_deleted"] is None and row_counts({}, 5) == dict.fromkeys(got)

def test_a_schema_is_names_and_types_in_order():
    c = lambda n, t: SimpleNamespace(name=n, type=t)
    all_ = [[c("a", "int64"), c("b", "string")], [c("b", "string"), c("a", "int64")], [c("a", "int64"), c("b", "int64")], [c("a", "int64")], []]
    assert len({schema_hash(x) for x in all_}) == 5 and {len(schema_hash(x)) for x in all_} == {32}


# the newest

def test_what_the_source_shows_now(lite):
    "One a version: the last that was sighted and could be read; by event time, then by name as people count."
    with Archive(lite) as a:
        for v, day, i in (("v10", 1, 0), ("v9", 1, 1), ("v1", 0, 2), ("v1", 0, 3)): put(a, v, day, i)
        with a.write() as w: broken = w.add("update", dataset_id=1, source_version="v9", content_hash="raw", published_at=DAY+timedelta(days=1), observed_at=now())
        assert [(u["source_version"], u["content_hash"]) for u in a.current("shop")] == [("v1", "3"), ("v9", "1"), ("v10", "0")]
        with a.write() as w:
            for u in (3, broken): w.add("sighting", dataset_id=1, source_version="v1" if u == 3 else "v9", update_id=u, stamp="", observed_at=now())
        assert [(u["source_version"], u["content_hash"]) for u in a.current("shop", LISTED)] == [("v1", "2"), ("v9", "1"), ("v10", "0")]
        assert set(a.current("shop", LISTED)[0]) == set(LISTED.split(", ")) < set(a.current("shop")[0])
        h = a.history("shop"); part = a.part(a.current("shop", LISTED), [2, 0])
        assert h.ids == ["v1", "v9", "v10"] and part.ids == ["v10", "v1"] and part.table.tobytes() == h.table[[2, 0]].tobytes()
        with pytest.raises(UsageError, match="no dataset 'well': it has shop; run `dsmon capture well`"): a.history("well")
        with a.write() as w: assert named(w, "shop") == 1 and named(w, "well", "files:x") == 2
        assert a.select("SELECT name, source FROM dataset ORDER BY id") == [dict(name="shop", source=None), dict(name="well", source="files:x")]
    with Archive(lite.replace("archive.db", "new.db")) as a:
        with pytest.raises(UsageError, match="it has none yet"): a.history("shop")

def test_columns_that_repeat_and_come_and_go(lite):
    "Of a name that repeats the first counts; a column that was not there has no numbers."
    two = pa.Table.from_arrays([pa.array([1., 2.]), pa.array([5., 6.]), pa.array(["a", "b"])], names=["x", "x", "y"])
    with Archive(lite) as a:
        a.append("shop", "v1", DAY, profile_table(two), "1"); a.append("shop", "v2", DAY+timedelta(days=1), profile_table(pa.table({"z": [1], "y": ["c"]})), "2")
        h = a.history("shop")
    assert h.columns == ["x", "y", "z"] and h.metric("x", "mean")[0] == 1.5 and np.isnan(h.metric("x", "mean")[1]) and np.isnan(h.metric("z", "mean")[0]) and h.metric("z", "mean")[1] == 1.
    assert h.types.tolist() == [["double", "string", ""], ["", "string", "int64"]] and [sorted(s) for s in h.sketches] == [["x", "y"], ["y", "z"]]

def test_a_comparison_made_later_replaces_the_first(lite):
    "Late data comes between: the shares against the update that now stands before are those of the revision, empty where it has none."
    with Archive(lite) as a:
        p = profile_table(table(), previous=profile_table(table(1)))
        for n, v in enumerate(("v1", "v3")):
            with a.write() as w: d = named(w, "shop"); archive_module.append_update(w, d, p, dict(id=1, row_count=6) if n else None, source_version=v, content_hash=v, published_at=DAY+timedelta(days=2*n), observed_at=now())
        put(a, "v2", 1, 5)
        same, changed = list(TABLE_METRICS).index("same_share"), list(COLUMN_METRICS).index("changed_share")
        assert a.history("shop").table[2, same] == p.table["same_share"] and a.history("shop").values[2, 1, changed] == p.columns[1].metrics["changed_share"]  # nobody compared yet
        with a.write() as w:
            for share in (.25, .5):
                if share == .25: r = w.add("update_revision", update_id=2, previous_id=3, observed_at=now(), same_share=share, schema_changes=2)
                w.add("column_revision", update_revision_id=r, position=0 if share == .25 else 1, changed_share=share if share == .5 else None)
        h = a.history("shop")
        assert h.ids == ["v1", "v2", "v3"] and h.table[2, same] == .25 and h.table[2, list(TABLE_METRICS).index("schema_changes")] == 2 and np.isnan(h.table[2, list(TABLE_METRICS).index("created_share")])
        assert np.isnan(h.values[2, 0, changed]) and h.values[2, 1, changed] == .5 and verify(a)


# proof

@pytest.fixture
def chain(lite, tmp_path):
    "Four entries; a way to change the ledger behind the archive's back."
    with Archive(lite) as a:
        for i in range(4): put(a, f"v{i}", i, i)
    con = sqlite3.connect(tmp_path/"archive.db", isolation_level=None)
    def look():
        with Archive(lite) as a: return verify(a)
    yield con.execute, look
    con.close()

def test_what_is_wrong_with_the_ledger_is_named(chain):
    do, look = chain
    sound = look()
    assert sound and (sound.entries, sound.records) == (4, 1+4*(1+2+2)) and sound.head == do("SELECT digest FROM ledger WHERE id = 4").fetchone()[0].hex()
    assert sound.text() == f"21 records in 4 entries: all as they were stored\nhead {sound.head}"
    keep = do("SELECT * FROM ledger WHERE id = 2").fetchone()
    def back(): do("DELETE FROM ledger WHERE id = 2"); do("INSERT INTO ledger VALUES (?, ?, ?, ?)", keep)
    names = [c[1] for c in do("PRAGMA table_info(ledger)")]; row = dict(zip(names, keep))
    other = zlib.compress(zlib.decompress(row["cells"]), 9)
    for column, value, words in (("made_at", "2024-01-01 00:00:00.000000", "is not what was stored"), ("digest", bytes(32), "does not follow from the entry before and the records"), ("cells", other, "is not what was stored"), ("cells", b"x", "cannot be read: its records cannot be checked"),
                                 ("cells", zlib.compress(b"[]"), "cannot be read"), ("cells", zlib.compress(b"{}"), "cannot be read")):
        do(f"UPDATE ledger SET {column} = ? WHERE id = 2", (value,))
        got = look()
        assert not got and [(p.table, p.id, p.column) for p in got.problems] == [("ledger", 2, column)] and words in got.problems[0].what, (column, words, got.problems)
        back(); assert look()
    do("PRAGMA foreign_keys = OFF"); do("DELETE FROM ledger WHERE id = 2")
    got = look()
    assert ("ledger", 2, None, "is missing: the next entry is 3") == (got.problems[0].table, got.problems[0].id, got.problems[0].column, got.problems[0].what) and len(got.problems) > 1
    back(); assert look()

def test_a_head_noted_elsewhere(chain, lite):
    do, look = chain
    heads = [r[0].hex() for r in do("SELECT digest FROM ledger ORDER BY id").fetchall()]
    with Archive(lite) as a:
        assert all(verify(a, h) for h in (*heads, heads[1].upper(), "00"*32))
        got = verify(a, "ab"*32)
    assert not got and str(got.problems[0]) == f"ledger, column digest: the head noted as {'ab'*8}… is not in the chain: its end was cut off, or all was made anew"
    with Archive(lite.replace("archive.db", "empty.db")) as a: none = verify(a)
    assert none and (none.entries, none.records, none.head) == (0, 0, "00"*32)

def test_what_was_found_is_said():
    p = [Problem("label", i, None, "is missing") for i in range(60)]
    one, many = Verified(3, 1234, "ab", p[:1]), Verified(3, 1234, "ab", p)
    assert one.text() == "1,234 records in 3 entries: 1 problem\nhead ab\n  label, id 0: is missing" and not one and not many
    assert many.text().splitlines()[0] == "1,234 records in 3 entries: 60 problems" and len(many.text().splitlines()) == 52
    assert str(Problem("reason", 7, "z", "is not what was stored")) == "reason, id 7, column z: is not what was stored" and str(Problem("the file", None, None, "x")) == "the file: x"
    assert len(many.to_frame()) == 60 and list(many.to_frame()) == ["table", "id", "column", "what"] and one.to_dict()["problems"][0]["table"] == "label"
    assert Verified(1, 1, "<b>", []) ._repr_html_() == "<pre>1 records in 1 entries: all as they were stored\nhead &lt;b&gt;</pre>"


# exports

def test_an_export_is_typed_and_inert(lite, tmp_path):
    with Archive(lite) as a:
        for i in range(3): put(a, f"v{i}", i, i, origin="in/x.csv", bytes=7)
        put(a, "v0", 0, 9, "other")
        t, of = tidy(a), tidy(a, "shop")
        assert t.num_rows == 8 and of.num_rows == 6 and set(of["dataset"].to_pylist()) == {"shop"} and t["dataset"].to_pylist() == ["other"]*2+["shop"]*6
        assert {n: str(t.schema.field(n).type) for n in ("dataset", "source_version", "published_at", "bytes", "row_count", "column_name", "column_type", "position", "null_share", "distinct_count")} == dict(
            dataset="string", source_version="string", published_at="timestamp[us, tz=UTC]", bytes="int64", row_count="int64", column_name="string", column_type="string", position="int64", null_share="double", distinct_count="int64")
        assert not {"id", "entry", "update_id", "dataset_id", "previous_id"} & set(t.column_names)
        w = wide(a, "shop")
        assert w["source_version"].to_pylist() == ["v0", "v1", "v2"] and str(w.schema.field("published_at").type) == "timestamp[us, tz=UTC]" and w["rows"].to_pylist() == [6.]*3 and w["x.mean"].to_pylist() == [55/6+i for i in range(3)]
        assert w["created_share"].to_pylist() == [None]*3 and not [c for c in w.column_names if c.startswith("id.") and w[c].null_count == 3]       # a metric that never was has no column
        with pytest.raises(UsageError, match="no dataset 'none'"): tidy(a, "none")
        for start in "=+-@\t\r\n":
            a.append("odd", f"{start}1", DAY, profile_table(pa.table({f"{start}x": ["a"]})), start)
        export(a, tmp_path/"all.csv"); export(a, tmp_path/"odd.csv", "odd", in_width=True); export(a, tmp_path/"shop.parquet", "shop", in_width=True)
        assert pq.read_table(tmp_path/"shop.parquet").equals(w)
    with open(tmp_path/"all.csv", newline="") as f: rows = list(csv.DictReader(f))
    assert len(rows) == 15 and {r["source_version"] for r in rows if r["dataset"] == "odd"} == {f"'{s}1" for s in "=+-@\t\r\n"} and {r["origin"] for r in rows if r["dataset"] == "shop"} == {"in/x.csv"}
    with open(tmp_path/"odd.csv", newline="") as f: head = next(csv.reader(f))
    assert {c[:2] for c in head if c.endswith("x.null_share")} == {f"'{s}" for s in "=+-@\t\r\n"}

def test_numbers_of_columns_are_kept_as_they_are(lite):
    "Every metric of every column, of the table, and the hashes: what was measured is what comes back, and what was not is empty."
    p = profile_table(pa.table({"id": ["a", "b", "a"], "x": [1., None, np.inf], "t": pa.array([0, 1, 1], pa.timestamp("us"))}), ["id"])
    with Archive(lite) as a:
        a.append("shop", "v", DAY, p, "c", source="files:x")
        u, = a.select('SELECT * FROM "update"'); cols = a.select("SELECT * FROM column_profile ORDER BY position")
        kinds = [(r["position"], r["kind"]) for r in a.select("SELECT position, kind FROM column_sketch ORDER BY id")]
        often = [json.loads(r["bytes"]) for r in a.select("SELECT bytes FROM column_sketch WHERE kind = 'frequent' ORDER BY position")]
    public = archive_module.PUBLIC_NAME
    for m in TABLE_METRICS: assert u[public.get(m, m)] == p.table.get(m)
    for r, c in zip(cols, p.columns, strict=True):
        assert (r["name"], r["type"]) == (c.name, c.type) and {m: r[public.get(m, m)] for m in COLUMN_METRICS} == {m: c.metrics.get(m) for m in COLUMN_METRICS}
    assert kinds == [(0, "summary 2"), (0, "frequent"), (1, "summary 2"), (2, "summary 2"), (2, "frequent")] and often[0] == [["a", 2]] and u["schema_hash"] == schema_hash(p.columns) and u["previous_id"] is None
    assert set(KINDS["update"]) >= set(u)
