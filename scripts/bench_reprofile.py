"""CPU seconds of profiling every variant that `inject` draws, update by update in one process: each variant from scratch, then all of them by `reprofile`, settled a block of updates at a time as `inject` does.
Frequent values are left out on both sides: a backtest does not read them, and `reprofile` does not make them.

python scripts/bench_reprofile.py [DATASET] [EVERY]    EVERY = 6 takes every sixth update
"""
import sys
from collections import defaultdict
from time import process_time

from dsmon_research import inject, profile
from dsmon_research.collect import updates
from dsmon_research.config import dataset, load_params
from dsmon_research.history import profile_update

name, every = (sys.argv[1:]+["flights", "1"][len(sys.argv)-1:])[:2]
params = load_params()
ds, kinds, total, clean = dataset(params, name), defaultdict(list), [0., 0., 0], [0., 0.]
prepare, reprofile, settle = inject.Prepared, inject.reprofile, inject.settle
profile.heavy_hitters = lambda *_: ((), ())


def timed(f, *args):
    t = process_time(); got = f(*args)
    return process_time()-t, got


def prepared(*args): # the clean update: its profile from scratch, and taken apart
    clean[0] += timed(profile_update, *args)[0]
    t, got = timed(prepare, *args); clean[1] += t
    return got


def both(p, variants, later):
    old = [timed(profile_update, got.table, ds.key, previous, p.name, p.max_values)[0] for got, previous, _ in variants]
    new, profiles = timed(reprofile, p, variants, later)
    total[0] += sum(old); total[1] += new; total[2] += len(old)
    for v, t in zip(variants, old): kinds[v[0].record.get("kind", "(after)")].append((t, timed(reprofile, p, [v])[0]))
    return profiles


def settled(*args): total[1] += timed(settle, *args)[0]


inject.Prepared, inject.reprofile, inject.settle = prepared, both, settled
ups = list(updates(ds.source))[::int(every)]
for _ in inject._walk(ups, ds.key, params.inject, params.seed, name, params.backtest.warmup, params.profile.max_values): pass


def line(what, n, a, b, note=""): print(f"{what:20} {n:5} {1e3*a/n:11.2f} {1e3*b/n:13.3f} {a/b:7.1f}  {note}")


print(f"{name}: {len(ups)} updates, {total[2]} variants\n{'':20} {'n':>5} {'scratch ms':>11} {'reprofile ms':>13} {'ratio':>7}")
for kind, v in sorted(kinds.items(), key=lambda kv: -sum(b for _, b in kv[1])): line(kind, len(v), sum(a for a, _ in v), sum(b for _, b in v), "one by one")
line("every variant", total[2], total[0], total[1], "together, as inject does")
line("clean update", len(ups), clean[0], clean[1], "scratch against taking it apart, once an update")
line("both", total[2]+len(ups), total[0]+clean[0], total[1]+clean[1])
