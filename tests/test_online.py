"The online form of the walk: equal to the batch form to the bit, never from a past that does not belong, and light."
import json, os, subprocess, sys
from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow.parquet as pq
import pytest

from dsmon_research import assess as a, features, history, online
from dsmon_research.collect import updates
from dsmon_research.config import Backtest, Dataset
from dsmon_research.history import History, Summary, history_from_rows, part
from dsmon_research.metrics import COLUMN_METRICS, TABLE_METRICS
from dsmon_research.online import Past, from_bytes, judge, judge_step, rules_of, to_bytes
from dsmon_research.profile import profile_rows, profile_table
from dsmon_research.project import UsageError, dump_json
from dsmon_research.sketch import Sketch

MEMBERS = ["max_new", "next_new", "max_z", "pca"]
P = Backtest(detectors=MEMBERS, members=MEMBERS)
HEAVY = {"tensorflow", "keras", "mlflow", "pyod", "sklearn", "scipy", "pandas", "pydantic", "ruamel", "duckdb", "matplotlib", "tqdm", "fastcore", "pyarrow.compute"}


@cache
def real(name, n):
    "The first days of a packaged example."
    ups, got = list(updates(f"example:{name}"))[:n], []
    for u in ups: got.append(profile_table(u.read(), previous=got[-1] if got else None, name=u.id))
    return history_from_rows(profile_rows([u.id for u in ups], got), np.array([u.time.replace(tzinfo=None) for u in ups], "datetime64[s]"))


def drawn(seed, T=75, C=5):
    "A history of nonsense: columns that come and go, infinite and missing numbers, sampled sketches, gaps in time."
    r = np.random.default_rng(seed)
    def sketch(n, level=0):
        pool = np.sort(np.random.default_rng(99).integers(1, 2**(64-level), 3000, np.uint64))
        h = np.unique(np.concatenate([r.choice(pool, n//2), r.integers(1, 2**(64-level), n-n//2, np.uint64)]))
        c = r.integers(1, 9, len(h)); return Sketch(level, h, c, int(c.sum()))
    times = np.datetime64("2020-01-01", "s")+np.cumsum(r.choice([86400, 86400, 86400, 3600], T)).astype("timedelta64[s]") if seed%2 else np.datetime64("2020-01-01", "s")+np.arange(T)*np.timedelta64(86400, "s")
    shape, values = (T, C, len(COLUMN_METRICS)), None
    values = r.normal(size=(1, *shape[1:]))*10**r.uniform(-2, 4, (1, *shape[1:]))+r.normal(size=shape)
    kinds = np.array([m.kind for m in COLUMN_METRICS.values()])
    values[:, :, kinds == "share"] = r.random((T, C, (kinds == "share").sum()))
    values[:, :, kinds == "count"] = r.integers(1, 4, (T, C, (kinds == "count").sum()))
    values[r.random(shape) < .03] = np.nan; values[r.random(shape) < .002] = np.inf
    there = r.random((T, C)) < .95
    there[:, 1] &= np.arange(T) >= 33; there[:, 2] &= np.arange(T) < 50; there[0, 0] = True; there[:, 4] = True
    values[~there] = np.nan
    values[:, 4, list(COLUMN_METRICS).index("distinct")] = 1          # constant within updates
    table = np.abs(r.normal(100, 5, (T, len(TABLE_METRICS)))); table[r.random(T) < .05, 0] = 0
    def summary(j, t):
        s, g = sketch((300, 40, 5, 900, 1)[j], int(j == 3 and t > 30)), sketch(60) if j in (1, 2) else None
        return Summary(s.level, s.hashes, s.counts, s.total, g, np.sort(r.normal(size=101)) if j in (0, 3) and r.random() < .9 else None)
    sketches = [{f"c{j}": summary(j, t) for j in range(C) if there[t, j]} for t in range(T)]
    first = np.where(there.any(0), there.argmax(0), T); order = np.argsort(first, kind="stable")     # columns in the order in which they appear
    return History([f"u{t:03d}" for t in range(T)], times, [f"c{j}" for j in order], table, values[:, order], sketches, np.where(there, "float", "").astype(object)[:, order])


def cut(h, n):
    "The history as it was after n updates: later columns are unknown."
    p = part(h, 0, n); known = [j for j in range(len(h.columns)) if (p.types[:, j] != "").any()]
    return replace(p, columns=[h.columns[j] for j in known], values=p.values[:, known], types=p.types[:, known])


def same(j, w, k, t):
    names = {f: i for i, f in enumerate(w.names)}
    at = [names[f] for f in j.names]
    for mine, theirs in ((j.z, w.views["z"][t]), (j.raw, w.raw[t]), (j.low, w.low[t]), (j.high, w.high[t])): assert mine.tobytes() == theirs[at].tobytes()
    assert np.float64(j.score).tobytes() == np.float64(k.score[t]).tobytes() and np.float64(j.p).tobytes() == np.float64(k.p[t]).tobytes()


CASES = [("flights", lambda: real("flights", 75)), ("weather", lambda: real("weather", 75)), *((f"drawn {s}", lambda s=s: drawn(s)) for s in range(6))]


@pytest.mark.parametrize("which, champion", [*((i, "ensemble") for i in range(len(CASES))), (0, "pca"), (3, "seasonal"), (2, "next_new")])
def test_each_step_has_the_bits_of_the_whole(which, champion):
    h, p = CASES[which][1](), Backtest(detectors=[*MEMBERS, "seasonal"], members=MEMBERS, champion=champion)
    ds = Dataset(source="example:flights", season=7 if which%2 == 0 else None)
    w, k = a.champion_walk(h, ds, p)
    past = Past(rules_of(h.times, ds, p))
    for t in range(len(h)):
        j, past = judge_step(past, part(h, t, t+1))
        same(j, w, k, t)
    assert (k.p[28:] > 0).all() and np.isnan(k.p[:28]).all()


@pytest.mark.parametrize("which, n", [(0, 61), (0, 29), (1, 75), (3, 1), (3, 2), (3, 9), (4, 27), (4, 41), (5, 75)])
def test_online_replay_equals_batch_with_a_cutoff(which, n):
    "The verdict after n updates, made from nothing by the whole walk and by steps: the same bytes of JSON."
    h, ds = CASES[which][1](), Dataset(source="example:flights", key=[])
    p = cut(h, n)
    whole = a.judge_newest("x", p, None, ds, P)
    past = Past(rules_of(p.times, ds, P))
    for t in range(n-1): past = judge_step(past, part(h, t, t+1))[1]
    step = a.assessment("x", judge(past, part(h, n-1, n)), p.ids, p.times, None, ds, P, lambda c: a._seen_by(past, c))
    assert dump_json(step.to_dict()) == dump_json(whole.to_dict())


def test_a_crowded_vocabulary_is_sampled_alike(monkeypatch):
    for m in (features, online): monkeypatch.setattr(m, "WIDEST", 256)
    monkeypatch.setattr(features.vocabulary, "__defaults__", (5000, 256))
    h, ds = drawn(2), Dataset(source="example:flights")
    w, k = a.champion_walk(h, ds, P)
    past = Past(rules_of(h.times, ds, P))
    for t in range(len(h)):
        j, past = judge_step(past, part(h, t, t+1))
        same(j, w, k, t)
    levels = {c: m.values.level for c, m in zip(past.columns, past.memory)}
    assert levels["c0"] > 3 and all(len(m.values.hashes) <= 256 for m in past.memory)
    assert all(m.values.hashes.max() < 2**(64-m.values.level) for m in past.memory if m.values.level)


def test_judging_leaves_the_past_alone():
    h = drawn(1); past = Past(rules_of(h.times, Dataset(source="example:flights"), P))
    for t in range(40): past = judge_step(past, part(h, t, t+1))[1]
    past.grow(h.columns); before = to_bytes(past, "")
    one, two = judge(past, part(h, 40, 41)), judge(past, part(h, 40, 41))
    assert to_bytes(past, "") == before and (one.p, one.score) == (two.p, two.score) and one.z.tobytes() == two.z.tobytes()


def test_bytes_are_whole_or_refused():
    h = drawn(3); rules = rules_of(h.times, Dataset(source="example:flights"), P); past = Past(rules)
    for t in range(45): past = judge_step(past, part(h, t, t+1))[1]
    raw = to_bytes(past, "mine")
    again, stamp = from_bytes(raw, rules)
    assert stamp == "mine" and to_bytes(again, "mine") == raw
    r = np.random.default_rng(0)
    for i in [0, len(raw)-1, *r.integers(0, len(raw), 50)]:
        assert from_bytes(raw[:i], rules) is None
        assert from_bytes(raw[:i]+bytes([raw[i] ^ 1])+raw[i+1:], rules) is None


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    "A project with 61 days of flights as files, the last one broken, profiled by the command itself."
    root = tmp_path_factory.mktemp("online")/"p"; (root/"in").mkdir(parents=True)
    (root/"params.yaml").write_text("inject: {faults: {}}\nbacktest: {detectors: [max_z, topk_z, pca], members: [max_z, topk_z, pca]}\ndatasets: {shop: {source: 'files:in/*.parquet', season: 7, alerts_per_month: 3, key: [flight, carrier]}}\n")
    for i, u in enumerate(list(updates("example:flights"))[:61]):
        t = u.read()
        if i == 60: t = t.set_column(t.column_names.index("dest"), "dest", [[d[::-1] if o == "EWR" else d for o, d in zip(t["origin"].to_pylist(), t["dest"].to_pylist())]])
        pq.write_table(t, root/"in"/f"{u.id}.parquet")
    assert dsmon(root, "stage", "collect", "shop")[0] == dsmon(root, "stage", "profile", "shop")[0] == 0
    return root


def dsmon(root, *args, then=""):
    "A process of its own: exit code, standard output, what `then` prints."
    code = f"import sys\nfrom dsmon_research.cli import main\ncode = main({list(args)!r})\n{then}\nraise SystemExit(code)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "DSMON_ROOT"})
    assert done.returncode in (0, 3), done.stderr
    return done.returncode, done.stdout


def verdict(root, *args): return dsmon(root, "assess", "shop", "--json", *args)[1]


def test_verdicts_with_and_without_a_past_are_the_same_bytes(shop):
    file = shop/"data/shop/.past"
    file.unlink(missing_ok=True)
    first = verdict(shop); assert file.is_file() and json.loads(first)["verdict"] == "unhealthy" and "EWR" in json.loads(first)["sentence"]
    kept = file.read_bytes()
    assert verdict(shop) == first and file.read_bytes() == kept
    for bad in (kept[:-1], b"", kept.replace(b"dsmon past 3", b"dsmon past 2"), kept[:90]+kept):
        file.write_bytes(bad)
        assert verdict(shop) == first and file.read_bytes() == kept
    h = history.load_history("shop", shop)
    params = a._parameters("shop", shop)
    whole = a.judge_newest("shop", h, lambda: a._stored("shop", 60, shop), params.dataset, params.backtest, params.seed)
    assert dump_json(whole.to_dict()) == dump_json(json.loads(first))
    earlier = json.loads(verdict(shop, "--update", "2013-02-27"))
    assert file.read_bytes() == kept and dump_json(a.judge_newest("shop", part(h, 0, 58), None, params.dataset, params.backtest, 0).to_dict()) == dump_json(earlier)


def test_a_past_of_other_code_or_another_history_is_not_used(shop, monkeypatch):
    ix, known = history.load_index("shop", shop), a._parameters("shop", shop)
    rules, learned = rules_of(ix.times, known.dataset, known.backtest), []
    def some(first, stop): learned.append((first, stop)); return history.one_by_one(ix, first, stop)
    file = shop/"data/shop/.past"; file.unlink(missing_ok=True)
    go = lambda r=rules, h=ix.stamp: online.resume(file, r, 50, h, some)
    go(); go(); assert learned == [(0, 50), (50, 50)]
    go(h=lambda n: "another"); assert learned[-1] == (0, 50)
    go(); assert learned[-1] == (0, 50)
    go(replace(rules, alpha=rules.alpha/2)); assert learned[-1] == (0, 50)
    go(); monkeypatch.setattr(online, "code_hash", lambda: "edited"); go(); assert learned[-1] == (0, 50)
    file.unlink()


def test_a_tampered_profile_is_noticed(shop, tmp_path):
    ix = history.load_index("shop", shop)
    with pytest.raises(UsageError, match="damaged"): history.read_part(replace(ix, digests=[*ix.digests[:-1], "0"*32]), 59, 61)
    assert len(history.read_part(ix, 59, 61)) == 2
    whole = history.load_history("shop", shop)
    for t, h in enumerate(history.one_by_one(ix, 0, 61)): assert history.digest(h, 0) == history.digest(whole, t) == ix.digests[t]


def test_judging_imports_nothing_heavy(shop):
    verdict(shop); verdict(shop)                                      # found fresh, then sealed
    then = f"print(sorted({HEAVY!r} & set(sys.modules)))"
    healthy = dsmon(shop, "assess", "shop", "--update", "2013-02-27", then=then)
    assert healthy[0] == 0 and healthy[1].splitlines()[-1] == "[]", healthy
    bad = dsmon(shop, "assess", "shop", then=then)
    assert bad[0] == 3 and set(json.loads(bad[1].splitlines()[-1].replace("'", '"'))) <= {"pyarrow.compute"}, bad


def test_the_seal_breaks_with_any_file(shop):
    from dsmon_research.stages import sealed
    verdict(shop); verdict(shop)
    assert sealed("shop", "profile", root=shop).dataset.season == 7
    params, source, table = shop/"params.yaml", shop/"in/2013-02-03.parquet", shop/"data/shop/profile/tables.parquet"
    for file in (params, source, table, shop/"data/shop/.state.json"):
        kept = file.read_bytes()
        file.write_bytes(kept[:-1]+bytes([kept[-1] ^ 1]))             # same name, same size
        assert sealed("shop", "profile", root=shop) is None, file
        file.write_bytes(kept); verdict(shop); verdict(shop)
        assert sealed("shop", "profile", root=shop), file
    new = shop/"in/2013-09-09.parquet"; new.write_bytes(source.read_bytes())
    assert sealed("shop", "profile", root=shop) is None
    new.unlink()
