import hashlib, html, json, os, re, tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from .config import SourceError, UsageError
from .profile import _fmt, _mix, _shown, as_arrow

# %% engine
_powers = {u: f**(i+1) for i, p in enumerate("KMGT") for u, f in ((f"{p}iB", 1024), (f"{p}B", 1000))}

def _bytes(limit): # "256MiB" -> 268435456
    got = re.fullmatch(r"([1-9]\d*)\s*([KMGT]i?B)", str(limit))
    if not got: raise UsageError(f"memory_limit={limit!r}: write it like '512MiB'")
    return int(got[1])*_powers[got[2]]

def _budget(limit): return 1 << 30 if limit is None else _bytes(limit) # of the matching, in bytes

@contextmanager
def _engine(threads, memory_limit):
    "A DuckDB connection and its private folder, both gone afterwards."
    import duckdb
    if not isinstance(threads, int) or threads < 1: raise UsageError(f"threads={threads!r}: give a whole number from 1")
    own = {} if memory_limit is None else dict(memory_limit=f"{_bytes(memory_limit)>>10}KiB")
    with tempfile.TemporaryDirectory(prefix="dsmon-") as folder:
        con = duckdb.connect(config=dict(threads=threads, temp_directory=folder, autoinstall_known_extensions=False, autoload_known_extensions=False) | own)
        try: yield con, Path(folder)
        except duckdb.Error as e: raise SourceError(f"DuckDB cannot compare these snapshots: {_shown(' '.join(str(e).split()), 160)}: check the files, or raise memory_limit") from e
        finally: con.close()

# %% source
@dataclass
class _Source:
    "A snapshot as SQL that names its columns c0, c1, …; `types` maps their own names, made unique, to DuckDB types."
    sql:str; types:dict[str, str]; rows:int

    def __post_init__(self): self.at = {n: f"c{i}" for i, n in enumerate(self.types)}
    def cell(self, label, type): # SQL of a column as this type
        c = self.at[label]
        return c if self.types[label] == type else f"try_cast({c} as {type})"

def _unique(names):
    out = {}
    for n in names:
        k, label = 1, n
        while label in out: label = f"{n} ({(k := k+1)})"
        out[label] = None
    return list(out)

def _parquet(path): # SQL and column names of a file; glob characters and folders like year=2013 mean nothing here
    import pyarrow.parquet as pq
    if not Path(path).is_file(): raise SourceError(f"{str(path)!r}: no such file: give the path of a Parquet file")
    try: names = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as e: raise SourceError(f"{str(path)!r}: is no readable Parquet file: {_shown(str(e), 80)}: check that it is whole") from e
    quoted = re.sub(r"[*?\[]", r"[\g<0>]", str(path)).replace("'", "''")
    return f"read_parquet('{quoted}', hive_partitioning=false)", names

def _open(con, snapshot, name):
    "The snapshot (Parquet path, or a table) as a `_Source`."
    if isinstance(snapshot, (str, Path)): sql, names = _parquet(snapshot)
    else:
        table = as_arrow(snapshot); names = table.column_names
        if not names: raise UsageError("a snapshot has no columns: give a table with columns")
        con.register(sql := name, table.rename_columns([f"c{i}" for i in range(len(names))]))
    sql = f"{sql} t({', '.join(f'c{i}' for i in range(len(names)))})"
    types = [r[1] for r in con.execute(f"describe select * from {sql}").fetchall()]
    return _Source(sql, dict(zip(_unique(names), types)), con.execute(f"select count(*) from {sql}").fetchall()[0][0])

# %% common types
_ints = ["BOOLEAN", "UTINYINT", "TINYINT", "USMALLINT", "SMALLINT", "UINTEGER", "INTEGER", "BIGINT"]

def _common(a, b): # the type in which two columns are compared
    if a == b or b == '"NULL"': return a
    if a == '"NULL"': return b
    kinds = [("int" if t in _ints else "number" if re.match("U?(BIG|HUGE)INT|FLOAT|DOUBLE|DECIMAL", t) else "time" if re.match("DATE|TIMESTAMP", t) else t) for t in (a, b)]
    if kinds == ["int", "int"]: return "BIGINT"
    if set(kinds) <= {"int", "number"}: return "HUGEINT" if all(t.endswith("INT") or t in _ints or t == "INTEGER" for t in (a, b)) else "DOUBLE"
    return "TIMESTAMP" if kinds == ["time", "time"] else "VARCHAR"

# %% plan
def _salt(label): return int.from_bytes(hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

def _xor(terms): # balanced: DuckDB refuses expressions that are nested deeply
    m = len(terms)//2
    return terms[0] if len(terms) == 1 else f"xor({_xor(terms[:m])}, {_xor(terms[m:])})"

def _salted(hashed, name): return f"hash(xor({hashed}, {_salt(name)}::ubigint))"

def _nested(type): return type[-1] in "])" and not type.startswith("DECIMAL")
def _wide(type): return type in ("VARCHAR", "BLOB") or _nested(type)

def _groups(types, most=8): # columns in at most that many groups of about equal cost; text costs twice
    cost = np.cumsum([1+_wide(t) for t in types.values()])
    place = dict(zip(types, (cost-1)*most//cost[-1]))
    return [[n for n in types if place[n] == g] for g in sorted(set(place.values()))]

@dataclass
class _Plan:
    "What is compared: `types` of the columns in both snapshots, the `key`, and how cells, groups, rows and keys are hashed in SQL."
    types:dict[str, str]; key:list[str]

    def __post_init__(self):
        self.groups = _groups(self.types)
        self.whole = "UBIGINT" if len(self.key) != 1 or self.types[self.key[0]] not in _ints else "BIGINT"    # type of the key in SQL
        self.plain = self.whole == "BIGINT" or [self.types[k] for k in self.key] == ["UBIGINT"]             # the key is one whole number
    def value(self, src, label): # nested cells as text: DuckDB hashes [] and NULL, [0, 1] and [1] alike
        c = src.cell(label, self.types[label])
        return f"cast({c} as varchar)" if _nested(self.types[label]) else c
    def group(self, src, g): return _salted(f"hash({', '.join(self.value(src, n) for n in self.groups[g])})", f"group {g}")
    def row(self, src): return _xor([self.group(src, g) for g in range(len(self.groups))])
    def hint(self, src): return f"({_xor([f'({self.group(src, g)} & {3 << 2*g})' for g in range(len(self.groups))])})::usmallint"
    def missing(self, src): return " or ".join(f"{src.cell(k, self.types[k])} is null" for k in self.key)
    def keyed(self, src):
        if self.plain: return f"coalesce({src.cell(self.key[0], self.types[self.key[0]])}::{self.whole}, 0::{self.whole})"
        return _xor([_salted(f"hash({self.value(src, k)})", k) for k in self.key])

# %% scan
_dtypes = dict(k=np.uint64, h=np.uint64, hint=np.uint16, missing=bool)

def _numpy(col): # an Arrow column of a batch without nulls
    x = col.to_numpy(zero_copy_only=False)
    return x.view(np.uint64) if x.dtype == np.int64 else x

class _Rows:
    "Keys, hashes and hints of one side, in `parts` that each fit in memory; more than one part goes to disk."
    def __init__(self, names, rows, parts, folder):
        self.names, self.parts, self.folder, self.n, self.expected = names, parts, folder, 0, rows
        if parts > 1: folder.mkdir()
        self.kept = {k: np.zeros(rows if parts == 1 else 0, _dtypes[k]) for k in names}

    def add(self, batch):
        new, n = {k: batch[k] for k in self.names}, len(batch["h"])
        if self.n+n > self.expected: raise _moved()
        if self.parts > 1: self._spill(new)
        else:
            for k, x in new.items():
                if k != "missing" or x.any(): self.kept[k][self.n:self.n+n] = x
        self.n += n

    def _spill(self, new):
        part = (_mix(new.get("k", new["h"])) >> np.uint64(32))*np.uint64(self.parts) >> np.uint64(32)
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(self.parts+1))
        for k, x in new.items():
            x = x[order]
            for p in range(self.parts):
                with open(self._file(p, k), "ab") as f: f.write(x[ends[p]:ends[p+1]].tobytes())

    def _file(self, part, name): return self.folder/f"{part}-{name}"
    def part(self, p):
        if self.parts == 1: return {k: x[:self.n] for k, x in self.kept.items()}
        return {k: np.fromfile(self._file(p, k), _dtypes[k]) if self.n else np.empty(0, _dtypes[k]) for k in self.names}

def _moved(): return SourceError("a snapshot changed while it was read: compare again when it is complete")

def _batches(con, sql): # a query's rows as dicts of arrays
    reader = con.sql(sql).to_arrow_reader(122_880)
    for b in reader: yield {k: _numpy(b.column(k)) for k in b.schema.names}

# %% match
def _by_key(side): # sorted by key; a file is mostly in order already
    k = side["k"]
    down = np.count_nonzero(k[1:] < k[:-1])
    if not down: return side
    order = np.argsort(k, kind="stable" if down < len(k)//1000 else None)
    return {n: x[order] for n, x in side.items()}

def _repeated(k): return np.unique(k[1:][k[1:] == k[:-1]])

def _under(k, keys): # which of the sorted k are among the sorted, distinct keys
    lo, hi = np.searchsorted(k, keys), np.searchsorted(k, keys, "right")
    there = hi > lo                                             # keys that are absent would share a place
    step = np.zeros(len(k)+1, np.int8)
    step[lo[there]] += 1
    step[hi[there]] -= 1
    return np.cumsum(step[:-1], dtype=np.int8) > 0

def _pairs(a, b):
    "Rows of `a` that have an equal partner in `b`: both as row hashes."
    (u, c), (v, d) = np.unique(a, return_counts=True), np.unique(b, return_counts=True)
    at = np.searchsorted(v, u)
    hit = np.append(v, np.uint64(0))[at] == u
    hit &= at < len(v)
    return int(np.minimum(c[hit], d[at[hit]]).sum())

def _take(side, keep): return {n: x[keep] for n, x in side.items()}

def _ambiguous(a, b): # rows under keys that identify nothing
    known = lambda x, y: int(np.isin(x["k"], y["k"]).sum())
    return dict(new=len(a["k"]), old=len(b["k"]), same=_pairs(a["h"], b["h"]), created=len(a["k"])-known(a, b), deleted=len(b["k"])-known(b, a))

def _unambiguous(new, old):
    "Both sides sorted by key without rows whose key is missing or repeated on a side; counts of those; violations per side."
    sides, parts, broken = [new, old], [], [0, 0]
    if any(s["missing"].any() for s in sides):
        parts.append(_ambiguous(*(_take(s, s["missing"]) for s in sides)))
        broken = [int(s["missing"].sum()) for s in sides]
        sides = [_take(s, ~s["missing"]) for s in sides]
    sides = [_by_key(s) for s in sides]
    twice = [_repeated(s["k"]) for s in sides]
    if any(map(len, twice)):
        broken = [b+int(_under(s["k"], t).sum()) for b, s, t in zip(broken, sides, twice)]
        bad = [_under(s["k"], np.union1d(*twice)) for s in sides]
        parts.append(_ambiguous(*(_take(s, b) for s, b in zip(sides, bad))))
        sides = [_take(s, ~b) for s, b in zip(sides, bad)]
    total = {k: sum(p[k] for p in parts) for k in ("new", "old", "same", "created", "deleted")}
    return *sides, total, dict(new=broken[0], old=broken[1])

def _find(sorted_keys, k):
    "Place of each k (sorted) among the sorted, distinct keys, or -1. Dense keys are looked up in a table, others searched for."
    if not len(sorted_keys) or not len(k): return np.full(len(k), -1)
    low = min(sorted_keys[0], k[0])
    span = int(max(sorted_keys[-1], k[-1])-low)+1
    if span <= 16*len(k):
        table = np.full(span, -1, np.int32)
        table[(sorted_keys-low).view(np.int64)] = np.arange(len(sorted_keys), dtype=np.int32)
        return table[(k-low).view(np.int64)]
    at = np.minimum(np.searchsorted(sorted_keys, k), len(sorted_keys)-1)
    return np.where(sorted_keys[at] == k, at, -1)

def _match(new, old, block=1 << 18):
    "Counts of rows under keys that are unique on both sides, and key, hash difference and hint difference of the updated ones."
    k, found, out = new["k"], 0, [{n: x[:0] for n, x in new.items() if n in old}]
    for i in range(0, len(k), block):
        part = {n: x[i:i+block] for n, x in new.items()}
        lo, hi = np.searchsorted(old["k"], part["k"][0]), np.searchsorted(old["k"], part["k"][-1], "right")
        there = {n: x[lo:hi] for n, x in old.items()}
        at = _find(there["k"], part["k"])
        hit = np.flatnonzero(at >= 0); at = at[hit]
        diff = part["h"][hit] ^ there["h"][at]
        other = np.flatnonzero(diff); hit, at = hit[other], at[other]
        found += len(diff)
        out.append(dict(k=part["k"][hit], h=diff[other]) | ({"hint": part["hint"][hit] ^ there["hint"][at]} if "hint" in out[0] else {}))
    got = {n: np.concatenate([o[n] for o in out]) for n in out[0] if n != "missing"}
    updated = len(got["k"])
    return dict(unchanged=found-updated, updated=updated, created=len(k)-found, deleted=len(old["k"])-found), got

# %% fetch
def _fetch(con, src, plan, groups, keys):
    "Hashes of these groups (n_groups, n_keys) and of their cells, label -> (n_keys,), for the rows under the sorted keys."
    con.register("wanted", pa.table({"k": keys.view(np.int64) if plan.whole == "BIGINT" else keys}))
    labels = [n for g in groups for n in plan.groups[g]]
    terms = [plan.group(src, g) for g in groups]+[f"hash({plan.value(src, n)})" for n in labels]
    sql = f"select {plan.keyed(src)} k, {', '.join(f'{x} x{i}' for i, x in enumerate(terms))} from {src.sql} where not ({plan.missing(src)}) and {plan.keyed(src)} in (select k from wanted)"
    got = con.sql(sql).to_arrow_table()
    k = _numpy(got.column("k"))
    order = np.argsort(k)
    if not np.array_equal(k[order], keys): raise _moved()
    x = [_numpy(got.column(f"x{i}"))[order] for i in range(len(terms))]
    return x[:len(groups)], dict(zip(labels, x[len(groups):]))

def _changes(con, new, old, plan, rows, budget):
    "Changed rows per column. A row is explained once the groups fetched account for its whole difference: then no other column changed."
    counts, order = dict.fromkeys(plan.types, 0), np.argsort(rows["k"])
    k, left = rows["k"][order], rows["h"][order]
    hints = int(np.bitwise_or.reduce(rows["hint"])) if "hint" in rows else 0
    named = [g for g in range(len(plan.groups)) if hints >> 2*g & 3]
    for groups in [named, *([g] for g in range(len(plan.groups)) if g not in named)]:
        rest = np.flatnonzero(left) if groups else []
        step = max(budget//(64*sum(1+len(plan.groups[g]) for g in groups)+64), 1000)
        for at in (rest[i:i+step] for i in range(0, len(rest), step)):
            (ga, a), (gb, b) = (_fetch(con, s, plan, groups, k[at]) for s in (new, old))
            for x, y in zip(ga, gb): left[at] ^= x ^ y
            for n in a: counts[n] += int(np.count_nonzero(a[n] != b[n]))
    if left.any(): raise _moved()
    return counts

# %% side
_format = 1

def _stamp_of(plan, rows): # what must match before a side file may stand for its snapshot
    import duckdb
    return dict(format=_format, duckdb=duckdb.__version__, key=plan.key, columns=plan.types, rows=rows)

class _SideFile:
    "A side file while it is written: it appears whole, or not at all."
    def __init__(self, to, plan, rows):
        import pyarrow.parquet as pq
        self.to = Path(to); self.to.parent.mkdir(parents=True, exist_ok=True)
        self.schema = pa.schema([("k", pa.int64() if plan.whole == "BIGINT" else pa.uint64()), ("missing", pa.bool_()), ("h", pa.uint64())],
                                {"dsmon_side": json.dumps(_stamp_of(plan, rows))})
        fd, self.tmp = tempfile.mkstemp(dir=self.to.parent, prefix=f".{self.to.name}.")
        self.file = os.fdopen(fd, "wb")
        self.out = pq.ParquetWriter(self.file, self.schema, compression=dict(k="zstd", missing="zstd", h="none"), use_dictionary=False,
                                    column_encoding=dict(k="DELTA_BINARY_PACKED" if plan.plain else "PLAIN"), write_statistics=False)

    def add(self, k, missing, h):
        k = k.view(np.int64) if self.schema.types[0] == pa.int64() else k
        self.out.write_batch(pa.record_batch([pa.array(k), pa.array(missing), pa.array(h)], schema=self.schema))

    def __enter__(self): return self
    def __exit__(self, kind, *_):
        with self.file:
            self.out.close(); self.file.flush(); os.fsync(self.file.fileno())
        if kind is None: os.chmod(self.tmp, 0o644); os.replace(self.tmp, self.to)
        else: Path(self.tmp).unlink()

# %%
def _read_stamp(side, key):
    "Stamp of a side file; `UsageError` where it cannot be used here."
    import duckdb, pyarrow.parquet as pq
    again = "write it again with write_side"
    if not Path(side).is_file(): raise UsageError(f"side file {str(side)!r}: no such file: {again}")
    try: stamp = json.loads(pq.read_schema(side).metadata[b"dsmon_side"])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as e: raise UsageError(f"{str(side)!r}: is no side file: {again}") from e
    for what, was, now in (("format", stamp.get("format"), _format), ("DuckDB", stamp.get("duckdb"), duckdb.__version__), ("key", stamp.get("key"), key)):
        if was != now: raise UsageError(f"side file {str(side)!r}: was written for {what} {was}, this is {now}: {again}")
    return stamp

def _side_batches(side):
    import pyarrow.parquet as pq
    with pq.ParquetFile(side) as f:
        for b in f.iter_batches(122_880): yield {k: _numpy(b.column(k)) for k in b.schema.names}

# %% scan
def _scan(con, src, plan, rows, hinted, write=None):
    "Read a snapshot once into `rows`, and into the side file `write` where it is given."
    own = _Plan(src.types, plan.key)
    sql = dict(h=plan.row(src))
    if plan.key: sql |= dict(k=plan.keyed(src), missing=plan.missing(src))
    if hinted: sql["hint"] = plan.hint(src)
    if write: sql |= {f"side_{n}": x for n, x in dict(h=own.row(src), k=own.keyed(src), missing=own.missing(src)).items() if x != sql[n]}
    kept = [f"side_{n}" if f"side_{n}" in sql else n for n in ("k", "missing", "h")]
    query = f"select {', '.join(f'{x} {n}' for n, x in sql.items())} from {src.sql}"
    if not write: return _fill(rows, _batches(con, query))
    with _SideFile(write, own, src.rows) as to:
        def tee():
            for b in _batches(con, query): to.add(*(b[n] for n in kept)); yield b
        return _fill(rows, tee())

def _fill(rows, batches):
    for b in batches: rows.add(b)
    if rows.n != rows.expected: raise _moved()
    return rows

# %% Diff
@dataclass
class Diff:
    "The difference of two snapshots. `columns`: changed rows per compared column, or None for a `reason`."
    rows:int; old_rows:int; unchanged:int; created:int; deleted:int; updated:int|None
    ambiguous:dict|None; key_violations:dict|None; key:list|None
    columns:dict|None; reason:str; added:list; removed:list; retyped:dict

    @property
    def shares(self):
        "Of this snapshot's rows: same, created, updated; of the older one's: deleted. As `profile.diff_rows`."
        n, was, amb = max(self.rows, 1), max(self.old_rows, 1), self.ambiguous or dict(same=0, created=0, deleted=0)
        same, created, deleted = self.unchanged+amb["same"], self.created+amb["created"], self.deleted+amb["deleted"]
        updated = None if self.updated is None else (self.rows-same-created)/n
        return dict(same_share=same/n, created_share=created/n, updated_share=updated, deleted_share=deleted/was)
    def to_dict(self): return asdict(self) | self.shares
    def to_frame(self):
        "One row a column: status, and in how many rows it changed."
        import pandas as pd
        status = {n: "compared" for n in self.columns or {}} | {n: "retyped" for n in self.retyped} | {n: "added" for n in self.added} | {n: "removed" for n in self.removed}
        return pd.DataFrame([(n, s, (self.columns or {}).get(n)) for n, s in status.items()], columns=["column", "status", "changed"]).astype({"changed": "Int64"}).set_index("column")
    def text(self): return "\n".join(f"{a.rjust(14)}  {b}".rstrip() for a, b in _lines(self))
    def _repr_html_(self):
        tr = lambda a, b: f"<tr><td style='text-align:right'>{html.escape(a)}</td><td style='text-align:left'>{html.escape(b)}</td></tr>"
        return f"<table>{''.join(tr(a, b) for a, b in _lines(self))}</table>"

def _lines(d):
    share = {k: "" if v is None else f" ({_fmt(v, 'share')})" for k, v in d.shares.items()}
    yield f"{d.rows:,}", f"rows, {d.old_rows:,} before"
    yield f"{d.unchanged:,}", "unchanged"
    yield f"{d.created:,}", f"created{share['created_share']}"
    if d.updated is not None: yield f"{d.updated:,}", f"updated{share['updated_share']}"
    yield f"{d.deleted:,}", f"deleted{share['deleted_share']} of the earlier rows"
    if d.ambiguous and (d.ambiguous["new"] or d.ambiguous["old"]): yield f"{d.ambiguous['new']:,}", f"under a key that is missing or not unique, {d.ambiguous['old']:,} before, {d.ambiguous['same']:,} of them the same"
    for n, k in sorted((d.columns or {}).items(), key=lambda x: -x[1]):
        if k: yield f"{k:,}", f"rows changed in {_shown(n, 40)}"
    if d.columns is None: yield "", f"changes per column are not counted: {d.reason}"
    for word, names in (("added", d.added), ("removed", d.removed)):
        for n in names: yield "column", f"{_shown(n, 40)} {word}"
    for n, (was, now) in d.retyped.items(): yield "column", f"{_shown(n, 40)} was {_shown(was)}, is {_shown(now)}"

# %% public
def _check_key(key, **sources):
    key = list(dict.fromkeys([key] if isinstance(key, str) else key or []))
    for name, types in sources.items():
        if gone := [k for k in key if k not in types]: raise UsageError(f"key column {gone[0]!r} is not in the {name} snapshot: it has {_shown(', '.join(types), 80)}")
    return key

def _side_plan(side, stamp, new):
    for n, t in stamp["columns"].items():
        if new.types.get(n) != t: raise UsageError(f"side file {str(side)!r}: its row hash reads column {_shown(n)!r} as {_shown(t)}, the new snapshot has {_shown(new.types.get(n, 'no such column'))}: write it again with write_side, or compare with old")
    return _Plan(stamp["columns"], stamp["key"])

def snapshot_diff(
    new,                     # Parquet path, Arrow table or data frame
    old=None,                # the snapshot before it; may be left out with `side`
    key:list[str]|None=None, # columns that identify a row; None = compare rows as a multiset
    side=None,               # side file of the old snapshot
    threads:int=2,           # of DuckDB
    memory_limit:str|None=None, # of DuckDB, and of the matching; like "512MiB"
    write=None,              # also write the side file of the new snapshot here, from the same scan
)->Diff:
    "Rows created, updated, deleted and unchanged, and changes per column; out of core."
    if old is None and side is None: raise UsageError("nothing to compare with: give old, or side with a key")
    if not key and (side or write): raise UsageError("a side file holds keys: give key")
    with _engine(threads, memory_limit) as (con, folder):
        new, old = _open(con, new, "new"), None if old is None else _open(con, old, "old")
        return _diff(con, folder, new, old, key, side, write, _budget(memory_limit))

def _diff(con, folder, new, old, key, side, write, budget):
    key = _check_key(key, new=new.types) if old is None else _check_key(key, new=new.types, old=old.types)
    stamp = _read_stamp(side, key) if side else None
    if stamp and old and (old.types, old.rows) != (stamp["columns"], stamp["rows"]): raise UsageError(f"side file {str(side)!r}: was written from another snapshot than old: write it again with write_side")
    was = stamp["columns"] if stamp else old.types
    if not (both := {n: t for n, t in new.types.items() if n in was}): raise UsageError("the snapshots have no column in common: compare tables of one dataset")
    plan = _side_plan(side, stamp, new) if stamp else _Plan({n: _common(was[n], t) for n, t in both.items()}, key)
    rows = _collect(con, folder, new, old, plan, side, stamp, write, budget)
    drift = dict(added=[n for n in new.types if n not in was], removed=[n for n in was if n not in new.types], retyped={n: [was[n], t] for n, t in both.items() if was[n] != t})
    sizes = dict(rows=rows[0].n, old_rows=rows[1].n)
    if not key: return Diff(**sizes, **_multiset(*rows), updated=None, ambiguous=None, key_violations=None, key=None, columns=None, reason="rows have no key", **drift)
    counts, ambiguous, broken, updated = _keyed(*rows)
    columns = None if old is None else _changes(con, new, old, plan, updated, budget)
    reason = "" if columns is not None else "the side file holds no cells: give old as well"
    return Diff(**sizes, **counts, ambiguous=ambiguous, key_violations=broken, key=key, columns=columns, reason=reason, **drift)

def _collect(con, folder, new, old, plan, side, stamp, write, budget):
    hinted = bool(plan.key) and not side
    names = ["h", *(["k", "missing"] if plan.key else []), *(["hint"] if hinted else [])]
    n, m = new.rows, stamp["rows"] if stamp else old.rows
    parts = min(-(-(n+m)*2*sum(np.dtype(_dtypes[k]).itemsize for k in names)//budget), 256) or 1
    a, b = (_Rows(names, r, parts, folder/s) for r, s in ((n, "new"), (m, "old")))
    _scan(con, new, plan, a, hinted, write)
    if side: _fill(b, _side_batches(side))
    else: _scan(con, old, plan, b, hinted)
    return a, b

def _multiset(a, b):
    same = sum(_pairs(a.part(p)["h"], b.part(p)["h"]) for p in range(a.parts))
    return dict(unchanged=same, created=a.n-same, deleted=b.n-same)

def _keyed(a, b):
    "Sum the parts of a keyed comparison."
    add = lambda ds: {k: sum(d[k] for d in ds) for k in ds[0]}
    counts, unsure, broken, updated = [], [], [], []
    for p in range(a.parts):
        x, y, u, v = _unambiguous(a.part(p), b.part(p))
        c, up = _match(x, y)
        for to, got in ((counts, c), (unsure, u), (broken, v), (updated, up)): to.append(got)
    names = set.intersection(*map(set, updated))
    return add(counts), add(unsure), add(broken), {n: np.concatenate([u[n] for u in updated]) for n in names}

def write_side(
    table,          # Parquet path, Arrow table or data frame
    key:list[str],  # columns that identify a row
    to,             # side file to write
    threads:int=2, memory_limit:str|None=None,
)->Path:
    "Write keys and row hashes of a snapshot, for `snapshot_diff(..., side=to)` when the next one has come."
    if not key: raise UsageError("a side file holds keys: give key")
    with _engine(threads, memory_limit) as (con, _):
        src = _open(con, table, "new")
        plan = _Plan(src.types, _check_key(key, new=src.types))
        _scan(con, src, plan, _Nothing(src.rows), False, to)
    return Path(to)

class _Nothing: # counts rows and keeps none
    def __init__(self, expected): self.n, self.expected = 0, expected
    def add(self, batch): self.n += len(batch["h"])
