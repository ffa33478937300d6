"Snapshot diff: against a plain Python reference on hundreds of random tables, and the ways in which files and names go wrong."
import json
from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsmon_research.diff as module
from dsmon_research.config import SourceError, UsageError
from dsmon_research.diff import snapshot_diff, write_side
from dsmon_research.profile import profile_table

KINDS = {
    "int": (pa.int64(), [0, 1, -1, 7, 2**62, -2**63, None]),
    "small": (pa.int8(), [0, 1, -1, None]),
    "unsigned": (pa.uint64(), [0, 1, 2**64-1, None]),
    "float": (pa.float64(), [0., -0., 1.5, float("nan"), float("inf"), None]),
    "text": (pa.string(), ["", "a", "b", "0", "None", "O'Neil; drop", "a\nb", "a longer text than fits in place", None]),
    "bool": (pa.bool_(), [True, False, None]),
    "date": (pa.date32(), [date(1970, 1, 1), date(2024, 2, 29), None]),
    "time": (pa.timestamp("us", "UTC"), [datetime(1970, 1, 1), datetime(2024, 2, 29, 12), None]),
    "decimal": (pa.decimal128(10, 2), [Decimal("0.00"), Decimal("1.50"), None]),
    "bytes": (pa.binary(), [b"", b"\x00", b"\x00\x00", None]),
    "list": (pa.list_(pa.int64()), [[], [None], [0], [0, 1], [1], None]),
    "words": (pa.list_(pa.string()), [["a, b"], ["a", "b"], ["NULL"], [None], [], None]),
    "struct": (pa.struct([("x", pa.int64()), ("y", pa.string())]), [dict(x=1, y="a"), dict(x=None, y=None), None]),
}
NAMES = ["id", "Id", 'a"b', "a;b", "a\nb", "a'b", "select", " ", "ü", "c0", "h", "k"]


def draw(rng, n, names, kinds, key, span):
    "Rows as dicts; key columns draw from a small range, so that keys repeat and go missing."
    rows = []
    for _ in range(n):
        row = {c: KINDS[k][1][rng.integers(len(KINDS[k][1]))] for c, k in zip(names, kinds)}
        if rng.random() > .1:
            for c in key:
                if kinds[names.index(c)] == "int": row[c] = int(rng.integers(-span, span))
        rows.append(row)
    return rows


def table(rows, names, kinds): return pa.table([pa.array([r[c] for r in rows], KINDS[k][0]) for c, k in zip(names, kinds)], names=names)


def plain(v): # equal where the comparison must call cells equal
    if isinstance(v, float): return "nan" if v != v else v+0.
    if isinstance(v, bool): return ("bool", v)
    return json.dumps(v) if isinstance(v, (list, dict)) else v


def reference(new, old, names, key):
    "The difference in plain Python: dicts and counters only."
    row = lambda r: tuple(plain(r[c]) for c in names)
    same = lambda a, b: sum((Counter(map(row, a)) & Counter(map(row, b))).values())
    if not key: return dict(unchanged=same(new, old), created=len(new)-same(new, old), deleted=len(old)-same(new, old))
    by = [defaultdict(list), defaultdict(list)]
    for side, rows in zip(by, (new, old)):
        for r in rows: side[tuple(plain(r[c]) for c in key)].append(r)
    out = dict(unchanged=0, created=0, updated=0, deleted=0, columns=dict.fromkeys(names, 0))
    amb, broken = Counter(new=0, old=0, same=0, created=0, deleted=0), Counter(new=0, old=0)
    for k in by[0].keys() | by[1].keys():
        a, b = by[0].get(k, []), by[1].get(k, [])
        for side, rows in (("new", a), ("old", b)):
            if len(rows) > 1 or None in k: broken[side] += len(rows)
        if None in k or len(a) > 1 or len(b) > 1: amb.update(new=len(a), old=len(b), same=same(a, b), created=0 if b else len(a), deleted=0 if a else len(b))
        elif not b: out["created"] += 1
        elif not a: out["deleted"] += 1
        else:
            changed = [c for c in names if plain(a[0][c]) != plain(b[0][c])]
            out["updated" if changed else "unchanged"] += 1
            for c in changed: out["columns"][c] += 1
    return out | dict(ambiguous=dict(amb), key_violations=dict(broken))


def case(seed):
    rng = np.random.default_rng(seed)
    names = [str(c) for c in rng.permutation(NAMES)[:rng.integers(2, 9)]]
    kinds = ["int", *(str(k) for k in rng.choice(list(KINDS), len(names)-1))]
    key = [names[0], *([names[1]] if rng.random() < .4 else [])]
    if rng.random() < .2: key = [names[1]]
    span = int(rng.choice([3, 30, 10_000]))
    old = draw(rng, int(rng.integers(0, 40)), names, kinds, key, span)
    new = [dict(r) for r in old if rng.random() > .1]
    for r in new:
        if rng.random() < .3:
            c = int(rng.integers(len(names)))
            r[names[c]] = KINDS[kinds[c]][1][rng.integers(len(KINDS[kinds[c]][1]))]
    new += draw(rng, int(rng.integers(0, 8)), names, kinds, key, span)
    rng.shuffle(new)
    return new, old, names, kinds, key


def got(d, want): return {k: getattr(d, k) for k in want}


@pytest.mark.parametrize("block", range(10))
def test_random_tables_equal_a_plain_reference(block):
    for seed in range(block*20, block*20+20):
        new, old, names, kinds, key = case(seed)
        a, b = table(new, names, kinds), table(old, names, kinds)
        want = reference(new, old, names, key)
        d = snapshot_diff(a, b, key)
        assert got(d, want) == want, seed
        assert d.rows == d.unchanged+d.updated+d.created+d.ambiguous["new"] == len(new)
        assert d.old_rows == d.unchanged+d.updated+d.deleted+d.ambiguous["old"] == len(old)
        want = reference(new, old, names, None)
        assert got(snapshot_diff(a, b), want) == want, seed


def test_side_files_threads_and_parts_change_nothing(tmp_path, monkeypatch):
    for seed in range(15):
        new, old, names, kinds, key = case(seed)
        a, b = table(new, names, kinds), table(old, names, kinds)
        d = snapshot_diff(a, b, key)
        side = write_side(b, key, tmp_path/"old.side")
        assert snapshot_diff(a, b, key, side=side) == d
        s = snapshot_diff(a, key=key, side=side, write=tmp_path/"new.side")
        assert s.columns is None and "old" in s.reason
        assert {k: v for k, v in s.to_dict().items() if k not in ("columns", "reason")} == {k: v for k, v in d.to_dict().items() if k not in ("columns", "reason")}
        assert (tmp_path/"new.side").read_bytes() == write_side(a, key, tmp_path/"again.side", threads=1).read_bytes()
        assert snapshot_diff(a, b, key, threads=1) == d
        monkeypatch.setattr(module, "_budget", lambda limit: 300)          # dozens of parts on disk
        assert snapshot_diff(a, b, key, memory_limit="256MiB") == d
        assert snapshot_diff(a, b, memory_limit="256MiB") == snapshot_diff(a, b)
        monkeypatch.undo()


def test_shares_are_those_of_the_profile():
    for seed in range(60):
        new, old, names, kinds, key = case(seed)
        if not new or not old or {"list", "words", "struct", "float", "unsigned", "int"} & set(kinds[1:]): continue    # the profile rounds whole numbers beyond 2**53
        a, b = table(new, names, kinds), table(old, names, kinds)
        p, d = profile_table(a, key, previous=b).table, snapshot_diff(a, b, key)
        assert {k: p[k] for k in d.shares} == pytest.approx(d.shares), seed
        assert p["key_violation_share"] == pytest.approx(d.key_violations["new"]/len(new)), seed


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "Two Parquet snapshots of 300,000 rows in several row groups: 300 deleted, 600 updated in `word`, 300 of them also in `x`, 500 created."
    at, n = tmp_path_factory.mktemp("year=2013"), 300_000
    rng = np.random.default_rng(0)
    i = rng.permutation(n)
    cols = dict(id=i*3, x=rng.normal(size=n), word=np.char.add("word ", (i % 5000).astype(str)), day=(i % 700).astype("datetime64[D]"))
    old = pa.table(cols)
    cols["word"] = np.where(i % 500 == 1, "other", cols["word"]); cols["x"] = np.where(i % 1000 == 1, -1., cols["x"])
    keep = i % 1000 != 0
    more = {k: v[:500] for k, v in cols.items()} | dict(id=np.arange(500)*3+1)
    new = pa.table({k: np.concatenate([v[keep], more[k]]) for k, v in cols.items()})
    for name, t in (("old", old), ("new", new)): pq.write_table(t, at/f"{name} [1]*.parquet", row_group_size=50_000)
    return at/"new [1]*.parquet", at/"old [1]*.parquet"


WANT = dict(unchanged=300_000-300-600, created=500, deleted=300, updated=600, columns=dict(id=0, x=300, word=600, day=0))


@pytest.mark.parametrize("shuffled", [False, True])
def test_columns_that_no_sample_names_are_counted(tmp_path, shuffled):
    "Each column changes in a region of its own, so that every sample knows one column only."
    n, rng = 200_000, np.random.default_rng(1)
    cols = {f"v{j}": rng.integers(0, 9, n) for j in range(8)}
    new = {c: x.copy() for c, x in cols.items()}
    for j, x in enumerate(new.values()): x[j*22_000:j*22_000+j+1] += 1
    order = rng.permutation(n) if shuffled else slice(None)
    sides = [pa.table(dict(id=np.arange(n)[o]) | {c: x[o] for c, x in t.items()}) for t, o in ((new, slice(None)), (cols, order))]
    for name, t in zip(("new", "old"), sides): pq.write_table(t, tmp_path/name, row_group_size=30_000)
    side = write_side(tmp_path/"old", ["id"], tmp_path/"side")
    for a, b in (sides, (tmp_path/"new", tmp_path/"old"), (sides[0], tmp_path/"old")):
        for more in (dict(), dict(side=side), dict(threads=1)):
            d = snapshot_diff(a, b, ["id"], **more)
            assert d.updated == 36 and d.columns == dict(id=0) | {f"v{j}": j+1 for j in range(8)}


def test_a_column_named_like_the_row_number(tmp_path):
    old = pa.table({"id": [1, 2, 3], "file_row_number": [5, 0, 7], "r": [1, 1, 1]})
    new = old.set_column(1, "file_row_number", pa.array([5, 1, 7]))
    for name, t in (("new", new), ("old", old)): pq.write_table(t, tmp_path/name)
    for pair in ((new, old), (tmp_path/"new", tmp_path/"old")): assert snapshot_diff(*pair, ["id"]).columns == dict(id=0, file_row_number=1, r=0)


@pytest.mark.parametrize("options", [dict(), dict(threads=1), dict(memory_limit="256MiB"), dict(key=["id", "day"])])
def test_files(files, options):
    d = snapshot_diff(*files, **dict(key=["id"]) | options)
    assert got(d, WANT) == WANT and d.shares["created_share"] == 500/d.rows and d.shares["deleted_share"] == .001


def test_a_file_in_many_parts_under_a_small_memory_limit(files, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path)); monkeypatch.setattr(module.tempfile, "tempdir", None)
    for budget in (5_000_000, 200_000):
        monkeypatch.setattr(module, "_budget", lambda limit, budget=budget: budget)
        assert got(snapshot_diff(*files, ["id"], memory_limit="128MiB"), WANT) == WANT
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_all_rows_share_is_no_explosion():
    a = pa.table({"k": [1]*200_000, "v": range(200_000)})
    b = pa.table({"k": [1]*200_000, "v": range(1, 200_001)})
    d = snapshot_diff(a, b, ["k"])
    assert d.ambiguous == dict(new=200_000, old=200_000, same=199_999, created=0, deleted=0) and d.key_violations == dict(new=200_000, old=200_000)


def test_columns_that_come_go_or_change_type_are_no_change_of_every_row(tmp_path):
    old = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "n": pa.array([1, 2, None], pa.int16()), "t": pa.array([1, 2, 3]), "gone": ["x"]*3})
    new = pa.table({"fresh": [0.]*3, "t": ["1", "2", "4"], "n": pa.array([1., 2., None]), "id": [1, 2, 3]})
    d = snapshot_diff(new, old, ["id"])
    assert (d.added, d.removed, d.retyped) == (["fresh"], ["gone"], {"t": ["BIGINT", "VARCHAR"], "n": ["SMALLINT", "DOUBLE"], "id": ["INTEGER", "BIGINT"]})
    assert (d.unchanged, d.updated, d.columns) == (2, 1, {"t": 1, "n": 0, "id": 0})
    assert list(d.to_frame()["status"]) == ["retyped"]*3+["added", "removed"]
    again = snapshot_diff(new, old, ["id"], write=tmp_path/"s")
    assert again == d and (tmp_path/"s").read_bytes() == write_side(new, ["id"], tmp_path/"w").read_bytes()


def test_columns_in_another_order_and_twice():
    a = pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4]), pa.array([5, 6])], ["a", "A", "a"])
    d = snapshot_diff(a.select([0, 2, 1]), a, ["a"])
    assert d.unchanged == 2 and list(d.columns) == ["a", "a (2)", "A"]
    swapped = pa.Table.from_arrays([pa.array([1, 2]), pa.array([5, 6]), pa.array([3, 4])], ["a", "A", "a"])
    assert snapshot_diff(swapped, a, ["a"]).columns == {"a": 0, "A": 2, "a (2)": 2}


def test_wide_tables():
    n = 1500
    t = pa.table({f"c{i}": pa.array([i, i+1]) for i in range(n)})
    u = t.set_column(700, "c700", pa.array([0, 0])).set_column(1400, "c1400", pa.array([1400, 0]))
    d = snapshot_diff(u, t, ["c0"])
    assert d.updated == 2 and {k: v for k, v in d.columns.items() if v} == {"c700": 2, "c1400": 1}


def test_empty_tables():
    t = pa.table({"id": [1, 2], "v": ["a", None]})
    none = t.slice(0, 0)
    assert got(snapshot_diff(t, none, ["id"]), dict(created=2, deleted=0)) == dict(created=2, deleted=0)
    assert got(snapshot_diff(none, t, ["id"]), dict(created=0, deleted=2)) == dict(created=0, deleted=2)
    assert snapshot_diff(none, none, ["id"]).shares == dict(same_share=0, created_share=0, updated_share=0, deleted_share=0)
    assert snapshot_diff(none, none).unchanged == 0
    with pytest.raises(UsageError, match="no columns"): snapshot_diff(pa.table({}), t)


def test_a_table_of_pandas_or_polars(tmp_path):
    t = pa.table({"id": [1, 2], "v": ["a", None]})
    pl = pytest.importorskip("polars")
    pq.write_table(t, tmp_path/"t.parquet")
    for other in (t.to_pandas(), pl.from_arrow(t), tmp_path/"t.parquet", str(tmp_path/"t.parquet")):
        d = snapshot_diff(other, t, "id")
        assert d.unchanged == 2 and not d.retyped


def test_a_side_file_that_does_not_match_is_refused(files, tmp_path):
    new, old = files
    side = write_side(old, ["id"], tmp_path/"old.side")
    t = pq.read_table(side)
    def stamped(**change):
        stamp = json.loads(t.schema.metadata[b"dsmon_side"]) | change
        pq.write_table(t.replace_schema_metadata({"dsmon_side": json.dumps(stamp)}), tmp_path/"other.side")
        return tmp_path/"other.side"
    assert snapshot_diff(new, key=["id"], side=stamped()).updated == 600
    columns = json.loads(t.schema.metadata[b"dsmon_side"])["columns"]
    for change in (dict(format=0), dict(duckdb="1.0.0"), dict(key=["x"]), dict(columns=columns | {"x": "FLOAT"}), dict(columns=columns | {"gone": "FLOAT"})):
        with pytest.raises(UsageError, match="write it again"): snapshot_diff(new, key=["id"], side=stamped(**change))
    with pytest.raises(UsageError, match="write it again"): snapshot_diff(new, old, key=["id"], side=stamped(rows=7))
    with pytest.raises(UsageError, match="no side file"): snapshot_diff(new, key=["id"], side=old)
    with pytest.raises(UsageError, match="no such file"): snapshot_diff(new, key=["id"], side=tmp_path/"none")
    with pytest.raises(SourceError, match="changed while"): snapshot_diff(new, key=["id"], side=stamped(rows=7))
    (tmp_path/"torn").write_bytes(side.read_bytes()[:-9])
    with pytest.raises(UsageError, match="no side file"): snapshot_diff(new, key=["id"], side=tmp_path/"torn")
    wider = pq.read_table(new).append_column("more", pa.nulls(pq.read_metadata(new).num_rows))
    d = snapshot_diff(wider, key=["id"], side=side)
    assert (d.updated, d.added) == (600, ["more"])


def test_a_failed_write_leaves_nothing(files, tmp_path, monkeypatch):
    (tmp_path/"s").write_bytes(b"old")
    monkeypatch.setattr(module._SideFile, "add", lambda *_: 1/0)
    with pytest.raises(ZeroDivisionError): write_side(files[1], ["id"], tmp_path/"s")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("s", b"old")]


def test_wrong_use_is_one_line(files, tmp_path):
    new, old = files
    (tmp_path/"bad.parquet").write_bytes(b"PAR1 nothing")
    for kind, call in [
        (UsageError, lambda: snapshot_diff(new)), (UsageError, lambda: snapshot_diff(new, old, ["nope"])), (UsageError, lambda: snapshot_diff(new, old, side="x")),
        (UsageError, lambda: snapshot_diff(new, old, ["id"], threads=0)), (UsageError, lambda: snapshot_diff(new, old, ["id"], memory_limit="lots")),
        (UsageError, lambda: write_side(new, [], tmp_path/"s")), (UsageError, lambda: snapshot_diff(pa.table({"a": [1]}), pa.table({"b": [1]}))),
        (SourceError, lambda: snapshot_diff(tmp_path/"none.parquet", old)), (SourceError, lambda: snapshot_diff(tmp_path/"bad.parquet", old)),
        (SourceError, lambda: snapshot_diff(pa.table({"a": pa.array([1.], pa.float16())}), pa.table({"a": [1.]}))),
    ]:
        with pytest.raises(kind) as e: call()
        assert "\n" not in str(e.value) and ":" in str(e.value)


def test_a_duckdb_that_fails_midway_is_a_source_error(files, tmp_path):
    raw = files[0].read_bytes()
    (tmp_path/"torn.parquet").write_bytes(raw[:4]+b"\xff"*2000+raw[2004:])
    with pytest.raises(SourceError): snapshot_diff(tmp_path/"torn.parquet", files[1], ["id"])


def test_views_are_escaped():
    evil = "<script>\n"
    d = snapshot_diff(pa.table({"id": [1], evil: [1]}), pa.table({"id": [1], evil: [2]}), ["id"])
    assert "<script>" not in d._repr_html_() and "&lt;script&gt;" in d._repr_html_()
    assert all(line.isprintable() for line in d.text().splitlines()) and len(d.text().splitlines()) == 6
    json.dumps(d.to_dict(), allow_nan=False)
    assert d.to_frame().loc[evil, "changed"] == 1
