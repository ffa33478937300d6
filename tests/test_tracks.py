"The benchmark's tracks on small pieces of the public data: protocols kept, published methods beside ours, finished parts kept, no future."
import json

import numpy as np
import pyarrow as pa
import pytest

from dsmon_research.bench import Bench, defaults
from dsmon_research.cli import main
from dsmon_research.collect import updates
from dsmon_research.config import SourceError
from dsmon_research.faults import Injected
from dsmon_research.features import world
from dsmon_research import tracks
from dsmon_research.bench import cell_table
from dsmon_research.tracks import PAST, START, ColumnJudge, Log, Part, TableJudge, Twin, big_world, cells, column_p, log_faults, log_history, measure_twins, merged, of_method, recall_at_precision, run_track

FAST = ["max_z", "topk_z"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DSMON_CACHE", str(tmp_path/"cache"))
    return tmp_path/"cache"/"bench"


def have(name):
    "The public data, or skip: they are not part of the repository."
    try: return tracks.registered(name).load()
    except SourceError as e: pytest.skip(str(e))


class Rows:
    "A published method in miniature: how far the number of rows is from its mean."
    def fit(self, past): self.mean, self.n = np.mean([s.profile.table["rows"] for s in past]), len(past); return self
    def score(self, today): return np.array([abs(s.profile.table["rows"]-self.mean) for s in today], float)
    def flag(self, today): return self.score(today) > 300


def halved(t, u, table): # one twin: the first half of the rows
    return [(Twin(t, "half", None, .5), Injected(table.slice(0, table.num_rows//2), None, {}, [], index=np.arange(table.num_rows//2)))]


@pytest.fixture(scope="module")
def flights():
    return list(updates("example:flights"))[:30]


@pytest.fixture(scope="module")
def halves(flights):
    judge = TableJudge({"rows": Rows()})
    return measure_twins(flights, [], halved, defaults(), "halves", judge), judge.base()["rows"]


def test_twins_never_enter_the_past(flights, halves):
    "From the eighth update on, each has its twin; the history is that of the clean updates."
    tw, base = halves
    assert [k.t for k in tw.info] == list(range(START, 30)) and np.isnan(base["clean"][:START]).all()
    plain = measure_twins(flights, [], lambda *_: [], defaults(), "plain").history
    assert np.array_equal(plain.values, tw.history.values, equal_nan=True) and np.array_equal(plain.table, tw.history.table, equal_nan=True)
    rows = tw.history.metric(None, "rows")
    assert base["clean"][10] == pytest.approx(abs(rows[10]-rows[:10].mean())) and base["twin_hard"].all()


def test_the_future_changes_nothing(flights, halves):
    tw, base = halves
    judge = TableJudge({"rows": Rows()})
    less = measure_twins(flights[:20], [], halved, defaults(), "halves", judge)
    cut = judge.base()["rows"]
    assert np.array_equal(cut["clean"], base["clean"][:20], equal_nan=True) and np.array_equal(cut["twin"], base["twin"][:12])
    a, b = (of_method(x, np.array([k.t for k in y.info]), .05, 5) for x, y in ((base, tw), (cut, less)))
    assert np.array_equal(a.clean_p[:20], b.clean_p, equal_nan=True) and np.array_equal(a.twin_p[:12], b.twin_p, equal_nan=True)


def test_one_world_in_pieces(halves):
    tw, _ = halves
    whole, pieces = world(tw.history, 7, tw.probes), big_world(tw.history, 7, tw.probes, piece=4)
    assert all(np.array_equal(whole.probe_views[k], pieces.probe_views[k]) for k in whole.probe_views)


def test_a_cell_is_the_mean_of_its_attributes(halves):
    "Two attributes, one always found and one never: balanced accuracy .75 without false alarms; the interval holds it."
    tw, base = halves
    info = [k._replace(column=c) for c in ("a", "b") for k in tw.info]
    found = dict(base, hard=np.zeros(30, bool), twin=np.tile(base["twin"], 2), twin_hard=np.repeat([True, False], len(tw.info)))
    j = of_method(found, np.array([k.t for k in info]), .05, 5)
    ((cell,), both) = cells({"m": j}, info, 30, "none", defaults())
    assert cell["methods"]["m"]["balanced_accuracy"] == .75 and cell["published"] is None and both["m"][0] == .75
    assert [a["methods"]["m"]["recall"] for a in cell["attributes"]] == [1, 0] and cell["methods"]["m"]["ci"] == [.75, .75]


def test_a_method_that_fails_leaves_its_reason(flights):
    class Broken(Rows):
        def score(self, today): raise ValueError("no such thing")
    judge = TableJudge({"broken": Broken(), "rows": Rows()})
    measure_twins(flights[:12], [], halved, defaults(), "x", judge)
    assert "ValueError: no such thing" in judge.why["broken"] and set(judge.base()) == {"rows"}


def test_columns_are_judged_alone(flights):
    "A method sees a table of one column and its own perturbations only."
    seen = []
    class Spy(Rows):
        def fit(self, past): seen.append({(s.table.column_names[0], len(s.profile.columns)) for s in past}); return super().fit(past)
    judge = ColumnJudge(["carrier", "dep_delay"], {"spy": lambda d: Spy()})
    make = lambda t, u, table: [(Twin(t, "half", c, None), halved(t, u, table)[0][1]) for c in ("carrier", "dep_delay")]
    measure_twins(flights[:12], [], make, defaults(), "x", judge, start=10)
    assert all(len(s) == 1 and next(iter(s))[1] == 1 for s in seen)
    (steps,) = {len(v) for v in judge.out.values()}
    assert steps == 2*(12-START) and {len(s[3]) for s in judge.out["spy", .01] if s[1] >= 10} == {2}


def test_column_p_looks_back_only():
    x, at, col = np.random.default_rng(0).random((59, 3)), np.arange(PAST, 59), np.tile([0, 1, 2], 10)
    later = np.vstack([x[:40], np.full((19, 3), 99.)])
    (p, tp), (q, tq) = (column_p(v, np.full(30, 2.), at, col, PAST) for v in (x, later))
    assert np.array_equal(p[:40], q[:40], equal_nan=True) and np.array_equal(tp[:11], tq[:11]) and (tp < .02).all()


def test_an_alarm_is_unusual_for_its_column_and_for_all():
    "A calm column beside a restless one: what is strange for the calm one alone is no alarm, nor is the restless one's usual noise."
    r = np.random.default_rng(1); x = r.random((59, 2))*[1, 20]
    at, col = np.array([50, 50, 50]), np.array([0, 1, 0])
    _, (calm, restless, both) = column_p(x, np.array([3., 15., 60.]), at, col, PAST)
    assert calm > .1 and restless > .1 and both < .02


def test_precision_counts_ties_together():
    assert recall_at_precision(np.array([1, 1, 0]), np.array([3., 2., 1.])) == 1


def test_a_log_and_its_faults():
    r = np.random.default_rng(1)
    log = Log([str(i) for i in range(40)], np.datetime64("2020-01-01", "s")+np.arange(40)*np.timedelta64(86400, "s"), np.column_stack([1000+r.integers(0, 20, 40), r.integers(40, 60, 40), r.integers(5, 9, 40), r.integers(40, 60, 40)]).astype(float))
    h = log_history(log)
    assert (len(h), h.columns) == (40, ["created", "updated", "deleted", "gap"]) and h.metric("gap", "distinct")[1] == 86400
    got = log_faults(log, 20)
    assert got["doubled", None][0][0] == 2*log.counts[20, 0] and got["missed", None][1] == 2*86400
    assert {k for k, _ in got} == {"stale", "doubled", "partial", "inflated", "missed"}
    w = world(h, None)
    assert np.isfinite(w.views["z"]).all()


def test_parts_are_kept_and_torn_by_any_change(cache):
    a, b = Part("x", 1, "code"), Part("x", 1, "other code")
    a.save(v=np.arange(3))
    assert a.load()["v"].tolist() == [0, 1, 2] and b.load() is None and len(list(cache.iterdir())) == 1


def test_means_over_data_sets():
    line = lambda auc: dict(name="m", auc_pr=auc, auc=auc, error=None) | {f: None for f in tracks.FIGURES if f not in ("auc", "auc_pr")}
    result = lambda n, auc: dict(dataset=n, track="C", seeds=[0], n_updates=10, n_bad=2, data_hash=n, settings=dict(alpha=.05), detectors=[line(auc)])
    got = merged([result("a", .5), result("b", 1.)])
    assert got["dataset"] == "a+b" and got["detectors"][0]["auc"] == .75 and got["detectors"][0]["mean_rank"] == 1
    assert got["detectors"][0]["delay_updates"] is None and got["detectors"][0]["reasons"]["delay_updates"]


def test_track_c_from_the_command_line(tmp_path, capsys, cache):
    "Real incidents through the registry; run again, the result comes from the cache."
    have("italy_regioni")
    first = run_track("C", "italy_regioni", FAST, stop=60, workers=1)
    assert first.result["track"] == "C" and first.result["n_bad"] > 5 and len(first.result["updates"]) == 60
    assert all(d["auc"] is not None for d in first.result["detectors"])
    assert json.loads(run_track("C", "italy_regioni", FAST, stop=60, workers=1).to_json()) == json.loads(first.to_json())
    assert main(["bench", "--track", "C", "--dataset", "nothing"]) == 2 and "known are" in capsys.readouterr().err


def test_track_a_on_twins_by_nature():
    have("fbposts_edbt2021")
    got = run_track("A", "fbposts_edbt2021", FAST, workers=1).result
    (cell,) = got["cells"]
    assert (got["n_updates"], got["n_bad"], cell["published"]) == (53, 45, .952) and set(cell["methods"]) == set(FAST)
    assert all(.4 < cell["methods"][n]["balanced_accuracy"] <= 1 and cell["methods"][n]["ci"] for n in FAST)
    assert all(d["n_judged"] == 90 for d in got["detectors"]), "a decision is there from the eighth update on"
    assert "real errors" in cell_table(got)


def test_track_a_made_errors():
    have("online_retail_by_day")
    got = run_track("A", "online_retail_by_day", FAST, stop=11, workers=1).result
    assert {c["error"] for c in got["cells"]} == {"explicit missing", "implicit missing", "numeric anomaly", "swapped numeric columns", "swapped text columns", "keyboard typos"}
    assert len(got["cells"]) == 30 and {len(c["attributes"]) for c in got["cells"] if c["error"] == "explicit missing"} == {8}
    assert all(c["published"] for c in got["cells"])
    assert any(a["noise_floor"] for c in got["cells"] for a in c["attributes"])


def test_track_b():
    got = tracks.track_b_dataset("weather", defaults(), ["max_z"], stop=32, workers=1)
    (line,) = got["detectors"]
    assert got["settings"]["tested"] == 3 and set(line["deltas"]["all"]) == {"0.005", "0.01", "0.05"} and line["deltas"]["all"]["0.05"]["ci"]
    assert set(line["recall_at_precision_98"]) == {"all", "numeric", "other"} and line["by_fault"]["nulls 1"]["n"] > 10


def test_track_d():
    got = run_track("D", "weather", FAST, seeds=1, stop=60, workers=1).result
    assert got["seeds"] == [0] and all(set(f["by_magnitude"]) <= {"0.1", "0.3", "1"} for d in got["detectors"] for f in d["by_fault"].values())
    assert all(d["realised_fpr_at_1pct"] is not None and d["fpr_interval"]["1pct"] for d in got["detectors"])


def test_track_m():
    got = run_track("M", "flights", FAST, stop=70, workers=1).result
    assert {c["error"] for c in got["cells"]} == {"stale", "doubled", "partial", "inflated", "missed"} and got["settings"]["published"]["recall"] == .85
    assert all(d["balanced_accuracy"] > .5 for d in got["detectors"])
    assert "<table>" in Bench(got)._repr_html_()


def test_logs_with_real_faults():
    "A stretch of the real log: what was empty or partial there stays in the stream and is counted."
    have("pge_outages_profile")
    got = run_track("M", "pge_outages_profile", ["max_z"], stop=1, workers=1).result
    assert got["n_real_bad"] >= 1 and got["n_updates"] > 100


def test_tables_of_any_type_survive(flights):
    "A twin that is a whole table, of other columns, is measured and judged too."
    other = lambda t, u, table: [(Twin(t, "other", None, None), pa.table({"x": [1, 2, 3]}))]
    tw = measure_twins(flights[:10], [], other, defaults(), "x")
    assert tw.probes[0][0, 0] == 3 and np.isnan(tw.probes[1]).all()
