#!/usr/bin/env python
"""Ingestion of ten thousand real files: does a file cost the same when thousands lie before it?

    bench_ingest.py [--files N] [--bad SHARE] [--docs] [--at DIR]      one process; milliseconds a file at marks, and as multiples of the first mark

The flights of 2013 are dealt into N files in their order (`split_file`), every fifth is spoilt by a fault of the library, rules come from four hundred of the files as they were before, over the whole year; all files wait in `raw-data` at the start, and every bad
one is told to an owner whose address accepts. The job is the public one (`ingest`). Afterwards every file must lie in exactly one state, and archive, pages, index and folders must agree to the row; else this ends with 1."""
import argparse, json, os, re, sys, tempfile, time, traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from dsmon_research import ingest as job_module
from dsmon_research.archive import Archive, verify
from dsmon_research.checks import load_checks
from dsmon_research.collect import updates
from dsmon_research.faults import KINDS, CannotApply, apply_fault
from dsmon_research.infer import infer
from dsmon_research.pages import PAGE, page_name
from dsmon_research.read import read_bytes, read_table
from dsmon_research.separate import csv_bytes, header_bytes
from dsmon_research.split import split_file

PARTS, WIDE = ("recover", "tell_again", "waiting", "take", "refresh_index"), 100 # parts of a tick; files that a mark is averaged over
KEY, LEARNT = "year month day carrier flight origin sched_dep_time".split(), 400 # what tells rows apart; files that rules are learned from
HITS = [("missing", "carrier"), ("implicit_missing", "hour"), ("wrong_category", "origin"), ("sign_flip", "distance"), ("wrong_type", "dep_time"), ("duplicated_rows", None), ("typos", "dest"), ("missing_column", "dest")]


def written(t): return header_bytes(t.column_names, ",")+csv_bytes(t)

def text(t): return pa.table([c.cast(pa.string()) for c in t.columns], names=t.column_names)

def prepare(at, n, bad):
    "The files, their rules beside them, and how many were spoilt; in a process of its own, so that the job's memory is the job's."
    pid = os.fork()
    if not pid:
        try: spoil(at, n, bad); os._exit(0)
        except BaseException: traceback.print_exc(); os._exit(1)
    if os.waitpid(pid, 0)[1]: sys.exit("the files could not be made")
    return load_checks(at/"rules.yaml"), int((at/"spoilt").read_text())

def spoil(at, n, bad):
    days = [text(u.read()) for u in updates("example:flights")]
    (at/"flights.csv").write_bytes(written(pa.concat_tables(days)))
    parts = split_file(at/"flights.csv", at/"raw-data", n)
    checks = infer([read_bytes(p.read_bytes(), p.name) for p in parts[::max(n//LEARNT, 1)]], KEY)
    spoilt, every = 0, round(1/bad) if bad else n+1
    for i, p in enumerate(parts, 1):
        kind, column = HITS[i//every % len(HITS)]
        if i % every: continue
        try: t = apply_fault(read_bytes(p.read_bytes(), p.name), kind, 1. if KINDS[kind].scope == "table" else .1, np.random.default_rng(i), column).table
        except CannotApply: continue
        p.write_bytes(written(t)); spoilt += 1
    checks.save(at/"rules.yaml"); (at/"spoilt").write_text(str(spoilt))


class Clock:
    "CPU and wall seconds of each part of each tick."
    def __init__(self):
        self.ticks, self.now = [], Counter()
        for name in PARTS: setattr(job_module, name, self.timed(name, getattr(job_module, name)))

    def timed(self, name, fn):
        def call(*a, **k):
            cpu, wall = time.process_time(), time.perf_counter()
            try: return fn(*a, **k)
            finally:
                self.now[name] += time.process_time()-cpu; self.now["wall"] += time.perf_counter()-wall
                if name == PARTS[-1]: self.ticks.append((self.now, resident())); self.now = Counter()
        return call

def resident(): return int(Path("/proc/self/statm").read_text().split()[1])*os.sysconf("SC_PAGE_SIZE")/2**20 # MB

def rows_of(p): return read_table(p).num_rows

def agree(job, names, done):
    "Problems: what does not agree between files, folders, pages, index and archive."
    out, lies = [], {d.name: {p.name for p in d.iterdir() if not p.name.startswith(".")} for d in (job.raw, job.good, job.bad, job.reports)}
    with Archive(job.archive) as a:
        rows = a.select("SELECT i.*, (SELECT count(*) FROM ingestion_event e WHERE e.ingestion_id = i.id AND e.what = 'split') AS split, (SELECT count(*) FROM ingestion_event e WHERE e.ingestion_id = i.id AND e.what = 'alert' AND e.state = 'sent') AS told FROM ingestion i")
        if not (v := verify(a)): out.append(v.text())
    say = lambda what, ok: None if ok else out.append(what)
    say("raw files left", not lies[job.raw.name]); say("archive's names", sorted(r["file_name"] for r in rows) == sorted(names)); say("one result a file", sorted(d.file for d in done) == sorted(names))
    say("split once", {r["split"] for r in rows} == {1}); say("counts", all(r["row_count"] == r["valid_count"]+r["invalid_count"] for r in rows))
    say("told once, the bad alone", all(r["told"] == (r["invalid_count"] > 0) for r in rows))
    say("good folder", lies[job.good.name] == {r["file_name"] for r in rows if r["valid_count"]}); say("bad folder", lies[job.bad.name] == {r["file_name"] for r in rows if r["invalid_count"]})
    for r in rows: say(f"rows of {r['file_name']}", (not r["valid_count"] or rows_of(job.good/r["file_name"]) == r["valid_count"]) and (not r["invalid_count"] or rows_of(job.bad/r["file_name"]) == r["invalid_count"]))
    want = {page_name(r["file_name"], r["file_hash"]) for r in rows}
    lists = sorted(n for n in lies[job.reports.name] if re.fullmatch(r"page-\d{5}\.html", n))
    say("a page a file", lies[job.reports.name] == want | {"index.html", *lists})
    linked = Counter(m for n in lists for m in re.findall(r'href="([^"]+-[0-9a-f]{12}\.html)"', (job.reports/n).read_text()))
    say("each in one list", set(linked) == want and set(linked.values()) == {1})
    front = (job.reports/"index.html").read_text()
    for n in (len(rows), sum(r["row_count"] for r in rows), sum(r["invalid_count"] for r in rows)): say(f"{n:,} on the front page", f"{n:,}" in front)
    if job.docs: say("a result a file", len(list((job.docs/"results").iterdir())) == len(rows))
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--files", type=int, default=10_000); p.add_argument("--bad", type=float, default=.2); p.add_argument("--docs", action="store_true", help="also Great Expectations' results")
    p.add_argument("--at", type=Path, help="folder that stays; default: a temporary one"); p.add_argument("--json", type=Path)
    a = p.parse_args()
    os.environ["DSMON_NOTIFY_FLIGHTS"] = "json://owner.example/"
    with tempfile.TemporaryDirectory() as tmp:
        at = (a.at or Path(tmp)).resolve(); at.mkdir(parents=True, exist_ok=True)
        checks, spoilt = prepare(at, a.files, a.bad)
        names = os.listdir(at/"raw-data")
        job = job_module.Job("flights", checks, at/"raw-data", at/"good_data", at/"bad_data", at/"reports", f"sqlite:///{at}/archive.db", seed=1, docs=at/"docs" if a.docs else None)
        print(f"{a.files:,} files, {sum(t.stat().st_size for t in (at/'raw-data').iterdir())/a.files/1024:.1f} kB each, {spoilt:,} spoilt, {len(checks)} rules; {resident():.0f} MB", flush=True)
        clock = Clock()
        done = job_module.ingest(job, send=lambda *_: "")
        report(a, job, clock, done, names)


def report(a, job, clock, done, names):
    marks, out = [m for m in (100, 1000, 5000, 10_000, a.files) if m <= a.files], []
    for m in dict.fromkeys(marks):
        part = clock.ticks[max(m-WIDE, 0):m]
        ms = {n: 1000*sum(t[n] for t, _ in part)/len(part) for n in (*PARTS, "wall")}
        out.append(dict(files=m, cpu_ms=round(sum(ms[n] for n in PARTS), 2), **{k: round(v, 2) for k, v in ms.items()}, memory_mb=round(part[-1][1])))
    print("   file   CPU ms   "+"  ".join(f"{n:>13}" for n in PARTS)+"   wall ms   memory MB   CPU of the first mark")
    for r in out: print(f"{r['files']:7,}  {r['cpu_ms']:7.1f}   "+"  ".join(f"{r[n]:13.2f}" for n in PARTS)+f"   {r['wall']:7.1f}   {r['memory_mb']:9}   {r['cpu_ms']/out[0]['cpu_ms']:.2f} x")
    size = lambda p: p.stat().st_size/1024
    lists = list(job.reports.glob("page-*.html"))
    facts = dict(index_kb=size(job.reports/"index.html"), list_kb=max(map(size, lists)), lists=len(lists), per_list=PAGE, archive_mb=size(Path(job.archive.removeprefix("sqlite:///")))/1024, bad_files=sum(d.bad for d in done), bad_rows=sum(d.facts["bad"] or 0 for d in done))
    print("  ".join(f"{k} {v:,.1f}" if isinstance(v, float) else f"{k} {v:,}" for k, v in facts.items()))
    problems = agree(job, names, done)
    print("archive, pages, index and folders agree" if not problems else "\n".join(problems[:20]))
    if a.json: a.json.write_text(json.dumps(dict(marks=out, **facts, agree=not problems), indent=1)+"\n")
    if problems: sys.exit(1)


if __name__ == "__main__": main()
