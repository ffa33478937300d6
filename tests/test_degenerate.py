"The newest update is degenerate, or all are: a typed verdict, finite numbers, and the next healthy day is judged. `DSMON_SOAK=1` tries every champion."
import json, math, os, re, shutil

import numpy as np
import pyarrow as pa, pyarrow.parquet as pq
import pytest

from dsmon_research.archive import LISTED, Archive, verify
from dsmon_research.capture import capture
from dsmon_research.cli import main
from dsmon_research.monitor import Judge, Monitor
from dsmon_research.surprise import MEMBERS
from test_run import csv, name, put

CHAMPIONS = [*MEMBERS, "ensemble"] if os.environ.get("DSMON_SOAK") else ["ensemble"]
PARAMS = f"inject: {{faults: {{}}}}\nbacktest: {{detectors: [{', '.join(MEMBERS)}], members: [max_new, next_new, pca], champion: ensemble}}\ndatasets: {{shop: {{source: 'files:in/*', key: [order], season: 7}}}}\n"
DAYS, HEAD = 32, "order,city,price\n"

def parquet(table):
    sink = pa.BufferOutputStream(); pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()

ODD = { # what the file of the day holds
    "nothing at all": b"", "a header": HEAD.encode(), "one cell": b"order\n1\n", "one row": (HEAD+"1,Rome,2.5\n").encode(), "all empty": (HEAD+",,\n"*40).encode(), "constant": (HEAD+"7,Rome,1\n"*50).encode(),
    "words for numbers": (HEAD+"".join(f"{i},Rome,NaN\n{i+50},Rome,inf\n{i+99},Rome,-Infinity\n{i+200},Rome,1e999\n" for i in range(12))).encode(),
    "mixed": (HEAD+"".join(f"{i},{i},{'2024-02-30' if i%3 else 'x'}\n" for i in range(50))).encode(), "large whole numbers": (HEAD+"".join(f"{2**53+i},Rome,{2**64+i}\n" for i in range(50))).encode(),
    "dates beyond nanoseconds": (HEAD+"".join(f"{i},{9000+i}-01-01,0001-01-01\n" for i in range(50))).encode(), "not UTF-8": (HEAD+"1,Forl\xec,3\n"*50).encode("latin-1"), "byte order mark": b"\xef\xbb\xbf"+csv(3).encode(),
    "NUL": (HEAD+"1,Ro\0me,3\n"*50).encode(), "CRLF in quotes": (HEAD+"".join(f'{i},"Ro\r\nme",3\r\n' for i in range(50))).encode(), "names that repeat": b"order,order,,\n"+b"1,2,3,4\n"*50,
    "other columns": b"a,b\n"+b"1,2\n"*50, "no table": b"PK\x03\x04 \xff\xfe no table", "10,000 columns": (",".join(f"c{i}" for i in range(10_000))+"\n"+",".join(["1"]*10_000)+"\n").encode(),
    "no columns": parquet(pa.table({})), "infinite": parquet(pa.table({"order": [1, 2, 3], "city": ["a", None, ""], "price": [np.inf, -np.inf, np.nan]})), "all null": parquet(pa.table({"order": pa.nulls(9), "city": pa.nulls(9), "price": pa.nulls(9)})),
    "nested": parquet(pa.table({"order": [[1], [], None], "city": [{"a": 1}, {"a": None}, None], "price": [1, 2, 3]})), "dates of Arrow": parquet(pa.table({"order": [1, 2], "city": ["a", "b"], "price": pa.array([-2**62, 2**62], pa.timestamp("us"))}))}


def write(root, day, raw): (root/"in"/f"{name(day)}{'.parquet' if raw[:4] == b'PAR1' else '.csv'}").write_bytes(raw)

def finite(x):
    "No number anywhere that is none."
    if isinstance(x, dict): return all(map(finite, x.values()))
    if isinstance(x, (list, tuple)): return all(map(finite, x))
    return not isinstance(x, float) or math.isfinite(x)

def typed(got):
    assert got.verdict in ("healthy", "unhealthy", "unknown") and finite(got.to_dict()) and got.sentence and "\n" not in got.sentence
    assert (got.p_value is None) == (got.verdict == "unknown") and (got.p_value is None or 0 < got.p_value <= 1), got
    return got.verdict

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    (root/"in").mkdir(); (root/"params.yaml").write_text(PARAMS)
    for d in range(DAYS): put(root, d)
    before = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith("DSMON_")}
    capture("shop", root); os.environ.update(before)
    return root

@pytest.fixture
def shop(made, tmp_path, monkeypatch):
    for k in [k for k in os.environ if k.startswith("DSMON_")]: monkeypatch.delenv(k)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True); monkeypatch.setenv("DSMON_ROOT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("champion", CHAMPIONS)
def test_the_newest_update_is_degenerate(shop, champion):
    (shop/"params.yaml").write_text(PARAMS.replace("champion: ensemble", f"champion: {champion}"))
    Monitor("shop").assess()
    told, files = {}, {f.name for f in (shop/"in").iterdir()}
    for what, raw in ODD.items():
        saved = {f: f.read_bytes() for f in (shop/"data/shop").glob(".[!.]*") if f.is_file()} | {shop/"data/archive.db": (shop/"data/archive.db").read_bytes()}
        write(shop, DAYS, raw)
        got = Monitor("shop").capture()
        with Archive(root=shop, create=False) as a:
            if got.unreadable: told[what] = a.select("SELECT check_name FROM finding")[0]["check_name"]
            else:
                ups = a.current("shop", LISTED)
                assert ups[-1]["source_version"] == name(DAYS), what
                told[what] = typed(Judge(a, "shop", shop)(len(ups)-1))
            assert verify(a), what
        put(shop, DAYS+1)                                             # and life goes on
        after = Monitor("shop").assess()
        assert after.update == name(DAYS+1) and typed(after) != "unknown", what
        for f in (shop/"in").iterdir():
            if f.name not in files: f.unlink()
        for f, kept in saved.items(): f.write_bytes(kept)
    unreadable = {k for k, v in told.items() if v == "readable"}
    assert unreadable == {"no table"}, told
    calm = {k for k, v in told.items() if v == "healthy"}
    if champion != "seasonal": assert not calm-{"byte order mark"}, told # a sound file with a mark in front is no fault; all others are. The same day last week alone says nothing after 32 days: typed and finite is all

def test_all_updates_are_degenerate(tmp_path, monkeypatch):
    "Thirty times the same odd thing: that is then what is normal; one of it is no history."
    for k in [k for k in os.environ if k.startswith("DSMON_")]: monkeypatch.delenv(k)
    for i, (what, raw) in enumerate(ODD.items()):
        if what in ("no table", "10,000 columns"): continue
        root = tmp_path/str(i); (root/"in").mkdir(parents=True); (root/"params.yaml").write_text(PARAMS)
        write(root, 0, raw); m = Monitor("shop", root)
        first = m.assess()
        assert typed(first) == "unknown" and first.needed == 28, what
        for d in range(1, 30): write(root, d, raw)
        assert typed(m.assess()) == "healthy", what
        put(root, 30)                                                  # and then a healthy file
        assert typed(m.assess()) in ("healthy", "unhealthy"), what

def test_one_line_and_a_code_for_each(shop, capsys):
    want = {"healthy": 0, "unhealthy": 3, "unknown": 4}
    for what in ("nothing at all", "a header", "all empty", "no table", "not UTF-8", "names that repeat"):
        write(shop, DAYS, ODD[what])
        code = main(["run", "shop", "--json"]); out = capsys.readouterr()
        r, = json.loads(out.out)["datasets"]
        assert code == (5 if r["unreadable"] else want[r["verdicts"][-1]["verdict"]]) and "Traceback" not in out.err and not re.search(r"\bnan\b|Infinity", out.out), (what, out)
        (shop/"in"/f"{name(DAYS)}.csv").unlink(); shutil.rmtree(shop/"data")
