#!/usr/bin/env python
"""Row split of a million rows by five checks: ours, pandera's own lazy validation, Great Expectations with complete results.

    bench_split.py [--rows N] [--repeat K] [--ge PYTHON]     CPU seconds (user+sys), interleaved; peak memory of ours as a multiple of the table

Each measurement is a process of its own that reads the table, then measures. `--ge` names a Python that has great_expectations."""
import argparse, json, os, resource, subprocess, sys, tempfile, time

FARE, ZONES, FORM = (0, 100), ["A", "B", "C", "D"], r"[A-Z]{2}\d{5}"


def make(path, n):
    import numpy as np, pyarrow as pa, pyarrow.parquet as pq
    r = np.random.default_rng(0)
    fare = np.where(r.random(n) < .01, -5., np.round(r.uniform(0, 100, n), 2))
    zone = np.where(r.random(n) < .01, "X", r.choice(ZONES, n))
    code = [f"{'AB' if x > .01 else 'a1'}{i % 100000:05d}" for i, x in enumerate(r.random(n))]
    ids = np.where(r.random(n) < .01, 7, np.arange(n))
    note = pa.array(np.arange(n) % 1000, mask=r.random(n) < .01)
    pq.write_table(pa.table({"id": ids, "fare": fare, "zone": zone, "code": code, "note": note}), path)


def cpu():
    u = resource.getrusage(resource.RUSAGE_SELF); return u.ru_utime+u.ru_stime


def ours(path):
    from dsmon_research.checks import Checks, Rule
    from dsmon_research.read import read_table
    rules = Checks([Rule(column="fare", check="range", min=FARE[0], max=FARE[1]), Rule(column="zone", check="values", values=ZONES), Rule(column="code", check="pattern", pattern=FORM),
                    Rule(columns=["id"], check="unique"), Rule(column="note", check="not_null")])
    table = read_table(path)
    rules.check(table.slice(0, 1000)).reasons()
    rss, begin, wall = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, cpu(), time.perf_counter()
    got = rules.check(table); _, bad, _ = got.good, got.bad, got.reasons()
    return dict(cpu=cpu()-begin, wall=time.perf_counter()-wall, bad=bad.num_rows, memory=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss-rss)*1024/table.nbytes)


def pandera(path):
    import pandas as pd, pandera.pandas as pp, pandera.errors
    frame = pd.read_parquet(path)
    schema = pp.DataFrameSchema(dict(fare=pp.Column(float, pp.Check.in_range(*FARE)), zone=pp.Column(None, pp.Check.isin(ZONES)), code=pp.Column(None, pp.Check.str_matches(f"^{FORM}$")),
                                     id=pp.Column(int, unique=True, report_duplicates="exclude_first"), note=pp.Column(None, nullable=False)))
    begin, wall = cpu(), time.perf_counter()
    try: schema.validate(frame, lazy=True); rows = []
    except pandera.errors.SchemaErrors as e: rows = e.failure_cases["index"].unique()
    return dict(cpu=cpu()-begin, wall=time.perf_counter()-wall, bad=len(rows))


def ge(path):
    import pandas as pd, great_expectations as gx
    frame = pd.read_parquet(path)
    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b").get_batch({"dataframe": frame})
    X = gx.expectations
    suite = gx.ExpectationSuite("s", expectations=[X.ExpectColumnValuesToBeBetween(column="fare", min_value=FARE[0], max_value=FARE[1]), X.ExpectColumnValuesToBeInSet(column="zone", value_set=ZONES),
        X.ExpectColumnValuesToMatchRegex(column="code", regex=f"^{FORM}$"), X.ExpectColumnValuesToBeUnique(column="id"), X.ExpectColumnValuesToNotBeNull(column="note")])
    begin, wall = cpu(), time.perf_counter()
    got = batch.validate(suite, result_format="COMPLETE")
    rows = set().union(*(r.result.get("unexpected_index_list") or () for r in got.results))
    return dict(cpu=cpu()-begin, wall=time.perf_counter()-wall, bad=len(rows))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rows", type=int, default=1_000_000); p.add_argument("--repeat", type=int, default=3); p.add_argument("--ge"); p.add_argument("--one", nargs=2)
    a = p.parse_args()
    if a.one: print(json.dumps(globals()[a.one[0]](a.one[1]))); return
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "t.parquet"); make(path, a.rows)
        got, who = {}, dict(ours=sys.executable, pandera=sys.executable, **({"ge": a.ge} if a.ge else {}))
        for _ in range(a.repeat):
            for name, python in who.items():
                done = subprocess.run([python, __file__, "--one", name, path], capture_output=True, text=True)
                if done.returncode: sys.exit(f"{name}: {done.stderr[-800:]}")
                got.setdefault(name, []).append(json.loads(done.stdout.strip().splitlines()[-1]))
    best = {n: min(r["cpu"] for r in rs) for n, rs in got.items()}
    for n, rs in got.items(): print(f"{n:8} cpu {best[n]:6.2f} s   wall {min(r['wall'] for r in rs):6.2f} s   bad rows {rs[0]['bad']:,}   {best[n]/best['pandera']:.2f} x pandera"+(f"   memory {max(r['memory'] for r in rs):.2f} x table" if n == "ours" else ""))


if __name__ == "__main__": main()
