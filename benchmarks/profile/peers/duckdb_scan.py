"""DuckDB, `python duckdb_scan.py summarize|decode FILE`.

`summarize` is the baseline: DuckDB's own profile. `decode` is the limit no profiler can beat: every value of every column is read, decompressed (or parsed)
and looked at, and the last of each column kept. `count(column)` would not do, since it is answered without decoding; `min` would compare, `hash` would compute,
and a copy to a file would write.
"""
import json, sys, duckdb

what, path = sys.argv[1:]
source = f"""'{path.replace("'", "''")}'"""
con = duckdb.connect()
names = [r[0] for r in con.execute(f"describe from {source}").fetchall()]
if what == "summarize":
    rows = con.execute(f"summarize from {source}").fetchall()
    out = dict(rows=rows[0][-2], columns=len(rows), figures=sum(v is not None for r in rows for v in r[2:]))
else:
    quoted = [n.replace('"', '""') for n in names]
    got = con.execute("select count(*), " + ", ".join(f'last("{n}")' for n in quoted) + f" from {source}").fetchone()
    out = dict(rows=got[0], columns=len(got)-1, figures=0)
print(json.dumps(out))
