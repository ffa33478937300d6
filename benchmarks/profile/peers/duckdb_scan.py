"""DuckDB, `python duckdb_scan.py summarize|decode FILE`.

`summarize` is the baseline: DuckDB's own profile. `decode` is the limit no profiler on DuckDB can beat: every value of every column is read and decompressed (or parsed), and every row then
skipped by an OFFSET beyond the end. `count(column)` would not do, since metadata answer it (a fifth of the CPU); `min` compares, `hash` computes, a copy writes. `last(column)` of every
column, the other way to ask for nothing but the values, takes the same CPU.
"""
import json, sys, duckdb

what, path = sys.argv[1:]
source = f"""'{path.replace("'", "''")}'"""
con = duckdb.connect()
if what == "summarize":
    rows = con.execute(f"summarize from {source}").fetchall()
    out = dict(rows=rows[0][-2], columns=len(rows), figures=sum(v is not None for r in rows for v in r[2:]))
else:
    got = con.execute(f"from {source} offset 1000000000000")
    out = dict(rows=None, columns=len(got.description), figures=len(got.fetchall()))
print(json.dumps(out))
