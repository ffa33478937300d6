"The split and the ingestion job: values as published, every kill point, hostile names, an index of ten thousand files."
import json, os, random, signal, time
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from dsmon_research import pages
from dsmon_research.archive import Archive, now, verify
from dsmon_research.checks import Checks, Rule
from dsmon_research.config import UsageError
from dsmon_research.ingest import Job, ingest, tell_again
from dsmon_research.read import read_bytes, read_table
from dsmon_research.separate import csv_bytes, header_bytes, separate

RULES = Checks([Rule(column="fare", check="range", min=0, max=100), Rule(column="zone", check="values", values=["A", "B"], criticality="high"), Rule(column="id", check="not_null")])
KILLS = 1000 if os.environ.get("DSMON_SOAK") else 25
cells = st.none() | st.sampled_from(["", "007", "1.50", "a,b", 'say "x"', "two\nlines", "\r", " x ", "NA", "é", "=1+1", "x;y", "\t"])


def text(i, n=8): # a small file: some rows good, some bad, all good, all bad, or no table
    if i % 11 == 10: return f"\x1f\x8b not text {i}"
    r = random.Random(i)
    fares = [r.choice([5, -1]) if i % 3 == 0 else 5 if i % 3 == 1 else -1 for _ in range(n)]
    return "id,fare,zone\n"+"".join(f"{i}-{k},{f},{'A' if i % 5 else r.choice('AX')}\n" for k, f in enumerate(fares))


def job(at, **more):
    (at/"raw").mkdir(parents=True, exist_ok=True)
    return Job("shop", RULES, at/"raw", at/"good", at/"bad", at/"reports", f"sqlite:///{at}/archive.db", **more)


def put(at, numbers):
    for i in numbers: (at/".new").write_text(text(i)); os.replace(at/".new", at/"raw"/f"f{i:04d}.csv")


def parts(at): # what readers see
    return {f"{d}/{p.name}": p.read_bytes() for d in ("good", "bad") if (at/d).is_dir() for p in (at/d).iterdir() if not p.name.startswith(".")}


def expected(at, numbers):
    job(at); put(at, numbers)
    for p in (at/"raw").iterdir(): separate(p, RULES, at/"good", at/"bad")
    return parts(at)


def killed(j, after): # a process that ingests, ended at a random moment; True if it was through before
    pid = os.fork()
    if pid == 0:
        try: ingest(j); os._exit(0)
        except BaseException: os._exit(1)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def whole(at, want, numbers):
    "Nothing lost, doubled or half: every file is once in the archive, its rows are where they belong."
    assert parts(at) == want and not list((at/"raw").iterdir())
    assert not [p for d in ("good", "bad") for p in (at/d).glob(".*") if p.name != ".dsmon-ingest.lock"] and not list((at/"reports").glob(".*"))
    with Archive(job(at).archive) as a:
        rows = a.select("SELECT i.*, (SELECT count(*) FROM ingestion_event e WHERE e.ingestion_id = i.id AND e.what = 'split') AS split FROM ingestion i")
        found = a.select("SELECT update_id, check_name, count(*) AS n FROM finding GROUP BY update_id, check_name, column_name HAVING count(*) > 1")
        assert verify(a)
    assert sorted(r["file_name"] for r in rows) == [f"f{i:04d}.csv" for i in numbers] and {r["split"] for r in rows} == {1} and not found
    assert all(r["row_count"] is None or r["row_count"] == r["valid_count"]+r["invalid_count"] for r in rows)


@pytest.mark.parametrize("docs", [False, True])
def test_kills(tmp_path, docs):
    "kill -9 at random moments while files arrive, with and without Great Expectations' results beside."
    rng, at, more = random.Random(1), tmp_path/"job", dict(docs=tmp_path/"docs") if docs else {}
    warm = job(tmp_path/"warm", **more and dict(docs=tmp_path/"warm-docs")); put(tmp_path/"warm", [0]); ingest(warm) # everything is imported before the processes part
    numbers = range(KILLS if KILLS < 100 else KILLS//2)
    want, j, through = expected(tmp_path/"calm", numbers), job(at, seed=3, **more), 0
    for k in range(KILLS):
        new = [i for i in numbers if i % KILLS == k] if KILLS < 100 else [k//2] if k % 2 == 0 else []
        put(at, new)
        through += killed(j, rng.uniform(0, .2)) == 0
        seen = parts(at)
        assert seen == {name: want[name] for name in seen if name in want}, f"half or foreign after kill {k}"
    ingest(j)
    whole(at, want, numbers)
    if docs: # a whole result of each file, and nothing half-written
        got = [json.loads(p.read_text()) for p in (tmp_path/"docs"/"results").iterdir()]
        assert len(got) == len(numbers) and not [p for p in (tmp_path/"docs").rglob("*") if p.suffix not in (".json", ".py") and p.is_file()]
    assert through < KILLS, "every kill came too late"


class Dying:
    "Ends the process at the n-th call of the functions that it wraps."
    def __init__(self, n): self.left = n
    def __call__(self, fn):
        def call(*a, **k):
            self.left -= 1
            if not self.left: os._exit(7)
            return fn(*a, **k)
        return call


def test_every_rename_and_removal(tmp_path):
    "The process ends at the n-th rename or removal, for every n."
    at, numbers, n = tmp_path/"job", range(4), 0
    want, j = expected(tmp_path/"calm", numbers), job(at)
    put(at, numbers)
    while True:
        n += 1
        pid = os.fork()
        if pid == 0:
            dying = Dying(n)
            os.replace, os.unlink = dying(os.replace), dying(os.unlink)
            try: ingest(j); os._exit(0)
            except BaseException: os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, 7), code
        assert all(want[k] == v for k, v in parts(at).items())
        if code == 0: break
    assert n > 5
    whole(at, want, numbers)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_values_stay(data, tmp_path):
    "What is written reads back as the same cells, row by row, whichever side it is on."
    n, w = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    t = pa.table({f"c{i}": pa.array(data.draw(st.lists(cells, min_size=n, max_size=n)), pa.string()) for i in range(w)})
    back = read_bytes(header_bytes(t.column_names, ",")+csv_bytes(t))
    assert back.to_pydict() == t.to_pydict()
    (tmp_path/"x.csv").write_bytes(header_bytes(t.column_names, ",")+csv_bytes(t))
    got = separate(tmp_path/"x.csv", Checks([Rule(column="c0", check="values", values=["007", "a,b", "NA"])]), tmp_path/"g", tmp_path/"b", force=True)
    mask = np.array([v not in (None, "007", "a,b", "NA") for v in t["c0"].to_pylist()])
    if got.good: assert read_table(got.good).to_pydict() == t.filter(pa.array(~mask)).to_pydict()
    if got.bad:
        b = read_table(got.bad)
        assert b.select(t.column_names).to_pydict() == t.filter(pa.array(mask)).to_pydict()
        assert b["dsmon_row"].to_pylist() == [str(i+1) for i in np.flatnonzero(mask)] and set(b["dsmon_reason"].to_pylist()) == {"`c0` is none of 3 known values"}
    assert bool(got.good) == bool((~mask).any()) and bool(got.bad) == bool(mask.any())


def test_parquet_and_slices(tmp_path, monkeypatch):
    monkeypatch.setattr("dsmon_research.separate.STEP", 7)
    import pyarrow.parquet as pq
    t = pa.table({"fare": pa.array([*range(-5, 45), None], pa.int32()), "zone": pa.array(["A"]*51).dictionary_encode(), "id": [2**60+i for i in range(51)]})
    pq.write_table(t, tmp_path/"x.parquet")
    got = separate(tmp_path/"x.parquet", RULES, tmp_path/"g", tmp_path/"b")
    assert read_table(got.good).equals(read_table(tmp_path/"x.parquet").slice(5)) and read_table(got.bad)["dsmon_row"].to_pylist() == [1, 2, 3, 4, 5]
    (tmp_path/"x.tsv").write_text("id\tfare\tzone\n"+"".join(f"{i}\t{i-5}\tA\n" for i in range(30)))
    got = separate(tmp_path/"x.tsv", RULES, tmp_path/"g", tmp_path/"b")
    assert got.good.read_text() == "id\tfare\tzone\n"+"".join(f"{i}\t{i-5}\tA\n" for i in range(5, 30)) and len(got.bad.read_text().splitlines()) == 6


def test_never_twice_and_names(tmp_path):
    at = tmp_path/"job"; j = job(at); put(at, [0])
    (first,) = ingest(j)
    for name in ("f0000.csv", "other.csv"): (at/"raw"/name).write_text(text(0))
    assert [x.repeated for x in ingest(j)] == [True, True] and len(parts(at)) == 2
    (at/"raw"/"f0000.csv").write_text(text(3)); ingest(j)          # another content under a known name
    assert len([k for k in parts(at) if k.startswith("good/f0000")]) == 2
    (at/"raw"/".hidden").write_text("x"); (at/"raw"/"folder").mkdir(); os.symlink("/etc/hostname", at/"raw"/"link.csv")
    assert ingest(j) == []
    evil = "<img src=x onerror=alert(1)>.csv"
    (at/"raw"/evil).write_text('id,fare,zone\n1,5,"<script>alert(1)</script>"\n'); ingest(j)
    html = "".join(p.read_text() for p in (at/"reports").iterdir())
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html and html.count("default-src 'none'") == len(list((at/"reports").iterdir()))


def test_two_jobs_and_wrong_use(tmp_path):
    import fcntl
    j = job(tmp_path).prepare()
    with open(j.bad/".dsmon-ingest.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another ingestion"): ingest(j)
    with pytest.raises(UsageError, match="no such folder"): ingest(Job("shop", RULES, tmp_path/"none", tmp_path/"g", tmp_path/"b", tmp_path/"r", j.archive))
    with pytest.raises(UsageError, match="four different"): ingest(Job("shop", RULES, tmp_path/"raw", tmp_path/"raw", tmp_path/"b", tmp_path/"r", j.archive))


def test_messages(tmp_path, monkeypatch):
    monkeypatch.setenv("DSMON_NOTIFY", "json://owner.example/")
    j, sent = job(tmp_path), []
    put(tmp_path, [1, 2])
    ingest(j, send=lambda url, subject, body, key, severe: sent.append((subject, body, key)) or "error 503")
    assert len(sent) == 1 and sent[0][0].startswith("[medium] shop f0002.csv: 8 of 8 rows are bad: 'fare' is not 0 to 100") and "Criticality medium" in sent[0][1] and "Report: " in sent[0][1]
    again = []
    assert tell_again(j, send=lambda *a: "") == 0, "not due yet"
    assert tell_again(j, send=lambda *a: again.append(a) or "", at=now()+timedelta(minutes=6)) == 1 and again[0][3] == sent[0][2] and tell_again(j, send=lambda *a: "", at=now()+timedelta(days=1)) == 0


def test_random_choice_is_seeded(tmp_path):
    order = []
    for seed in (1, 1, 2):
        at = tmp_path/str(len(order)); j = job(at, seed=seed); put(at, range(6))
        order.append([x.file for x in ingest(j)])
    assert order[0] == order[1] != order[2] and sorted(order[2]) == sorted(order[0])


def test_index_grows_by_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "PAGE", 3)
    one = lambda i: dict(at="2026-01-01 10:00", file=f"f{i}.csv", page=f"f{i}.html", criticality=None, rows=10, bad=0)
    for n in range(1, 11): pages.write_index(tmp_path, "shop", dict(files=n, rows=10*n, bad=0, bad_files=0), [one(i) for i in range(max(n-6, 0), n)])
    shown = {p.name: [i for i in range(10) if f'"f{i}.html"' in p.read_text()] for p in tmp_path.iterdir()}
    assert shown == {"page-00001.html": [0, 1, 2], "page-00002.html": [3, 4, 5], "page-00003.html": [6, 7, 8], "page-00004.html": [9], "index.html": [7, 8, 9]}


def test_looks_at_its_start_and_then_now_and_then(tmp_path, monkeypatch):
    "What a killed run left and what is due to be told again are looked for at the start of a run and every half minute, not at every file."
    from dsmon_research import ingest as module
    monkeypatch.setenv("DSMON_NOTIFY", "json://owner.example/")
    j, looks, sent = job(tmp_path), [], []
    put(tmp_path, [2]); ingest(j, send=lambda *a: "error 503") # a bad file whose owner was not reached
    (j.bad/".f9.csv.0123456789ab.999999999.part").write_text("left by a process that is gone")
    monkeypatch.setattr(module, "now", lambda: now()+timedelta(minutes=6))
    monkeypatch.setattr(module, "recover", lambda *a, real=module.recover: looks.append(1) or real(*a))
    put(tmp_path, [1, 4, 7]); ingest(j, send=lambda *a: sent.append(a[1]) or "")
    assert len(looks) == 1 and len(sent) == 1 and "f0002.csv" in sent[0] and not list(j.bad.glob("*.part")) and not list(j.bad.glob(".*.part"))
    monkeypatch.setattr(module, "LOOK", 0)
    put(tmp_path, [13, 16]); ingest(j)
    assert len(looks) == 1+3
    with Archive(j.archive) as a: assert [r["state"] for r in a.select("SELECT state FROM ingestion_event WHERE what = 'alert' ORDER BY id")] == ["failed", "sent"]
