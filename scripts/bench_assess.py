"""Cold judging of the newest update: whole `dsmon assess` processes against `python -c "import pandas"`, in interleaved pairs.

    python scripts/bench_assess.py                         # 1,000, 2,000 and 4,000 updates of 20 columns
    python scripts/bench_assess.py --large                 # 10,000 updates of 50 columns (makes the past first: a quarter of an hour)
    python scripts/bench_assess.py --archive               # a captured dataset: judged from the archive, the verdict written down; also with --large
    python scripts/bench_assess.py --capture               # `dsmon capture` of one more update of 100,000, 200,000 and 400,000 rows
    python scripts/bench_assess.py --out docs/benchmarks/assess.json

The history is generated: sixty days of real tables, profiled, then repeated with ever new keys, numbers and times. What is measured is the day after: the past of the day before yesterday is on disk, yesterday's
and today's profiles are there, every stage is fresh; the process checks that, learns yesterday, judges today and writes the past down. `again` judges the same update once more, `refit` is a day on which the
principal components are fitted anew. Not measured: collecting and profiling the new update.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np, pyarrow as pa

K, FIRST = 60, datetime(1990, 1, 1, tzinfo=timezone.utc)
CLI = "from dsmon_research.cli import main; code = main(); import sys; sys.stderr.write([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0]); raise SystemExit(code)"


def table(r, t, C, rows):
    "One day's table: keys, measured numbers, codes and times that never come again; categories, names, flags that do."
    day = np.datetime64(FIRST.replace(tzinfo=None)+timedelta(days=t), "s")
    syllable = np.array(["ba", "to", "ri", "mel", "san", "ko", "lu", "ver", "ni", "dor"])
    words = lambda n, k: ["".join(syllable[(i//10**j)%10] for j in range(k)) for i in r.integers(0, 10**k, n)]
    make = [lambda: pa.array(t*rows+np.arange(rows)), lambda: pa.array(r.lognormal(3, 1, rows)), lambda: pa.array(r.integers(1, 50, rows)), lambda: pa.array(r.choice(list("ABCDEFGHIJKL"), rows, p=np.arange(12, 0, -1)/78)),
            lambda: pa.array([f"city {i}" for i in r.integers(0, 300, rows)]), lambda: pa.array(words(rows, 3)), lambda: pa.array(r.random(rows) < .3), lambda: pa.array(day+r.integers(0, 86400, rows).astype("timedelta64[s]")),
            lambda: pa.array([f"{w}{i:06d}" for w, i in zip(words(rows, 1), r.integers(0, 10**6, rows))]), lambda: pa.array(np.round(r.normal(0, 5, rows), 3), mask=r.random(rows) < .1)]
    return pa.table({f"c{j:02d}": make[j%10]() for j in range(C)})


def grown(p, t, C, rows, r):
    "A profile of one of the sixty days, as it would be later: what never comes again has new hashes, keys and times have gone on."
    later, out = t-t%K, []
    for j, c in enumerate(p.columns):
        s, m, g = c.sketch, dict(c.metrics), c.grid
        if j%10 in (0, 1, 7, 8, 9) and later: s = replace(s, hashes=np.sort(r.integers(1, 2**63, len(s.hashes)).astype(np.uint64)*np.uint64(2)+r.integers(0, 2, len(s.hashes)).astype(np.uint64)))
        if j%10 == 0: m |= {k: m[k]+later*rows for k in ("min", "max", "mean", "q05", "q25", "q50", "q75", "q95") if m.get(k) is not None}; g = g+later*rows
        if j%10 == 7: m |= {k: m[k]+later*86400 for k in ("oldest", "newest") if m.get(k) is not None}; g = None if g is None else g+later*86400
        out.append(replace(c, sketch=s, metrics=m, grid=g))
    q = replace(p, columns=out); q.__dict__.pop("rows", None)
    return q


def project(root, T, C, rows):
    "A project with T updates of one dataset, collected and profiled, every stage noted as fresh."
    from dsmon_research import collect, history, propose, stages
    from dsmon_research.profile import profile_rows, profile_table
    from dsmon_research.project import atomic_write, dump_json, write_parquet
    r = np.random.default_rng(1)
    (root/"in").mkdir(parents=True); updates = root/"data/bench/updates"; updates.mkdir(parents=True)
    atomic_write(root/"params.yaml", propose.with_block(propose._defaults(), "bench", dict(source="files:in/*.parquet", season=7), fresh=True))
    days = [table(r, t, C, rows) for t in range(K)]
    profiles = [profile_table(d, previous=days[t-1] if t else None) for t, d in enumerate(days)]
    raw = [write_parquet(root/"one.parquet", d).read_bytes() for d in days]; (root/"one.parquet").unlink()
    hashes = [collect.content_hash(d) for d in days]
    times = [FIRST+timedelta(days=t) for t in range(T)]
    ids = [t.date().isoformat() for t in times]
    for t, u in enumerate(ids):
        for to in (root/"in"/f"{u}.parquet", updates/collect._file_name(u)): to.write_bytes(raw[t%K])
    rows_ = [dict(id=u, time=times[t], origin=f"in/{u}.parquet", bytes=len(raw[t%K]), rows=rows, columns=C, content_hash=hashes[t%K], file=collect._file_name(u)) for t, u in enumerate(ids)]
    write_parquet(updates/"_index.parquet", pa.Table.from_pylist(rows_, schema=collect._index))
    parts = [profile_rows(ids[a:a+500], [grown(profiles[t%K], t, C, rows, r) for t in range(a, min(a+500, T))]) for a in range(0, T, 500)]
    whole = {k: pa.concat_tables([p[k] for p in parts]) for k in parts[0]}
    if hasattr(history, "write_history"): history.write_history(root/"data/bench/profile", whole, times)
    else:
        whole["tables"] = whole["tables"].append_column("time", pa.array(times, pa.timestamp("s", "UTC")))
        for k, part in whole.items(): write_parquet(root/f"data/bench/profile/{k}.parquet", part)
    notes = {s: [stages.inputs(s, "bench", root), stages.fingerprint(*stages.outputs(s, "bench", root))] for s in ("collect", "profile")}
    atomic_write(root/"data/bench/.state.json", dump_json(notes))
    return root


def archive_project(root, T, C, rows):
    "A project whose archive holds T-1 updates of one dataset, as `capture` would have left it; a function that adds the last one."
    from dsmon_research import propose
    from dsmon_research.archive import Archive, append_update, named, now
    from dsmon_research.profile import profile_table
    from dsmon_research.project import atomic_write
    r = np.random.default_rng(1)
    (root/"in").mkdir(parents=True)
    atomic_write(root/"params.yaml", propose.with_block(propose._defaults(), "bench", dict(source="files:in/*.parquet", season=7), fresh=True))
    days = [table(r, t, C, rows) for t in range(K)]
    profiles = [profile_table(d, previous=days[t-1] if t else None) for t, d in enumerate(days)]
    def fill(first, stop):
        with Archive(root=root) as a, a.write() as w:
            d, before = named(w, "bench", "files:in/*.parquet"), w.select('SELECT id, row_count FROM "update" ORDER BY id DESC LIMIT 1')
            before = before[0] if before else None
            for t in range(first, stop):
                when, p = FIRST+timedelta(days=t), grown(profiles[t%K], t, C, rows, r)
                u = append_update(w, d, p, before, source_version=when.date().isoformat(), content_hash=str(t), published_at=when, observed_at=now(), bytes=0)
                w.add("sighting", dataset_id=d, source_version=when.date().isoformat(), update_id=u, stamp="", observed_at=now())
                before = dict(id=u, row_count=rows)
    for first in range(0, T-1, 100): fill(first, min(first+100, T-1))
    return root, lambda: fill(T-1, T)


def measure_archive(T, C, rows, rounds):
    "`first`: nothing was ever learned, all of the past is walked through once; `next`: yesterday's past is there, one update is learned, one judged, all of it written down; `again`: the verdict is there already."
    import sqlite3
    with tempfile.TemporaryDirectory(prefix="dsmon-bench-") as d:
        root, last = archive_project(Path(d)/"p", T, C, rows)
        past, db = root/"data/bench/.past-archived", root/"data/archive.db"
        about = dict(updates=T, columns=C, rows=rows, db_mib=db.stat().st_size/2**20)
        one, other = run(root, "-c", CLI, "assess", "bench", "--json"), [run(root, "-c", "import pandas") for _ in range(3)]
        assert one["code"] in (0, 3), one
        mid = {k: statistics.median(o[k] for o in other) for k in ("cpu", "wall")}
        yield about | dict(what="archive first", updates=T-1, cpu_s=one["cpu"], wall_s=one["wall"], mib=one["mib"], pandas_cpu_s=mid["cpu"], pandas_wall_s=mid["wall"], rounds=1, cpu_ratio=one["cpu"]/mid["cpu"], wall_ratio=one["wall"]/mid["wall"],
                           ms_an_update=1000*one["cpu"]/(T-2), past_mib=past.stat().st_size/2**20, verdict=json.loads(one["said"])["verdict"])
        last()
        kept = past.read_bytes()
        con = sqlite3.connect(db, timeout=60); entries, = con.execute("SELECT max(id) FROM ledger").fetchone(); con.close()
        def yesterday_again():
            past.write_bytes(kept)
            con = sqlite3.connect(db, timeout=60)
            with con:
                for t in ("incident_event", "incident", "reason", "assessment", "model", "ledger"): con.execute(f"DELETE FROM {t} WHERE {'id' if t == 'ledger' else 'entry'} > ?", (entries,))
            con.close()
        got, said = pairs(root, rounds, yesterday_again)
        assert said["recorded"]["new"] and past.read_bytes() != kept
        yield about | dict(what="archive next") | got | dict(past_mib=len(kept)/2**20, verdict=said["verdict"])
        got, same = pairs(root, rounds)
        assert not same["recorded"]["new"] and same["p_value"] == said["p_value"]
        yield about | dict(what="archive again") | got | dict(past_mib=past.stat().st_size/2**20, verdict=same["verdict"])


def measure_capture(rows, C, rounds):
    "One more update at the source of a dataset with three captured ones: read, hashed, profiled, compared with the one before, stored."
    from dsmon_research import propose
    from dsmon_research.project import atomic_write, write_parquet
    with tempfile.TemporaryDirectory(prefix="dsmon-bench-") as d:
        root, r = Path(d)/"p", np.random.default_rng(1); (root/"in").mkdir(parents=True)
        atomic_write(root/"params.yaml", propose.with_block(propose._defaults(), "bench", dict(source="files:in/*.parquet", season=7), fresh=True))
        for t in range(3): write_parquet(root/f"in/{(FIRST+timedelta(days=t)).date()}.parquet", table(r, t, C, rows))
        assert run(root, "-c", CLI, "capture", "bench", "--json")["code"] == 0
        db, new = root/"data/archive.db", root/f"in/{(FIRST+timedelta(days=3)).date()}.parquet"
        stored = db.read_bytes(); write_parquet(new, table(r, 3, C, rows)); raw = new.read_bytes()
        def yesterday_again(): db.write_bytes(stored); new.write_bytes(raw); time.sleep(.1)
        got, said = pairs(root, rounds, yesterday_again, "capture")
        assert len(said["new"]) == 1, said
        yield dict(updates=3, columns=C, rows=rows, what="capture") | got | dict(verdict=f"{said['archived']} updates")


def yesterday(root, n):
    "The past as the assessment of yesterday left it: of n-2 updates."
    from dsmon_research import assess, history, online
    from dsmon_research.config import load_params
    params, ix = load_params(root), history.load_index("bench", root)
    rules = online.rules_of(ix.times[:n-1], params.datasets["bench"], params.backtest)
    start = time.process_time()
    online.resume(assess.past_file("bench", root), rules, n-2, ix.stamp, lambda a, b: history.one_by_one(ix, a, b))
    return time.process_time()-start


def run(root, *args):
    "CPU s, wall s, peak MiB of one process, its exit code and output."
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "DSMON_ROOT")}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        p = subprocess.Popen([sys.executable, *args], cwd=root, stdout=out, stderr=err, env=env)
        _, status, used = os.wait4(p.pid, 0); p.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter()-start
        out.seek(0); err.seek(0); said, notes = out.read(), err.read().split()
    peak = int(notes[notes.index(b"VmHWM:")+1])/1024 if b"VmHWM:" in notes else 0.   # a child's ru_maxrss would begin with its parent's
    return dict(cpu=used.ru_utime+used.ru_stime, wall=wall, mib=peak, code=p.returncode, said=said)


def pairs(root, rounds, before=lambda: None, verb="assess"):
    "Medians of paired ratios: the assessment against `import pandas`."
    assess, pandas = [], []
    for i in range(rounds+1):
        before()
        a, b = run(root, "-c", CLI, verb, "bench", "--json"), run(root, "-c", "import pandas")
        assert a["code"] in (0, 3), a
        if i: assess.append(a); pandas.append(b)        # the first round warms the caches
    mid = lambda k, rows: statistics.median(r[k] for r in rows)
    return dict(cpu_s=mid("cpu", assess), wall_s=mid("wall", assess), mib=max(a["mib"] for a in assess), pandas_cpu_s=mid("cpu", pandas), pandas_wall_s=mid("wall", pandas), rounds=rounds,
                cpu_ratio=statistics.median(a["cpu"]/b["cpu"] for a, b in zip(assess, pandas)), wall_ratio=statistics.median(a["wall"]/b["wall"] for a, b in zip(assess, pandas))), json.loads(assess[-1]["said"])


def refit_day(T):
    "The first update from T on before which the principal components are fitted anew."
    from dsmon_research.surprise import next_fit
    t = 8
    while t < T-1: t = next_fit(t, 7, 1.05)
    return t+1


def measure(T, C, rows, rounds, old=False, refit=True):
    out = []
    with tempfile.TemporaryDirectory(prefix="dsmon-bench-") as d:
        root = project(Path(d)/"p", T, C, rows)
        about = dict(updates=T, columns=C, rows=rows)
        if old:
            got, said = pairs(root, rounds)
            return [about | dict(what="walk from the start") | got | dict(verdict=said["verdict"])]
        made = yesterday(root, T)
        past = root/"data/bench/.past"; kept = past.read_bytes()
        got, said = pairs(root, rounds, lambda: past.write_bytes(kept))
        out.append(about | dict(what="next") | got | dict(past_mib=len(kept)/2**20, verdict=said["verdict"], made_cpu_s=made))
        got, same = pairs(root, rounds)
        assert same == said
        out.append(about | dict(what="again") | got | dict(past_mib=past.stat().st_size/2**20, verdict=same["verdict"]))
    if refit:
        at = refit_day(T)
        with tempfile.TemporaryDirectory(prefix="dsmon-bench-") as d:
            root = project(Path(d)/"p", at, C, rows); yesterday(root, at)
            past = root/"data/bench/.past"; kept = past.read_bytes()
            got, said = pairs(root, rounds, lambda: past.write_bytes(kept))
            out.append(dict(updates=at, columns=C, rows=rows, what="refit") | got | dict(past_mib=len(kept)/2**20, verdict=said["verdict"]))
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--updates", type=int, nargs="+", default=[1000, 2000, 4000]); a.add_argument("--columns", type=int, default=20); a.add_argument("--rows", type=int, default=300)
    a.add_argument("--large", action="store_true", help="10,000 updates of 50 columns instead"); a.add_argument("--rounds", type=int, default=7)
    a.add_argument("--archive", action="store_true", help="from the archive"); a.add_argument("--capture", action="store_true", help="capture, by rows of the update")
    a.add_argument("--old", action="store_true", help="code without a past"); a.add_argument("--out", type=Path)
    a = a.parse_args()
    sizes = [(10_000, 50, 100)] if a.large else [(T, a.columns, a.rows) for T in a.updates]
    got = []
    if a.capture: sizes = [(3, a.columns, n) for n in (100_000, 200_000, 400_000)]
    for i, (T, C, rows) in enumerate(sizes):
        work = measure_capture(rows, C, a.rounds) if a.capture else measure_archive(T, C, rows, a.rounds) if a.archive else measure(T, C, rows, a.rounds, a.old, refit=i == 0 and not a.large)
        for g in work:
            got.append(g)
            print(f"{g['updates']:6} x {g['columns']:3} x {g['rows']:6} {g['what']:13} CPU {g['cpu_s']:.2f} s = {g['cpu_ratio']:.2f} x pandas, wall {g['wall_s']:.2f} s = {g['wall_ratio']:.2f} x, {g['mib']:.0f} MiB, past {g.get('past_mib', 0):.1f} MiB, {g['verdict']}", flush=True)
    if a.out:
        old = json.loads(a.out.read_text()) if a.out.is_file() else []
        keep = [r for r in old if (r["updates"], r["columns"], r["rows"], r["what"]) not in {(g["updates"], g["columns"], g["rows"], g["what"]) for g in got}]
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(sorted(keep+got, key=lambda g: (g["columns"], g["updates"], g["rows"], g["what"])), indent=1, default=float)+"\n")


if __name__ == "__main__": main()
