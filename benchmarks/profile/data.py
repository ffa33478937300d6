"""The tables of the benchmark, made once: `python data.py FOLDER [--rows N] [--slow N] [--data NAME=FILE …]` prints where each is and what it holds.

`base` is one update of a register as cities publish them: 20 columns, every value drawn by a hash of its row and column, so the same on every machine. The others follow from it: `x4` has four times
the rows, `wide` the same cells as 200 columns, `csv` is `base` as text, `part` its first rows for the slow peers, `tiny` a thousand rows to warm up with.
"""
import argparse, json, os
from pathlib import Path

ROWS = 6_618_943
TABLES = ("base", "x4", "wide", "csv", "part", "tiny")

_words = dict(
    given="Ada Alan Amara Anders Beatriz Björn Carla Chen Dagny Dmitri Edith Emeka Farah Felix Grace Hana Hugo Ines Ivan Jamal Joan Kenji Lena Li Lucía Mark Mei Nadia Nils Noor Olga Omar Paula Pedro Priya Quinn Ravi Rosa Samir Sofia Tariq Tess Uma Viktor Wanda Xavier Yara Zofia",
    family="Abebe Andersen Baker Becker Castillo Cohen Costa Dubois Eriksen Fischer Fofana Gomez Haddad Hansen Ito Ivanov Jensen Kaya Khan Kim Kowalski Larsen Lopez Mbeki Meyer Moreau Müller Nakamura Novak Okafor Olsen Park Patel Petrov Rossi Sato Schmidt Silva Singh Smith Suzuki Torres Tran Wagner Walker Weber Wong Yilmaz Young Zhang",
    place="Ash Bay Birch Bridge Castle Chapel Church Elder Ferry Field Forest Garden Harbour Hazel High Hill Kings Lake Linden Market Meadow Mill North Oak Old Orchard Park Queens River Rose School South Station Stone Tower Valley West Willow",
    way="Street Road Lane Avenue Square Way", end="ton ford ham by wick field", stage="filed checked granted refused withdrawn expired")

def _pick(words, u): return f"list_extract(string_split('{_words[words]}', ' '), 1+least({len(_words[words].split())}-1, floor({u}*{len(_words[words].split())})::int))"

def update(
    first:int, # number of the first row
    last:int,  # one past the last
)->str:        # the query
    "One update of 20 columns."
    u = lambda k: f"u(i, {k})"
    bell = lambda k: f"(u(i, {k})+u(i, {k+1})+u(i, {k+2})+u(i, {k+3})-2)*1.7320508"
    return f"""select
      (40000000+i*7+h(i, 1)%7)::bigint as record_id,
      (900000*power({u(2)}, 1.5))::bigint as holder_id,
      (2024-least(18, floor(-6*ln({u(3)}))))::int as year,
      case when {u(4)} > .03 then floor(exp(1.2*{bell(50)}))::int end as quantity,
      (1000+h(i, 5)%9000*10+h(i, 5)%3)::int as postcode,
      case when {u(6)} > .02 then round(51.2+.8*{bell(60)}, 6) end as latitude,
      case when {u(6)} > .02 then round(9.5+1.9*{bell(64)}, 6) end as longitude,
      round(25*power({u(7)}, -1/1.4), 2) as amount,
      case when {u(8)} > .12 then round(.19+.03*{bell(68)}, 3) end as rate,
      100+15*{bell(72)} as score,
      {_pick('stage', f'power({u(9)}, 2)')} as stage,
      'K'||lpad((60*power({u(10)}, 2))::int::varchar, 4, '0') as category,
      chr(65+(h(i, 11)%20)::int)||chr(65+(h(i, 11)%3)::int) as region,
      case when {u(12)} > .01 then {_pick('place', f'power({u(13)}, 1.5)')}||{_pick('end', u(14))} end as town,
      {_pick('given', u(15))}||' '||{_pick('family', f'power({u(16)}, 1.3)')}||case when {u(17)} < .2 then '-'||{_pick('family', u(18))} else '' end as holder,
      {_pick('place', u(19))}||' '||{_pick('way', f'power({u(20)}, 2)')}||' '||(1+h(i, 21)%180)::varchar||case when {u(22)} < .15 then ', flat '||(1+h(i, 23)%90)::varchar else '' end as address,
      case when {u(24)} < .003 then '' when {u(24)} < .005 then 'n/a' else chr(65+(h(i, 25)%26)::int)||lpad((h(i, 26)%1000000000)::varchar, 9, '0') end as licence,
      timestamp '2006-01-01'+to_seconds((599000000*power({u(27)}, .7))::bigint) as changed_at,
      case when {u(28)} > .09 then date '2006-01-01'+(6900*{u(29)})::int end as due_on,
      {u(30)} < .82 as active
    from range({first}, {last}) t(i)"""

def derive(
    con,
    name:str,    # of a table other than `base`
    base:Path,
    rows:int,    # of `base`
    slow:int,    # `part` has one row of this many
    made:bool,   # `base` is our own, not a given file
)->str:          # the query
    "What a table holds."
    if name == "x4": return update(0, 4*rows) if made else f"select t.* from '{base}' t, range(4)"
    if name == "csv": return f"from '{base}'"
    if name in ("part", "tiny"): return f"from '{base}' limit {max(1, rows//slow) if name == 'part' else 1000}"
    names = [r[0].replace('"', '""') for r in con.execute(f"describe from '{base}'").fetchall()]
    renamed = lambda k: ", ".join(f'"{n}" as "{n}_{k}"' for n in names)
    slices = [f"(select {renamed(k)} from '{base}' limit {rows//10} offset {rows//10*k})" for k in range(10)]
    return "from " + " positional join ".join(slices)

def tables(
    folder:Path,
    wanted:list[str],
    rows:int=ROWS,
    slow:int=5,
    given:dict|None=None, # name -> file
)->dict:                  # name -> {file, rows, columns, bytes}
    "Every wanted table, made where it is missing."
    import duckdb
    given = {n: Path(f).absolute() for n, f in (given or {}).items()}
    con = duckdb.connect()
    con.execute("create macro h(i, k) as hash(i*128+k)")
    con.execute("create macro u(i, k) as ((hash(i*128+k) >> 12)+1)/4503599627370498.0")
    folder.mkdir(parents=True, exist_ok=True)

    def write(path, query):
        if path.exists(): return path
        part = path.with_name("part-"+path.name)
        con.execute(f"copy ({query}) to '{part}' ({'format csv, header' if path.suffix == '.csv' else 'format parquet, compression zstd'})")
        os.replace(part, path)
        return path

    base = given.get("base") or write(folder/f"base-{rows}.parquet", update(0, rows))
    stem, n = f"{base.stem}-{base.stat().st_size}", con.execute(f"select count(*) from '{base}'").fetchone()[0]
    out = {}
    for name in wanted:
        end = "csv" if name == "csv" else "parquet"
        file = base if name == "base" else given.get(name) or write(folder/f"{name}{slow if name == 'part' else ''}-{stem}.{end}", derive(con, name, base, n, slow, "base" not in given))
        count, columns = con.execute(f"select count(*) from '{file}'").fetchone()[0], len(con.execute(f"describe from '{file}'").fetchall())
        out[name] = dict(file=str(file), rows=count, columns=columns, bytes=file.stat().st_size)
    return out

def named(s):
    "`NAME=FILE`, or a file alone for `base`."
    name, _, file = s.rpartition("=")
    if (name or "base") not in TABLES: raise argparse.ArgumentTypeError(f"{s!r}: name one of {', '.join(TABLES)}")
    if not Path(file).exists(): raise argparse.ArgumentTypeError(f"{file!r} is not there")
    return name or "base", file

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder", type=Path); p.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    p.add_argument("--rows", type=int, default=ROWS); p.add_argument("--slow", type=int, default=5); p.add_argument("--data", type=named, nargs="*", default=[])
    a = p.parse_args()
    print(json.dumps(tables(a.folder, list(a.tables), a.rows, a.slow, dict(a.data))))
