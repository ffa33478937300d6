"""pandas, `python pandas_describe.py numpy|pyarrow FILE`: `read_parquet` (values as numpy arrays, or kept in Arrow), then `describe` with five quantiles of numbers and times, `isna`,
`nunique` and the ten most frequent values of every column, lengths of texts. Nothing is asked twice."""
import json, sys
import pandas as pd
from pandas.api import types as pt

kind, path = sys.argv[1:]
df = pd.read_parquet(path, **({} if kind == "numpy" else dict(dtype_backend="pyarrow")))
figures = df.describe(percentiles=[.05, .25, .5, .75, .95]).count().sum() + df.isna().sum().size + df.nunique().size
for name in df:
    x = df[name]
    figures += x.value_counts().head(10).size
    if pt.is_string_dtype(x) and not pt.is_bool_dtype(x):
        n = x.str.len()
        figures += len([n.min(), n.mean(), n.max(), (n == 0).sum()])
print(json.dumps(dict(rows=len(df), columns=df.shape[1], figures=int(figures))))
