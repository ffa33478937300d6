#!/usr/bin/env python
"""What the faults cost, against copies of the same table by pandas in the same run.

    bench_faults.py [--rows 1000000] [--share .01] [--repeat 5] [--out docs/faults.md]

First all faults at one share into a 900-row update, against copying it 40 times; then each fault alone into a large table, against one copy. The table is the packaged day of
flights (19 columns: integers, texts, a timestamp), repeated; the copy is `DataFrame.copy()` of the frame with the types that pandas gives it by default, and, as a second column, of one whose texts are Python objects. CPU seconds of one process, medians of interleaved runs."""
import argparse, statistics, time
from pathlib import Path

import numpy as np
import pyarrow as pa

from dsmon_research.collect import updates
from dsmon_research.corrupt import ALL, CannotApply, corrupt, every
from dsmon_research.config import rng

KEY = ["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"]
WHERE = dict(lost_partition="origin", dropped_segment="carrier", fan_out="carrier", duplicated_keys=None, broken_dependency="carrier")


def clock(fn, repeat=1):
    begin = time.process_time(); [fn() for _ in range(repeat)]
    return time.process_time()-begin


def frames(table): # as pandas would have it; texts as objects
    frame = table.to_pandas()
    return frame, frame.astype({c: object for c, t in frame.dtypes.items() if t == "str"})


def large(n): # a table of n rows with accents in one column and a determined one
    day = {u.id: u for u in updates("example:flights")}["2013-07-10"].read()
    t = day.take(pa.array(np.arange(n) % day.num_rows))
    return t.append_column("remark", pa.array(["née", "plain", "São Paulo", "x y"]).take(pa.array(np.arange(n) % 4)))


def small(share, repeat):
    ups = {u.id: u for u in updates("example:flights")}
    day, before = (ups[d].read().slice(0, 900) for d in ("2013-07-10", "2013-07-09"))
    (plain, objects), ratios, n = frames(day), [], 0
    every(day, share, rng(0), [before], key=KEY)
    for r in range(repeat):
        a = clock(lambda: plain.copy(), 40); b = clock(lambda: objects.copy(), 40)
        begin = time.process_time(); n = len(every(day, share, rng(r), [before], key=KEY)); c = time.process_time()-begin
        ratios.append((a, b, c))
    return n, [statistics.median(x) for x in zip(*ratios)]


def each(table, before, share, repeat):
    (plain, objects), out = frames(table), {}
    for name, kind in ALL.items():
        times, how = [], dict(duplicated_keys=dict(key=["dep_time", "flight"]), daylight_shift=dict(zone="America/New_York")).get(name, {})
        column = WHERE.get(name)
        for r in range(repeat):
            a, b = clock(plain.copy), clock(objects.copy)
            begin = time.process_time()
            try: got = corrupt(table, name, 1. if kind.scope == "table" else share, rng(r, name), column, past=[before], **how)
            except CannotApply: times = []; break
            times.append((a, b, time.process_time()-begin, got.record["rows_touched"])); del got
        out[name] = [statistics.median(x) for x in zip(*times)] if times else None
        print(name, out[name] and [round(1000*x, 1) for x in out[name][:3]], flush=True)
    return out


def page(n, one, rows, share, got):
    a, b, c = one
    out = ["# What a fault costs", "", "Made by `scripts/bench_faults.py`; CPU time, all figures of one run, medians. In pandas 3 texts lie in Arrow buffers, which a copy shares: the first ratio is against copying the numbers alone, the second against copying every value.", "", "## All faults into a 900-row update", "",
           f"{n} kinds at {share:.0%}: {1000*c:.0f} ms. Forty copies by pandas: {1000*a:.1f} ms ({1000*b:.1f} ms with texts as objects): **{c/a:.1f} times** ({c/b:.1f} times).", "",
           f"## Each fault into {rows:,} rows of 20 columns, {share:.0%} of the rows", "", "| kind | family | cells or rows touched | ms | × one copy | × one copy, texts as objects |", "|---|---|--:|--:|--:|--:|"]
    for k, v in got.items():
        out.append(f"| {k} | {ALL[k].family} | – | cannot change this table | | |" if v is None else f"| {k} | {ALL[k].family} | {int(v[3]):,} | {1000*v[2]:.0f} | {v[2]/v[0]:.2f} | {v[2]/v[1]:.2f} |")
    ratios = [v[2]/v[0] for v in got.values() if v]; objects = [v[2]/v[1] for v in got.values() if v]
    return "\n".join([*out, "", f"At most 3 copies: {sum(r <= 3 for r in ratios)} of {len(ratios)} kinds ({sum(r <= 3 for r in objects)} with texts as objects); the median kind takes {statistics.median(ratios):.2f}, the slowest {max(ratios):.2f}.", ""])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rows", type=int, default=1_000_000); p.add_argument("--share", type=float, default=.01); p.add_argument("--repeat", type=int, default=5); p.add_argument("--out", type=Path)
    a = p.parse_args()
    n, one = small(a.share, a.repeat)
    print(n, [round(1000*x, 2) for x in one], flush=True)
    table = large(a.rows)
    text = page(n, one, a.rows, a.share, each(table, large(a.rows//2), a.share, a.repeat))
    print(text) if a.out is None else a.out.write_text(text)


if __name__ == "__main__": main()
