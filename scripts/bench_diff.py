"""Keyed diff of two Parquet snapshots against DuckDB's (key, row hash) full outer join: whole processes, interleaved, medians of paired ratios.

    python scripts/bench_diff.py OLD NEW --key id [--pairs 5] [--json]
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def hash_join(a, key):
    "The baseline: counts of rows created, deleted and updated, no counts per column."
    import duckdb
    con = duckdb.connect(config=dict(threads=a.threads))
    con.execute("set preserve_insertion_order=false")
    names = [r[0] for r in con.execute(f"describe from '{a.old}'").fetchall()]
    q = lambda cols: ", ".join(f'"{c}"' for c in cols)
    side = lambda path: f"(select {q(key)}, hash({q(names)}) h from '{path}')"
    sql = f"select count(*) filter (o.h is null), count(*) filter (n.h is null), count(*) filter (n.h <> o.h) from {side(a.new)} n full join {side(a.old)} o using ({q(key)})"
    return list(con.execute(sql).fetchall()[0])


def dsmon(a, key, **options):
    sys.path.insert(0, str(ROOT))
    from dsmon_research.diff import snapshot_diff
    d = snapshot_diff(a.new, key=key, threads=a.threads, **options)
    return [d.created, d.deleted, d.updated]


def write_side(a, key):
    sys.path.insert(0, str(ROOT))
    from dsmon_research.diff import write_side
    write_side(a.old, key, a.side, threads=a.threads)
    return None


RUNS = {
    "hash join": hash_join,
    "diff": lambda a, key: dsmon(a, key, old=a.old),
    "diff, 256 MiB": lambda a, key: dsmon(a, key, old=a.old, memory_limit="256MiB"),
    "side file": lambda a, key: dsmon(a, key, side=a.side),
    "side file, columns": lambda a, key: dsmon(a, key, side=a.side, old=a.old),
    "diff and write": lambda a, key: dsmon(a, key, side=a.side, write=a.side+".next"),
    "write side": write_side,
}


def measure(name, args):
    "Wall and CPU seconds and peak MiB of one whole process, and what it counted."
    start = time.perf_counter()
    p = subprocess.Popen([sys.executable, __file__, *args, "--one", name], stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
    out = p.stdout.read()
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode: raise SystemExit(f"{name}: failed with exit code {p.returncode}")
    return dict(wall=time.perf_counter()-start, cpu=used.ru_utime+used.ru_stime, mib=used.ru_maxrss/1024, counts=json.loads(out))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("old"); ap.add_argument("new"); ap.add_argument("--key", default="id", help="comma-separated")
    ap.add_argument("--pairs", type=int, default=5); ap.add_argument("--threads", type=int, default=2); ap.add_argument("--json", action="store_true")
    ap.add_argument("--runs", default=",".join(n.replace(",", ";") for n in RUNS), help="comma-separated names, ';' for ',' inside a name")
    ap.add_argument("--side", help=argparse.SUPPRESS); ap.add_argument("--one", help=argparse.SUPPRESS)
    a = ap.parse_args()
    if a.one: return json.dump(RUNS[a.one](a, a.key.split(",")), sys.stdout)
    names = [n.replace(";", ",") for n in a.runs.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        args = [a.old, a.new, "--key", a.key, "--threads", str(a.threads), "--side", f"{folder}/old.side"]
        measure("write side", args)
        runs = {n: [] for n in dict.fromkeys(["hash join", *names])}
        for _ in range(a.pairs):
            for n, got in runs.items(): got.append(measure(n, args))
    base = runs["hash join"]
    agree = [r["counts"] for rs in runs.values() for r in rs if r["counts"]]
    if any(c != agree[0] for c in agree): raise SystemExit(f"the contenders disagree: {agree}")
    med = lambda xs: round(statistics.median(xs), 3)
    table = {n: {k: med([r[k] for r in rs]) for k in ("wall", "cpu", "mib")} | {f"{k}_ratio": med([r[k]/b[k] for r, b in zip(rs, base)]) for k in ("wall", "cpu")} for n, rs in runs.items()}
    if a.json: return print(json.dumps(dict(created=agree[0][0], deleted=agree[0][1], updated=agree[0][2], pairs=a.pairs, runs=table), indent=1))
    print(f"created {agree[0][0]:,}, deleted {agree[0][1]:,}, updated {agree[0][2]:,}; medians of {a.pairs}, ratios paired with the hash join\n")
    print(f"{'':20s}{'wall s':>8s}{'CPU s':>8s}{'MiB':>7s}{'wall ratio':>12s}{'CPU ratio':>11s}")
    for n, r in table.items(): print(f"{n:20s}{r['wall']:8.2f}{r['cpu']:8.2f}{r['mib']:7.0f}{r['wall_ratio']:12.2f}{r['cpu_ratio']:11.2f}")


if __name__ == "__main__": main()
