"The whole flow on a small folder of files, as a stranger would run it; and the promise that nothing looks into the future."
import copy, json

import numpy as np
import pytest

from conftest import BIN, files, run
from dsmon_research import backtest as bt
from dsmon_research.config import load_params, paths, rng
from dsmon_research.features import world
from dsmon_research.history import load_history
from dsmon_research.judge import unknown, walk_detector, walk_ensemble

pytestmark = pytest.mark.xdist_group("flow")   # one worker makes the backtest once

PARAMS = """\
seed: 7
inject:
  seeds: 1
  probes: 2
  prevalence: 0.05
  faults: {missing: [0.2, 1.0], dropped_rows: [0.5], unit_change: [1.0], typos: [0.5], repeated_update: [1.0]}
backtest:
  warmup: 8
  bootstrap: 50
  detectors: [max_z, max_new, next_new, pca, avg_knn, forest, autoencoder]
  members: [max_new, next_new]
datasets:
  shop:
    source: files:in/*.csv
    key: [order]
"""


def day(i, n, fault=False):
    g = rng(7, "shop", i)
    city = g.choice(["Rome", "Turin", "Bari", "Genoa"], n, p=[.5, .25, .15, .1])
    if fault: city = np.where(np.arange(n)%4 == 0, "", city)
    price = g.gamma(3, 9, n).round(2)
    return "order,city,price\n"+"".join(f"{i*1000+k},{city[k]},{price[k]}\n" for k in range(n))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    root = tmp_path_factory.mktemp("flow")
    (root/"in").mkdir(); (root/"params.yaml").write_text(PARAMS)
    for i in range(70):
        date = np.datetime64("2026-01-05")+i
        (root/"in"/f"orders_{date}.csv").write_text(day(i, int(rng(7, "rows", i).poisson(240 if i%7 < 5 else 150)), fault=i == 69))
    return root


@pytest.fixture(scope="module")
def result(shop):
    done = run(BIN/"dsmon", "backtest", "shop", "--json", cwd=shop)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_detector_is_on_the_leaderboard(shop, result):
    wanted = ["ensemble", *load_params(shop).backtest.detectors]
    assert [d["name"] for d in result["detectors"]] == wanted
    for d in result["detectors"]:
        assert d["fit_s"] is not None and 0 <= d["auc"] <= 1, d["name"]
        assert all(d[k] is not None or k in d["reasons"] for k in ("auc_pr", "recall_at_1pct", "delay_updates", "column_hit_at_1")), d["name"]
    assert result["n_updates"] == 70 and result["n_bad"] > 30


def test_the_figures_are_those_of_the_scores(shop, result):
    import pyarrow.parquet as pq
    s = pq.read_table(paths("shop", shop).backtest/"scores.parquet").to_pandas()
    s = s[(s.detector == "max_z") & (s.seed >= 0) & s.p_value.notna()]
    line = next(d for d in result["detectors"] if d["name"] == "max_z")
    alpha = result["budget"]["alpha"]
    assert line["recall_at_budget"] == pytest.approx((s[s.label == 1].p_value <= alpha).mean(), rel=1e-5)
    assert line["realised_fpr"] == pytest.approx((s[s.label == 0].p_value <= alpha).mean(), rel=1e-5)
    assert ((s.p_value <= alpha) == s.alarm).all()


def test_the_broken_day_is_found(shop, result):
    done = run(BIN/"dsmon", "assess", "shop", "--json", cwd=shop)
    got = json.loads(done.stdout)
    assert done.returncode == 3 and got["verdict"] == "unhealthy" and got["reasons"][0]["column"] == "city", got
    assert got["rows"] and all(r["city"] in (None, "") for r in got["rows"])
    assert run(BIN/"dsmon", "assess", "shop", "--update", "orders_2026-03-14", cwd=shop).returncode == 0


def test_a_report_and_the_same_bytes_again(shop, result):
    assert run(BIN/"dsmon", "report", "shop", cwd=shop).returncode == 0
    page, metrics = paths("shop", shop).report/"index.html", paths("shop", shop).metrics.read_bytes()
    assert "city" in page.read_text() and "fit_s\": null" in metrics.decode()
    first = files(paths("shop", shop).inject)
    for stage in ("inject", "backtest"): assert run(BIN/"dsmon", "stage", stage, "shop", cwd=shop).returncode == 0
    assert files(paths("shop", shop).inject) == first and paths("shop", shop).metrics.read_bytes() == metrics


@pytest.mark.parametrize("name", ["last_value", "seasonal", "max_z", "topk_z", "max_new", "next_new", "contrast", "pca", "sub_pca", "knn_z", "avg_knn", "iforest", "ecod", "lof", "forest", "gbm", "autoencoder", "ensemble"])
def test_no_future(shop, result, name):
    "Everything after update 45 becomes garbage: scores and p-values up to there stay, byte for byte, probes included."
    h, inj = load_history("shop", shop), bt.load_injected("shop", shop)
    g, r, cut = copy.deepcopy(h), rng(0, "garbage"), 45
    g.table[cut+1:], g.values[cut+1:] = r.random(g.table[cut+1:].shape)*1e6, r.random(g.values[cut+1:].shape)*1e6
    g.sketches[cut+1:] = [{c: next(iter(s.values())) for c in s} for s in g.sketches[:len(g)-cut-1]]
    got = []
    for hist in (h, g):
        w, truth, *_ = bt.build_world(hist, inj, 0, 7)
        walk = lambda n, w=w, truth=truth: walk_detector(n, w, truth, 1/30, seed=1)
        k = walk_ensemble([walk(m) for m in ("max_new", "next_new", "pca")], truth, 1/30, w) if name == "ensemble" else walk(name)
        early = truth.at <= cut
        got.append([a.tobytes() for a in (k.score[:cut+1], k.p[:cut+1], k.probe_score[early], k.probe_p[early])])
        assert np.isfinite(k.score[:cut+1]).any(), name
    assert got[0] == got[1]


def test_budget_is_kept_on_noise():
    "Independent updates without faults: the realised false-alert rate stays near the budget for three very different score distributions."
    from dsmon_research.calibrate import Calibration
    r, none = rng(3, "budget"), np.empty(0)
    for draw in (r.standard_normal, lambda n: np.log1p(np.abs(r.standard_t(2, n))), lambda n: r.poisson(3., n)+r.random(n)):
        cal, alarms = Calibration(.01), 0
        for s in draw(10_000): alarms += cal.step(float(s), none)[0] <= .01
        assert 60 <= alarms <= 145, alarms


def test_world_of_nothing_special(shop):
    "A history whose columns are constant or empty is judged without a crash and without a surprise."
    h = copy.deepcopy(load_history("shop", shop))
    h.values[:] = np.where(np.isfinite(h.values), 1., np.nan); h.table[:] = np.where(np.isfinite(h.table), 1., np.nan)
    for s in h.sketches: s.update(h.sketches[0])
    w = world(h, None)
    k = walk_detector("max_z", w, unknown(len(h)), 1/30)
    assert np.isfinite(k.score[8:]).all() and np.abs(w.views["z"][20:]).max() < 1
