"""Small, clearly synthetic inputs of the report, in the exact formats of the backtest stage. Nothing here is a measurement."""
from pathlib import Path

import numpy as np, pandas as pd, pyarrow as pa

from dsmon_research.config import dump_json, paths, rng, write_parquet

HERE = Path(__file__).resolve().parent.parent
NASTY = '</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>{{7*7}}\u202e$\\frac'
DETECTORS = ["ensemble", "knn_z", "topk_z", "pca", "max_z", "avg_knn", "autoencoder", "iforest", "forest", "lof", "ecod", "seasonal", "last_value"]
KINDS = {"missing": (.01, .05, .2, 1), "implicit_missing": (.01, .05, .2, 1), "typos": (.01, .05, .2, 1), "wrong_category": (.01, .05, .2, 1),
         "encoding": (.05, .2, 1), "outliers": (.01, .05, .2, 1), "unit_change": (.01, .05, .2, 1), "sign_flip": (.05, .2, 1), "swapped_columns": (.05, .2, 1),
         "missing_column": (1,), "dropped_rows": (.05, .1, .2, .5), "duplicated_rows": (.01, .05, .2, 1), "repeated_update": (1,), "shifted_timestamps": (.05, .2, 1)}


def project(root, names=("synthetic",), **kwargs):
    "A project folder with params.yaml and the outputs of every stage for each name."
    root = Path(root)
    block = "\n".join(f"  {n}:\n    source: files:in/*.csv\n    key: [id]\n    timezone: Europe/Rome\n" for n in names)
    text = (HERE/"params.yaml").read_text()
    root.mkdir(parents=True, exist_ok=True)
    (root/"params.yaml").write_text(text[:text.index("datasets:")]+"datasets:\n"+block)
    for n in names: dataset_files(root, n, **kwargs)
    return root


def _history(g, n, verdict, event):
    times = pd.date_range("2024-01-01", periods=n, freq="D", tz="UTC")
    rows = np.round(900+40*np.sin(np.arange(n)*2*np.pi/7)+g.normal(0, 18, n)).astype(int)
    p = np.clip(g.uniform(size=n)**.8, .034, 1)
    p[:min(n, 28)] = np.nan
    bad = [i for i in (40, 41, 77, 120, 163) if 28 <= i < n-1]
    p[bad] = g.uniform(.002, .02, len(bad))
    if verdict == "unhealthy": p[-1], rows[-1] = 1/140, 301
    if verdict == "unknown": p[:] = np.nan
    events = [None]*n
    for i in bad[:2]: events[i] = event
    alarm = [None if np.isnan(x) else bool(x <= 1/30) for x in p]
    return pd.DataFrame(dict(update=times.strftime("%Y-%m-%d"), time=times, rows=rows, score=g.normal(size=n), p_value=p, alarm=alarm, event=events))


def _reasons(last, column, n=5):
    texts = [(None, "rows", last, 842, 966, f"{last} rows (usually 842–966)"), (column, "null_share", .31, 0, .02, f"`{column}` is empty in 31 % of rows (usually 0–2 %)"),
             ("city", "distinct", 3, 11, 12, "`city` has 3 different values (usually 11–12)"), ("fare", "q50", 1250., 11.9, 13.2, "`fare` has median 1,250 (usually 11.9–13.2)"),
             ("note", "peculiarity", 4.1, 1.2, 2.0, "`note` has spelling peculiarity 4.1 (usually 1.2–2)")][:n]
    return [dict(rank=i+1, column=c, metric=m, observed=float(o), expected_low=float(lo), expected_high=float(hi), z=14.-i, text=t) for i, (c, m, o, lo, hi, t) in enumerate(texts)]


def _bands(g, h, reasons):
    out = []
    for r in reasons:
        lo, hi = r["expected_low"], r["expected_high"]
        v = g.uniform(lo, hi, len(h)); v[-1] = r["observed"]
        out.append(pd.DataFrame(dict(update=h["update"], column=r["column"], metric=r["metric"], value=v, low=lo, high=hi)))
    return pd.concat(out) if out else pd.DataFrame(dict(update=pd.Series(dtype=str), column=pd.Series(dtype=str), metric=pd.Series(dtype=str), value=[], low=[], high=[]))


def _detector(g, name, skill):
    rec = float(np.clip(skill+g.normal(0, .02), 0, 1)); ci = lambda v, w=.05: [max(0., v-w), min(1., v+w)]
    by = {k: dict(n=20*len(m), recall=None, auc=None, by_magnitude={f"{x:g}": dict(n=20, recall=float(np.clip(skill*(1.25*x**.28)+g.normal(0, .05)-.35*(k in ("sign_flip", "typos")), 0, 1))) for x in m}) for k, m in KINDS.items()}
    for b in by.values(): b["recall"] = float(np.mean([c["recall"] for c in b["by_magnitude"].values()]))
    values = dict(recall_at_budget=rec, auc_pr=rec*.9, auc=.5+rec/2, balanced_accuracy=.5+rec/2.2, recall_at_1pct=rec*.8, realised_fpr=.03)
    return dict(name=name, **values, recall_at_5pct=rec*.95, precision_at_budget=.6, delay_updates=1.2, alarms_per_100=4.1, column_hit_at_1=None if name == "last_value" else .6,
                column_hit_at_3=None if name == "last_value" else .8, fit_s=None, score_s=None, by_fault=by, ci={k: ci(v) for k, v in values.items()},
                reasons=dict(fit_s="kept in timings.json", score_s="kept in timings.json", **({"column_hit_at_1": "scores updates, not columns"} if name == "last_value" else {})))


def metrics(g, name, n):
    return dict(dataset=name, track="injected", config_hash="0123456789abcdef", data_hash="fedcba9876543210", package_version="0.1.0", git_commit=None, seeds=[0, 1, 2, 3, 4], n_updates=n, n_bad=70,
                budget=dict(alerts_per_month=1, alpha=1/30, updates_per_month=30.4), champion="ensemble",
                sensitivity=dict(sentence="2 % empty cells in `fare` are caught with 90 % power; sign flips in `zip` are invisible.", cells=[dict(kind="missing", column="fare", magnitude=.02, n=20, caught=19, power=.95)]),
                detectors=[_detector(g, d, .85-.045*i) for i, d in enumerate(DETECTORS)])


def sensitivity_file(root, name, column):
    "A statement of sensitivity with every kind of answer."
    cells = [(None, "dropped_rows", .5, "50"), (column, "missing", .01, "1"), (column, "typos", None, "×"), (column, "stale_column", None, "×"), (column, "outliers", None, "~"), ("city", "missing", .01, "1–50"), ("city", "constant", None, "")]
    doc = dict(sentence=f"At 1 false alert a month, 1 % of missing cells in any column would be caught; invisible at every size tried: typos in `{column}`.", champion="ensemble", power=.9, updates=[str(i) for i in range(12)],
               cells=[dict(column=c, kind=k, smallest=m, said=s) for c, k, m, s in cells], kinds=[["typos", f"never in `{column}`"], ["dropped rows", "from 50 %"]])
    paths(name, root).sensitivity.write_text(dump_json(doc))


def _scores(g, h):
    out = []
    for i, d in enumerate(DETECTORS):
        for s in range(3):
            label = (np.arange(len(h)) % 11 == s).astype(int)
            out.append(pd.DataFrame(dict(detector=d, seed=s, t=np.arange(len(h)), update=h["update"], role="stream", record=-1, label=label, score=g.normal(size=len(h))+label*(3-.2*i), p_value=.5, alarm=False)))
    return pd.concat(out)


def _profile(h, column):
    n = len(h)
    tables = pd.DataFrame(dict(update=h["update"], rows=h.rows.astype(float), columns=5., duplicate_share=0., key_violation_share=0., same_share=.1, created_share=.8, updated_share=.05, deleted_share=.75, schema_changes=0.))
    names = [column, "city", "fare", "note", "id"]
    cols = pd.concat([pd.DataFrame(dict(update=h["update"], position=np.int32(i), column=c, type="string" if i in (1, 3) else "double", null_share=.01*i)) for i, c in enumerate(names)])
    if n > 60: cols = cols[~((cols.column == "note") & cols["update"].isin(h["update"][:50]))]
    return tables, cols


def dataset_files(root, name, verdict="unhealthy", n=200, column="passenger_count", event="Strike at the publisher", reasons=5, with_metrics=True):
    "Every file that the report of `name` reads; equal arguments give equal bytes."
    g, p = rng(7, "report_fixture", name), paths(name, root)
    h = _history(g, n, verdict, event)
    why = _reasons(int(h.rows.iloc[-1]), column, reasons) if verdict == "unhealthy" else []
    arrow = lambda df: pa.Table.from_pandas(df, preserve_index=False)
    write_parquet(p.backtest/"history.parquet", arrow(h))
    write_parquet(p.backtest/"bands.parquet", arrow(_bands(g, h, why)))
    flagged = h[[a is True for a in h.alarm]]
    rows = [dict(seed=-1, update=u, record=-1, **r) for u in flagged["update"] for r in (why or _reasons(900, column, 1))[:2]]
    write_parquet(p.backtest/"reasons.parquet", arrow(pd.DataFrame(rows, columns=["seed", "update", "record", "rank", "column", "metric", "observed", "expected_low", "expected_high", "z", "text"])))
    write_parquet(p.backtest/"scores.parquet", arrow(_scores(g, h)))
    words = dict(unhealthy=f"{why[1]['text'] if len(why) > 1 else 'Unusual as a whole'}, only in city `Rome`, since row 412", healthy="Nothing unusual: 911 rows (usually 842–966)", unknown="12 more updates are needed before a verdict can keep the budget of 1 alert a month")
    sample = [dict(id=i, **{column: None}, city="Rome", fare=12.5+i, note=NASTY if event == NASTY else "ok") for i in range(412, 422)] if verdict == "unhealthy" else []
    last = h.iloc[-1]
    doc = dict(dataset=name, update=last["update"], time=last.time.isoformat(), verdict=verdict, p_value=None if np.isnan(last.p_value) else last.p_value, budget=1/30,
               once_in=None if np.isnan(last.p_value) else 1/last.p_value, sentence=words[verdict], reasons=why, rows=sample, needed=12 if verdict == "unknown" else 0)
    p.assess.mkdir(parents=True, exist_ok=True); (p.assess/"verdict.json").write_text(dump_json(doc))
    tables, cols = _profile(h, column)
    write_parquet(p.profile/"tables.parquet", arrow(tables)); write_parquet(p.profile/"columns.parquet", arrow(cols))
    if with_metrics:
        p.metrics.parent.mkdir(exist_ok=True)
        p.metrics.write_text(dump_json(metrics(g, name, n)))
