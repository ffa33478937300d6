"""CPU seconds of walking every detector through one dataset's history, as multiples of one profile pass over the same data; and how they grow with updates and with columns.

python scripts/bench_walk.py [SOURCE] [DETECTOR,...] [COPIES]    default: example:flights (365 updates, 19 columns and a copy of one), all statistical and classical detectors; COPIES = 2 also walks twice the year

One world without faults in the stream and one faulty twin beside each update, from which supervised detectors learn. Profile pass and walks take turns in one process; the machine's other work does not count, its caches do.
"""
import sys
from dataclasses import replace
from time import process_time

import numpy as np

from dsmon_research.bench import defaults, measure
from dsmon_research.collect import updates
from dsmon_research.detectors import DETECTORS, make_detector
from dsmon_research.features import world
from dsmon_research.history import profile_update
from dsmon_research.judge import Truth, walk_detector

ARGS = dict(alpha=.03, warmup=8, least=20, refit_every=7, seed=1)


def timed(f, *args, **kw):
    t = process_time(); got = f(*args, **kw)
    return process_time()-t, got


def wider(u): # the update with one column more, so that there are twenty
    read = u.read
    return replace(u, read=lambda: (t := read()).append_column(t.column_names[-1]+"_2", t.column(t.num_columns-1)))


def profile_pass(ups, key): # CPU seconds of profiling, reading left out
    before, spent = None, 0.
    for u in ups:
        table = u.read()
        t, before = timed(profile_update, table, key, before, u.id, params.profile.max_values)
        spent += t
    return spent


def cut(h, probes, families, rows, columns): # the first rows and columns of a history and of the twins beside it
    names = h.columns[:columns]
    table, values, sketches, at = probes
    keep = np.flatnonzero(at < rows)
    small = replace(h, ids=h.ids[:rows], times=h.times[:rows], table=h.table[:rows], columns=names, values=h.values[:rows, :columns], types=h.types[:rows, :columns], sketches=h.sketches[:rows])
    return small, (table[keep], values[keep][:, :columns], [sketches[i] for i in keep], at[keep]), families[keep]


def again(h, probes, families, times): # the history `times` times in a row
    T = len(h)
    step = h.times[-1]-h.times[0]+(h.times[1]-h.times[0])
    long = replace(h, ids=[f"{i} {k}" for k in range(times) for i in h.ids], times=np.concatenate([h.times+k*step for k in range(times)]), table=np.tile(h.table, (times, 1)),
                   values=np.tile(h.values, (times, 1, 1)), types=np.tile(h.types, (times, 1)), sketches=h.sketches*times)
    table, values, sketches, at = probes
    return long, (np.tile(table, (times, 1)), np.tile(values, (times, 1, 1)), sketches*times, np.concatenate([at+k*T for k in range(times)])), np.tile(families, times)


def walks(h, probes, families, names): # CPU seconds: making the features, then fit and score of each detector
    made, w = timed(world, h, 7, probes)
    truth = Truth(np.zeros(len(h), bool), np.full(len(h), "", object), probes[3], families)
    return {"(features)": made} | {n: timed(walk_detector, n, w, truth, **ARGS)[0] for n in names}


source, chosen, copies = (sys.argv[1:]+["example:flights", "", "1"][len(sys.argv)-1:])[:3]
names = chosen.split(",") if chosen else [n for n in DETECTORS if n != "autoencoder"]
for n in names: make_detector(n)
params, ups = defaults(), [wider(u) for u in updates(source)]
key = ["carrier", "flight", "sched_dep_time", "origin"] if source == "example:flights" else None
m = measure(ups, params, "bench_walk", key, 1)
everything = m.history, m.probes, np.array(m.families, object)
T, C = m.history.values.shape[:2]
first = profile_pass(ups, m.key)
sizes = {"half the updates": cut(*everything, T//2, C), "half the columns": cut(*everything, T, C//2), "all": everything} | ({f"{copies} years": again(*everything, int(copies))} if int(copies) > 1 else {})
cpu = {size: walks(*given, names) for size, given in sizes.items()}
once = (first+profile_pass(ups, m.key))/2

print(f"{source}: {T} updates x {C} columns, {len(m.families)} twins; one profile pass {once:.1f} s CPU")
print(f"{'detector':12} {'walk s':>8} {'x pass':>7}  {'growth: updates x2':>19} {'columns x2':>11}"+(f" {copies+' years':>9}" if int(copies) > 1 else ""))
for n in ["(features)", *names]:
    t = cpu["all"][n]
    more = f" {cpu[f'{copies} years'][n]/t:8.1f}x" if int(copies) > 1 else ""
    print(f"{n:12} {t:8.2f} {t/once:7.2f}  {t/max(cpu['half the updates'][n], 1e-9):18.1f}x {t/max(cpu['half the columns'][n], 1e-9):10.1f}x{more}")
print(f"{'sum':12} {sum(cpu['all'].values()):8.2f} {sum(cpu['all'].values())/once:7.2f}")
