"""What is drawn today is drawn tomorrow: every fault, on a small table, as it was written down in `data/drawn.json`. Published figures rest on faults that others can make again.

A change of this file is a change of what a seed means: say so in the changelog, and write it anew with `DSMON_RECORD=1 python -m pytest tests/test_drawn.py`."""
import json, os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dsmon_research.corrupt import ALL, MECHANISMS, CannotApply, combine, corrupt, old_update
from dsmon_research.faults import KINDS, applicable, draw

FILE = Path(__file__).parent/"data/drawn.json"
KNOWN = json.loads(FILE.read_text()) if FILE.is_file() else {}
MADE, RAN = {}, []

def gen(seed): return np.random.default_rng(seed)

def table(shift=0, n=24):
    r = gen(5+shift); at = datetime(2026, 6, 3+shift, 5, tzinfo=timezone.utc)
    zone = r.choice(["north", "East side", "south", "W"], n).tolist()
    return pa.table({
        "id": [f"AB-{100+i+n*shift}" for i in range(n)], "fare": np.round(r.gamma(2., 9., n), 2), "n": pa.array([None if i % 11 == 5 else int(v) for i, v in enumerate(r.integers(-3, 40, n))], pa.int32()),
        "zone": zone, "code": [{"north": 1, "East side": 2, "south": 3, "W": 4}[z] for z in zone], "at": pa.array([at+timedelta(minutes=47*i) for i in range(n)], pa.timestamp("us", "UTC")),
        "day": [f"2026-0{1+i % 8}-{1+(i*5) % 28:02d}" for i in range(n)], "said": pa.array([("née le 5", None, "São Paulo", "plain words", " kl 11")[i % 5] for i in range(n)]), "paid": [f"{v:.1f}" for v in r.uniform(1, 99, n)],
        "clock": [f"{at+timedelta(hours=i):%Y-%m-%dT%H:%M:%S}" for i in range(n)], "ok": r.random(n) < .7, "rows": r.integers(50, 90, n)})

def plain(v): return v if v is None or isinstance(v, (bool, int, str)) else round(v, 9) if isinstance(v, float) else str(v)

def told(before, got): # what a reader can check by eye
    t, mask, r = got.table, got.mask, got.record
    out = dict(detail=r["detail"], column=r["column"], touched=r["rows_touched"], removed=r["rows_removed"], added=r["rows_added"], by=r.get("by"))
    if got.index is not None: return out | dict(rows=got.index.tolist(), mask=np.flatnonzero(mask.any(1)).tolist())
    if t.column_names != before.column_names or t.num_rows != before.num_rows or r["family"] == "time" and r["kind"] == "repeated_update": return out | dict(columns=t.column_names, n=t.num_rows, first=[plain(c[0].as_py()) for c in t.columns], mask=int(mask.sum()))
    return out | dict(types=[str(f.type) for f in t.schema if f.type != before.schema.field(f.name).type], cells=[[int(i), t.column_names[j], plain(t.column(int(j))[int(i)].as_py())] for j in range(t.num_columns) for i in np.flatnonzero(mask[:, j])])

def drawn(name, before, make, *args, **more):
    try: got = told(before, make(before, *args, **more))
    except CannotApply as e: got = dict(refused=str(e))
    MADE[name] = got = json.loads(json.dumps(got))
    if os.environ.get("DSMON_RECORD"): return
    assert got == KNOWN[name]

HOW = dict(duplicated_keys=dict(key=["id"]), daylight_shift=dict(zone="Europe/Berlin"))

@pytest.mark.parametrize("kind", ALL)
def test_kinds(kind):
    RAN.append(1)
    t, past = table(), [table(2), table(1)]
    for seed in range(3):
        m = 1. if ALL[kind].scope == "table" else (.1, .25, .6)[seed]
        drawn(f"{kind} {seed}", t, corrupt, kind, m, gen(seed), past=past, **HOW.get(kind, {}))

@pytest.mark.parametrize("column", table().column_names)
def test_columns(column): # each kind on each column: where it can, what comes out, and where it cannot
    RAN.append(1)
    t, past = table(), [table(1)]
    for kind, spec in ALL.items():
        if spec.needs in ("rows", "previous") or spec.scope == "table": continue
        drawn(f"{kind} on {column}", t, corrupt, kind, .15, gen(len(kind)), column, past=past)

@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_mechanisms(mechanism):
    RAN.append(1)
    t = table()
    for kind in ("missing", "typos", "sign_flip", "late_timestamps", "category_merge", "stuck_at_last"):
        for seed in range(2): drawn(f"{kind} {mechanism} {seed}", t, corrupt, kind, .3, gen(seed), mechanism=mechanism)
    if mechanism != "mnar": drawn(f"dropped {mechanism}", t, corrupt, "dropped_rows", .3, gen(3), mechanism=mechanism)
    if mechanism == "mar": drawn("by fare", t, corrupt, "missing", .3, gen(3), "zone", "mar", "fare")

def test_several():
    RAN.append(1)
    t, past = table(), [table(2), table(1)]
    drawn("combine", t, combine, [dict(kind="missing", magnitude=.2, column="zone"), dict(kind="dropped_rows", magnitude=.3), dict(kind="unit_change", magnitude=.2, column="fare")], gen(0))
    drawn("combine 2", t, combine, [dict(kind="duplicated_rows", magnitude=.2), dict(kind="missing_column", magnitude=1., column="ok"), dict(kind="typos", magnitude=.2)], gen(1))
    for seed in range(3): drawn(f"old {seed}", t, old_update, past, gen(seed))
    MADE["applicable"], MADE["draw"] = applicable(t, past[-1]), [list(draw(t, {k: list(s.magnitudes) for k, s in KINDS.items()}, gen(s), past[-1])) for s in range(25)]
    if not os.environ.get("DSMON_RECORD"): assert MADE["applicable"] == KNOWN["applicable"] and MADE["draw"] == KNOWN["draw"]

def test_written_down():
    "The file holds what is drawn and nothing else."
    if os.environ.get("DSMON_RECORD"): FILE.write_text("{\n"+",\n".join(f"{json.dumps(k)}: {json.dumps(MADE[k], ensure_ascii=False)}" for k in sorted(MADE))+"\n}\n")
    else:
        assert set(MADE) <= set(KNOWN)
        if len(RAN) == len(ALL)+table().num_columns+len(MECHANISMS)+1: assert set(MADE) == set(KNOWN) # all tests ran here, none on another worker
