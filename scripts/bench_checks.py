#!/usr/bin/env python
"""Inferred row rules on public histories: healthy rows rejected on held-back updates, and injected faults found row by row.

    bench_checks.py [--datasets a,b] [--out docs/checks.md]

Rules are inferred from the first 70 % of the clean updates and see nothing of the rest. A touched row counts as *row-visible* when one of its touched cells lies where no rule on rows that keeps the budget (0.1 % of healthy rows) would have
had to let healthy cells in, judged without the rules and with all clean updates, the held-back ones included, in view:
an empty cell where none is ever empty; a text that does not read as the number or moment that the column holds; a number beyond the past by more than healthy updates ever went beyond *their* past in so many updates (a closer limit would have rejected healthy rows somewhere in this very history); a text or form of text that is new in a column where healthy updates bring new ones in at most 0.1 % of its filled cells; U+FFFD;
a second row with the key; a column gone; all in columns that the past has (a column that came later is unknown to any rule of the past). Other touched rows show a legal value: no rule on single rows can tell them, and they are the business of profile metrics and detectors. Judged are updates that nobody called wrong or doubtful: those that are labelled, and those set aside (within an anomaly's window, part repaired), are not. The past is what a user has: all but the labelled ones."""
import argparse, os, sys, time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa, pyarrow.compute as pc

from dsmon_research.checks import Cells, Columns, Rule, failing
from dsmon_research.datasets import DATASETS
from dsmon_research.faults import KINDS, CannotApply, apply_fault
from dsmon_research.infer import RARE, infer

HERE = "flights weather".split()
ALL = HERE+"online_retail_by_day fbposts_edbt2021 flights_edbt2021_rebuilt italy_regioni italy_province chicago_vaccinations pge_outages ucsd_electricity daiad_water lro_water_mainstreet lro_water_tonygrove nab_nyc_taxi nab_machine_temperature_system_failure".split()
BUDGET = 1e-3 # of healthy rows may be rejected
BLIND = ("dropped_rows", "truncated_file", "lost_partition", "repeated_update") # no row is wrong


def collapsed(texts): # a run of one class as one sign
    for p, s in (("[A-Z]+", "A"), ("[a-z]+", "a"), ("[0-9]+", "9")): texts = pc.replace_substring_regex(texts, p, s)
    return texts


def farthest(tops, past, ahead): # the highest of all updates, or past the first `past` by as much as any stretch of `ahead` went beyond all before it
    n = len(tops)
    if np.isnan(tops).all(): return np.nan
    far = np.nanmax(tops[:past]) if not np.isnan(tops[:past]).all() else np.nan
    moves = [np.nanmax(tops[t:t+ahead])-np.nanmax(tops[:t]) for t in range(max(n//4, 1), n) if not np.isnan(tops[:t]).all() and not np.isnan(tops[t:t+ahead]).all()]
    return np.nanmax([np.nanmax(tops), far+max([0., *moves])])


class Ever:
    "What the clean updates show of one column, the later ones included, and how far they go beyond their own past."
    def __init__(self, name, past, later):
        self.name, tables = name, [t for t in (*past, *later)]
        cells = [Cells(t[name].combine_chunks()) if name in t.column_names else None for t in tables]
        have = [c for c in cells if c is not None]
        self.whole = len(have) == len(tables) and not any(c.n and c.null.all() for c in have)
        filled = max(sum(c.n-c.null.sum() for c in have), 1)
        self.null = any(c.null.any() for c in have)
        count = lambda of: sum(c.encoded.counts[of(c)].sum() for c in have)
        self.number, self.time = (count(lambda c, a=a: ~np.isnan(getattr(c, a))) >= (1-RARE)*filled for a in ("numbers", "times"))
        ends = np.array([(x.min(), x.max()) if c is not None and len(x := c.numbers[np.isfinite(c.numbers)]) else (np.nan, np.nan) for c in cells])
        self.low, self.high = -farthest(-ends[:, 0], len(past), len(later)), farthest(ends[:, 1], len(past), len(later))
        self.values, self.forms = (self._known(cells, len(later), of) for of in (lambda v: v, collapsed))

    def _known(self, cells, ahead, of): # all that was seen, None where healthy updates bring new ones too often
        first, seen, n = {}, [], len(cells)
        for k, c in enumerate(cells):
            texts = of(c.texts).to_pylist() if c is not None else []
            seen.append((np.array([first.setdefault(v, k) for v in texts], int), c.encoded.counts if c is not None else np.zeros(0)))
        shares = []
        for t in {max(1, round(f*n)) for f in (.5, .6, .7, .8, .9)}:
            new = sum(counts[at >= t].sum() for at, counts in seen[t:t+ahead])
            shares.append(new/max(sum(c.n-c.null.sum() for c in cells[t:t+ahead] if c is not None), 1))
        return set(first) if np.mean(shares) <= BUDGET else None

    def odd(self, c): # (n,) bool: cells of a kind that no clean update shows
        new = np.zeros(len(c.values), bool)
        if self.number: new |= np.isnan(c.numbers) | (c.numbers < self.low) | (c.numbers > self.high)
        elif self.time: new |= np.isnan(c.times)
        else:
            texts = c.texts.to_pylist()
            if self.values is not None: new |= np.array([t not in self.values for t in texts], bool)
            if self.forms is not None: new |= np.array([t not in self.forms for t in collapsed(c.texts).to_pylist()], bool)
            new |= np.array(["\ufffd" in t for t in texts], bool)
        return c.spread(new, not self.null and c.n > 0)


def visible(got, ever, key, unique): # (n,) bool: touched rows that a rule on rows could see
    out, cols = np.zeros(got.table.num_rows, bool), Columns(got.table)
    kind = got.record["kind"]
    if kind == "missing_column": return np.full(got.table.num_rows, got.record["column"] in ever and ever[got.record["column"]].whole)
    if kind == "duplicated_rows": return got.mask.any(1) & (failing(cols, Rule(columns=key, check="unique")) if unique else False)
    for i, name in enumerate(got.table.column_names):
        if got.mask[:, i].any() and name in ever: out |= got.mask[:, i] & ever[name].odd(cols[name])
    return out


def inject(updates, kind, ever, key, unique, checks, rng, n=8, shares=(.05, .2)): # touched, visible, found of visible, rejected, rejected and touched
    sums = np.zeros(5, int)
    for k in range(n):
        i = int(rng.integers(1, len(updates)))
        size = 1. if KINDS[kind].scope == "table" else shares[k % len(shares)]
        if updates[i].num_rows < 10: continue
        try: got = apply_fault(updates[i], kind, size, rng, None, updates[i-1])
        except CannotApply: continue
        touched = got.mask.any(1) if kind != "missing_column" else np.ones(got.table.num_rows, bool)
        seen, bad = visible(got, ever, key, unique), checks.check(got.table).mask
        if os.environ.get("DSMON_MISSES") and (lost := int((seen & ~bad).sum())): print("  missed", lost, "of", int(seen.sum()), kind, got.record["columns"][:2], got.record["detail"], file=sys.stderr)
        sums += [touched.sum(), seen.sum(), (seen & bad).sum(), bad.sum(), (bad & touched).sum()]
    return sums


def history(name, most=300): # past, clean updates after it, key
    ds = DATASETS[name]; got = ds.load()
    odd, doubt = ({r["update"] for r in rows if r["label"] != 0} for rows in (got.labels, got.aside)) # wrong; nobody knows
    read = [(u.id, t) for u in got.updates if u.id not in odd and (t := u.read()).num_rows]
    if name not in HERE: read = read[-most:]
    cut = round(.7*len(read))
    return [t for _, t in read[:cut]], [t for i, t in read[cut:] if i not in doubt], list(ds.key)


def study(name, log):
    past, later, key = history(name)
    tables = [*past, *later]
    begin = time.process_time(); checks = infer(past, key or None); spent = time.process_time()-begin
    held = [checks.check(t) for t in later]
    n, bad = sum(r.table.num_rows for r in held), sum(int(r.mask.sum()) for r in held)
    why = defaultdict(int)
    for r in held:
        for f in r.findings: why[f.rule.name] += len(f.rows)
    names = {c for t in past for c in t.column_names if not pa.types.is_nested(t.schema.field(t.schema.get_field_index(c)).type)}
    ever = {c: Ever(c, past, later) for c in names}
    key = next((list(r.columns) for r in checks.rules if r.check == "unique"), key)
    unique = bool(key) and not any(set(key)-set(t.column_names) or failing(Columns(t), Rule(columns=key, check="unique")).any() for t in tables)
    rng = np.random.default_rng(2013)
    faults = {kind: inject(later, kind, ever, key, unique, checks, rng) for kind in KINDS if kind not in BLIND}
    row = dict(name=name, updates=len(tables), rows=n, bad=bad, share=bad/max(n, 1), rules=len(checks), infer_s=spent, why=dict(sorted(why.items(), key=lambda a: -a[1])[:4]))
    print(row, file=log, flush=True)
    return row, faults


LOOKED_AT = dict( # what the rows rejected above the budget are: a remark of 2026-11, from the printed examples, not from every row
    fbposts_edbt2021="UTF-8 read as Latin-1 (`Ã\\x9cbersicht`) in a column that the cleaners of the set did not clean: real errors",
    italy_regioni="a real error of one day, Veneto 2024-11-05, 0 between 27,381,683 and 27,385,270; and Emilia-Romagna 2025-01-02, -15,107, which looks like a recount: a false rejection")
SEEN = 8 # of the histories were looked at while choosing; what was missed in the others, before the last choices

def fault_table(faults):
    out = ["| kind | rows touched | row-visible | found of the visible | rejected that were touched |", "|---|--:|--:|--:|--:|"]
    pct = lambda a, b: f"{100*a/b:.1f} %" if b else "–"
    for k in [k for k in KINDS if k in faults and faults[k][0]]:
        touched, seen, found, rejected, true = faults[k]
        out.append(f"| {k} | {touched:,} | {pct(seen, touched)} | {pct(found, seen)} | {pct(true, rejected)} |")
    all_ = np.sum([*faults.values()], 0)
    return [*out, f"| **all** | {all_[0]:,} | {pct(all_[1], all_[0])} | {pct(all_[2], all_[1])} | {pct(all_[4], all_[3])} |", ""]

def added(parts):
    total = defaultdict(lambda: np.zeros(5, int))
    for p in parts:
        for k, v in p.items(): total[k] = total[k]+v
    return total

def page(rows, faults):
    out = ["# Row rules, measured", "", "Made by `scripts/bench_checks.py`; rules inferred from the first 70 % of the updates that are not labelled as wrong, all figures on the rest, without those of unknown standing.", "",
           "## Healthy rows rejected", "", "| history | updates | held-back rows | rules | rejected | share |", "|---|--:|--:|--:|--:|--:|"]
    out += [f"| {r['name']} | {r['updates']:,} | {r['rows']:,} | {r['rules']} | {r['bad']:,} | {100*r['share']:.3f} % |" for r in rows]
    total = sum(r["rows"] for r in rows), sum(r["bad"] for r in rows)
    out += [f"| **all** | | {total[0]:,} | | {total[1]:,} | {100*total[1]/max(total[0], 1):.3f} % |", ""]
    over = [r for r in rows if r["share"] > BUDGET]
    out += ["Above 0.1 %: "+("none." if not over else "; ".join(f"{r['name']} ({r['bad']:,} rows: {', '.join(f'`{w}` {n:,}' for w, n in r['why'].items())}{'; '+LOOKED_AT[r['name']] if r['name'] in LOOKED_AT else ''})" for r in over)+"."), "", "## Faults found, row by row", "",
            "5 % and 20 % of the rows of held-back updates hit, eight updates a kind and history. What *row-visible* means is said, and computed, in the script: a touched cell that a rule on rows could tell from every healthy cell within the budget. The other touched rows show a legal value, and are the business of metrics and detectors. Columns that the past does not have are unknown to any rule of the past, and do not count. What was tried on the first table, with its figures, is listed in the notebook [infer](../nbs/05a_infer.ipynb); nothing was chosen by the figures of the second table, but it is no blind test: what the rules had missed in it was looked at, and wide limits, looser forms and the slack of an order came of that.", ""]
    for title, part in (("### The first eight histories, which were looked at while the method was chosen", faults[:SEEN]), ("### The other histories", faults[SEEN:])):
        if part: out += [title, "", *fault_table(added(part))]
    return "\n".join(out)+"\n"


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--datasets"); p.add_argument("--out", type=Path)
    a = p.parse_args()
    names = a.datasets.split(",") if a.datasets else [n for n in (ALL if os.environ.get("DSMON_DATA") else HERE) if n in DATASETS]
    rows, faults = [], []
    for n in names:
        row, got = study(n, sys.stderr); rows.append(row); faults.append(got)
    text = page(rows, faults)
    print(text) if a.out is None else a.out.write_text(text)


if __name__ == "__main__": main()
