"""`python report.py RESULT FOLDER`: medians and paired ratios into the result, a table and a picture into the folder."""
import json, os, statistics, sys
from pathlib import Path
from data import ROWS

NAMES = dict(profile="this profiler", summarize="DuckDB SUMMARIZE", decode="limit: decode all columns", chdb="chDB, one query", chdb_top="chDB, frequent values of all columns", polars="Polars, streaming", pandas="pandas", pandas_arrow="pandas on Arrow",
    spark="Spark, local", great_expectations="Great Expectations, ~100 checks", whylogs="whylogs", evidently="Evidently, data summary", ydata="ydata-profiling, minimal")
TITLES = dict(base="The reference table", part="The slow peers, on the first rows of the reference table", x4="Four times the rows", wide="The same cells as 200 columns", csv="The reference table as CSV")
MEASURES = dict(wall_s="wall", cpu_s="CPU", peak_mib="peak memory")
P = lambda table: (table, "profile")

# what must hold: words, measure, numerator, denominator (None: the figure itself), "<=" or ">=", bound, stretch
GOALS = [
    ("profile / SUMMARIZE", "wall_s", P("base"), ("base", "summarize"), "<=", .35, .22), ("profile / SUMMARIZE", "cpu_s", P("base"), ("base", "summarize"), "<=", .35, .22),
    ("profile / decode limit", "wall_s", P("base"), ("base", "decode"), "<=", 4, 2.5), ("profile / chDB", "cpu_s", P("base"), ("base", "chdb"), "<=", .65, .45),
    ("pandas / profile", "cpu_s", ("base", "pandas"), P("base"), ">=", 4, None), ("pandas on Arrow / profile", "cpu_s", ("base", "pandas_arrow"), P("base"), ">=", 4, None),
    ("Great Expectations / profile", "cpu_s", ("part", "great_expectations"), P("part"), ">=", 8, None), ("whylogs / profile", "cpu_s", ("part", "whylogs"), P("part"), ">=", 25, None),
    ("Evidently / profile", "cpu_s", ("part", "evidently"), P("part"), ">=", 30, None), ("ydata-profiling / profile", "cpu_s", ("part", "ydata"), P("part"), ">=", 35, None),
    ("peak memory, MiB", "peak_mib", P("base"), None, "<=", 512, 350), ("4x rows / 1x", "peak_mib", P("x4"), P("base"), "<=", 1.1, None), ("4x rows / 1x", "wall_s", P("x4"), P("base"), "<=", 4, None),
    ("200 columns / 20", "wall_s", P("wide"), P("base"), "<=", 1.5, 1.2), ("200 columns, MiB", "peak_mib", P("wide"), None, "<=", 768, None),
    ("CSV profile / DuckDB parse of all columns", "wall_s", P("csv"), ("csv", "decode"), "<=", 2.2, None), ("CSV profile / DuckDB parse of all columns", "cpu_s", P("csv"), ("csv", "decode"), "<=", 2.2, None)]

def spread(values): return dict(median=round(statistics.median(values), 4), min=round(min(values), 4), max=round(max(values), 4), pairs=len(values)) if values else None

def paired(
    good:dict,           # (round, table, tool) -> run
    measure:str, top:tuple, bottom:tuple|None,
)->dict|None:            # median, min, max, pairs
    "Top over bottom within each round that has both."
    rounds = [k for k, *line in good if tuple(line) == top and (bottom is None or (k, *bottom) in good)]
    return spread([good[k, *top][measure]/(good[k, *bottom][measure] if bottom else 1) for k in rounds])

def _inside(got, sense, bound): return None if got is None or bound is None else got["median"] <= bound if sense == "<=" else got["median"] >= bound

def summary(result):
    "Medians and ratios of every line, and what became of the goals."
    good = {(r["round"], r["table"], r["tool"]): r for r in result["runs"] if r["status"] == "ok"}
    lines = {}
    for table, tool in dict.fromkeys((r["table"], r["tool"]) for r in result["runs"]):
        runs = [r for r in result["runs"] if (r["table"], r["tool"]) == (table, tool)]
        lines.setdefault(table, {})[tool] = dict(runs=len(runs), not_ok=[r["status"] for r in runs if r["status"] != "ok"],
            **{m: paired(good, m, (table, tool), None) for m in MEASURES},
            of_profile={m: paired(good, m, (table, tool), P(table)) for m in MEASURES}, of_summarize={m: paired(good, m, (table, tool), (table, "summarize")) for m in MEASURES})
    goals = []
    for words, measure, top, bottom, sense, must, stretch in GOALS:
        got = paired(good, measure, top, bottom)
        goals.append(dict(goal=words, measure=MEASURES[measure], sense=sense, must=must, stretch=stretch, got=got, held=_inside(got, sense, must), stretched=_inside(got, sense, stretch)))
    return dict(lines=lines, goals=goals)

def num(x): return "–" if x is None else f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"
def cell(s): return "–" if s is None else num(s["median"]) if s["pairs"] == 1 else f"{num(s['median'])} ({num(s['min'])}…{num(s['max'])})"

def table_of(lines):
    "Markdown of one table's lines, by CPU."
    out = ["| tool | runs | wall s | CPU s | peak MiB | CPU / profile | CPU / SUMMARIZE | wall / profile |", "|---|---|---|---|---|---|---|---|"]
    for tool, x in sorted(lines.items(), key=lambda kv: kv[1]["cpu_s"]["median"] if kv[1]["cpu_s"] else 1e9):
        fate = f"{x['runs']-len(x['not_ok'])} of {x['runs']}" + "".join(f", {x['not_ok'].count(s)} {s}" for s in dict.fromkeys(x["not_ok"]))
        shown = [x["wall_s"], x["cpu_s"], x["peak_mib"], x["of_profile"]["cpu_s"], x["of_summarize"]["cpu_s"], x["of_profile"]["wall_s"]]
        out.append(f"| {NAMES[tool]} | {fate} | " + " | ".join(map(cell, shown)) + " |")
    return "\n".join(out)

def goals_of(goals):
    "Markdown of the goals."
    out = ["| goal | measure | must | stretch | measured: median (min…max) | |", "|---|---|---|---|---|---|"]
    for g in goals:
        verdict = "not measured" if g["held"] is None else "missed" if not g["held"] else "stretch held" if g["stretched"] else "held"
        sense = dict([("<=", "≤"), (">=", "≥")])[g["sense"]]
        out.append(f"| {g['goal']} | {g['measure']} | {sense} {g['must']} | {g['stretch'] or '–'} | {cell(g['got'])} | {verdict} |")
    return "\n".join(out)

def picture(result, file):
    "CPU and peak memory of every tool, as multiples of the profiler's on the same table."
    import matplotlib; matplotlib.use("Agg"); matplotlib.rcParams["svg.hashsalt"] = "profile"
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
    lines = result["summary"]["lines"]
    bars = [(table, tool, lines[table][tool]) for table in ("base", "part") for tool in lines.get(table, {}) if tool != "profile" and not (table == "part" and tool == "summarize" and "base" in lines) and lines[table][tool]["of_profile"]["cpu_s"]]
    if not bars: return False
    bars.sort(key=lambda b: -b[2]["of_profile"]["cpu_s"]["median"])
    fig, axes = plt.subplots(1, 2, figsize=(11, .42*len(bars)+1.4), sharey=True, layout="constrained")
    for ax, m, words in zip(axes, ("cpu_s", "peak_mib"), ("CPU seconds", "peak memory of the largest process")):
        x = [b[2]["of_profile"][m] for b in bars]
        mid = [s["median"] for s in x]
        ax.barh(range(len(bars)), [v-1 for v in mid], left=1, color=["#c7623b" if v < 1 else "#3b7dc7" for v in mid], height=.62)
        ax.errorbar(mid, range(len(bars)), xerr=[[s["median"]-s["min"] for s in x], [s["max"]-s["median"] for s in x]], fmt="none", ecolor="#222", capsize=2, lw=1)
        for i, s in enumerate(x): ax.annotate(f"{num(s['median'])}×", (max(s["max"], 1), i), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        ax.set_xscale("log"); ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5))); ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}")); ax.xaxis.set_minor_locator(NullLocator())
        ax.axvline(1, color="#222", lw=1); ax.set_xlabel(f"{words}, this profiler = 1"); ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlim(min([.5, *(s["min"]*.8 for s in x)]), max(2, *(s["max"] for s in x))*2); ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(bars)), [f"{NAMES[tool]}{' *' if table == 'part' else ''}" for table, tool, _ in bars])
    fig.savefig(file, metadata=dict(Date=None)); plt.close(fig)
    return True

def page(result, drawn):
    "The page of the documentation."
    m, facts, s = result["machine"], result["tables"], result["summary"]
    rows = facts.get("base", {}).get("rows")
    size = lambda t: f"{facts[t]['rows']:,} rows × {facts[t]['columns']} columns, {facts[t]['bytes']/1e6:,.0f} MB"
    failures = sorted({f"{NAMES[r['tool']]} on {r['table']}: {r['status']}, {r['why']}" for r in result["runs"] if r["status"] != "ok" and r.get("why")})
    parts = ["# The profiler against its peers", "> Whole processes in interleaved rounds on one machine: every ratio is of two runs made side by side.",
        f"Made by `make bench-profile` ([how](../../benchmarks/profile/README.md)) on {m['cores']} cores of {m['cpu']}, {m['memory_gib']} GiB, {m['system']}, Python {m['python']}, DuckDB {m['duckdb']}, load {m['load'][0]} at the start, "
        f"{result['started']} to {result.get('ended', 'interrupted')}, commit {m['commit']}. Profiler: `{result['candidate']}`. Peers: {', '.join(m['peers'].values())}. Ratios are medians of the rounds' ratios, with the smallest and the largest; times move with the machine, ratios hardly.",
        "## Goals", *([f"A trial on {rows:,} rows: the goals are stated for {ROWS:,} rows and do not apply."] if rows and rows < ROWS//2 else []), goals_of(s["goals"])]
    if drawn: parts += [f"![CPU and peak memory of every peer as a multiple of the profiler's]({drawn})", *([f"\\* on the first {facts['part']['rows']:,} rows, with the profiler measured on the same rows."] if "part" in facts else [])]
    for t, lines in sorted(s["lines"].items(), key=lambda kv: list(TITLES).index(kv[0])): parts += [f"## {TITLES[t]}", f"{size(t)}.", table_of(lines)]
    if failures: parts += ["## What did not run", "\n".join(f"- {f}" for f in failures)]
    return "\n\n".join(parts)+"\n"

def main(result_file, folder):
    result = json.loads(result_file.read_text())
    result["summary"] = summary(result)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = picture(result, folder/"profile.svg")
    (folder/"profile.md").write_text(page(result, "profile.svg" if drawn else None))
    part = result_file.with_suffix(".json.part"); part.write_text(json.dumps(result, indent=1)+"\n"); os.replace(part, result_file)

if __name__ == "__main__": main(Path(sys.argv[1]), Path(sys.argv[2]))
