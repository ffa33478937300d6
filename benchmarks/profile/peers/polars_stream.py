"""Polars, one lazy selection collected by the streaming engine: nulls, approximate distinct values of every column; minimum, maximum, mean, deviation, five quantiles of
numbers; minimum and maximum of times; lengths of texts. No most frequent values: they would need a pass per column."""
import json, sys
import polars as pl

lf = pl.scan_parquet(sys.argv[1])
schema = lf.collect_schema()
ask = [pl.len().alias("rows")]
for name, kind in schema.items():
    c = pl.col(name)
    of = dict(null=c.null_count(), distinct=c.approx_n_unique())
    if kind.is_numeric(): of |= dict(min=c.min(), max=c.max(), mean=c.mean(), std=c.std()) | {f"q{q}": c.quantile(q/100) for q in (5, 25, 50, 75, 95)}
    elif kind.is_temporal(): of |= dict(min=c.min(), max=c.max())
    elif kind == pl.Boolean: of |= dict(mean=c.mean())
    elif kind == pl.String:
        n = c.str.len_chars()
        of |= dict(shortest=n.min(), mean_length=n.mean(), longest=n.max(), blank=(n == 0).sum())
    ask += [e.alias(f"{name}.{k}") for k, e in of.items()]
got = lf.select(ask).collect(engine="streaming")
print(json.dumps(dict(rows=got["rows"][0], columns=len(schema), figures=got.width-1)))
