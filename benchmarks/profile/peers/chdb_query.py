"""chDB (ClickHouse in the process), `python chdb_query.py text|all FILE`, one query over the file: rows, nulls, distinct values of every column; minimum, maximum, mean, deviation, five quantiles,
zeros and negatives of numbers; minimum and maximum of times; blanks and shortest, mean, longest length of texts; the ten most frequent values of text columns, or of all (a quarter more CPU)."""
import json, sys, chdb

top, path = sys.argv[1:]
source = f"""file('{path.replace("'", "''")}')"""
schema = [r.split("\t")[:2] for r in chdb.query(f"describe table {source}", "TabSeparated").bytes().decode().splitlines()]

def figures(name, kind):
    c = "`" + name.replace("`", "\\`") + "`"
    base = kind.removeprefix("LowCardinality(").removeprefix("Nullable(").rstrip(")")
    out = [f"countIf(isNull({c}))", f"uniq({c})"]
    if top == "all" or base.startswith(("String", "FixedString")): out += [f"toString(topK(10)({c}))"]
    if base.startswith(("Int", "UInt", "Float", "Decimal")):
        out += [f"min({c})", f"max({c})", f"avg({c})", f"stddevSamp({c})", f"toString(quantiles(.05, .25, .5, .75, .95)({c}))", f"countIf({c} = 0)", f"countIf({c} < 0)"]
    elif base.startswith(("Date", "Time")): out += [f"toString(min({c}))", f"toString(max({c}))"]
    elif base.startswith(("String", "FixedString")): out += [f"countIf(empty({c}))", f"min(lengthUTF8({c}))", f"avg(lengthUTF8({c}))", f"max(lengthUTF8({c}))"]
    elif base == "Bool": out += [f"avg({c})"]
    return out

ask = ["count()"] + [f for name, kind in schema for f in figures(name, kind)]
got = json.loads(chdb.query(f"select {', '.join(ask)} from {source}", "JSONCompact").bytes())["data"][0]
print(json.dumps(dict(rows=int(got[0]), columns=len(schema), figures=len(got))))
