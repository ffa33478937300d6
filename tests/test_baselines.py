"Published methods: one contract for all on real invoices, and what each is known to do."
import os, tarfile
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dsmon_research.baselines import (AVH, BASELINES, BETA, EDBTKNN, TFDV, Deequ, Gate, KSChi2, Pool, Seen, Smoothing, ThreeSigma, adf, cantelli, chebyshev, checkpoint,
                                      choose_clauses, clt, column_data, deequ_rules, deviation, edbt_features, frequency_distances, number_data, number_metrics_avh, stationary_form, text_data)
from dsmon_research.collect import updates
from dsmon_research.config import NotEnoughHistory, rng
from dsmon_research.profile import profile_small
from dsmon_research.read import read_table

ARCHIVE = Path(os.environ.get("DSMON_DATA", "/nowhere"))/"online_retail_by_day"/"by_day.tar.xz"
DAYS, ROWS = 36, 150
EACH = [n for n in BASELINES if n not in ("avh_10", "avh_per_column", "tfdv_drift", "pyod_copod", "pyod_hbos", "pyod_ocsvm", "pyod_knn", "pyod_pca")] # one of each kind of code


def seen(table, i=0):
    return Seen(datetime(2020, 1, 1, tzinfo=timezone.utc)+timedelta(days=i), table, profile_small(table))


def flights():
    "Days of flights in the shape of the invoices, for machines without them."
    names = dict(InvoiceNo="tailnum", StockCode="tailnum", Description="dest", Quantity="distance", InvoiceDate="time_hour", UnitPrice="sched_arr_time", CustomerID="dep_time", Country="carrier")
    days = [u.read() for u in islice(updates("example:flights"), DAYS)]
    return [pa.table({k: t[v].cast(pa.string()) for k, v in names.items()}) for t in days]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    "The first days of Online Retail, whole."
    if not ARCHIVE.is_file(): return flights()
    folder, out = tmp_path_factory.mktemp("retail"), []
    with tarfile.open(ARCHIVE, "r:xz") as f:
        for m in f:
            if not m.isfile(): continue
            p = folder/Path(m.name).name
            p.write_bytes(f.extractfile(m).read())
            out.append(read_table(p))
            if len(out) == DAYS: return out


@pytest.fixture(scope="module")
def days(tables): return [seen(t.slice(0, ROWS), i) for i, t in enumerate(tables)]


@pytest.fixture(scope="module")
def whole(tables): return [seen(t, i) for i, t in enumerate(tables)]


def put(table, name, values): return table.set_column(table.column_names.index(name), name, values)


def oddities(table):
    n, none = table.num_rows, lambda t: pa.nulls(table.num_rows, t)
    return {
        "as published": table,
        "no rows": table.slice(0, 0),
        "one row": table.slice(0, 1),
        "no columns": pa.table({}),
        "all empty": pa.table({c: none(pa.string()) for c in table.column_names}),
        "one empty column": put(table, "Quantity", none(pa.string())),
        "a column without a type": put(table, "Country", none(pa.null())),
        "a column is gone": table.drop_columns(["UnitPrice"]),
        "a new column": table.append_column("new", pa.array(np.arange(n))),
        "words among numbers": put(table, "Quantity", pa.array(["many"]*n)),
        "numbers for words": put(table, "Description", pa.array(np.arange(n)*1.5)),
        "numbers typed": put(table, "Quantity", table["Quantity"].cast(pa.int64())),
        "not finite": put(table, "UnitPrice", pa.array([np.inf, -np.inf, np.nan]*(n//3)+[1.]*(n % 3))),
        "huge": put(table, "UnitPrice", pa.array(np.full(n, 1e300))),
        "a name twice": table.append_column("Country", table["Country"]),
        "dates": put(table, "InvoiceDate", pa.array([datetime(2020, 1, 1)]*n)),
        "booleans": put(table, "Country", pa.array([True, False]*(n//2)+[None]*(n % 2))),
        "blank text": put(table, "Description", pa.array([""]*n)),
    }


@pytest.mark.parametrize("name", BASELINES)
class TestFinite:
    def test_odd_candidates_get_finite_scores(self, name, days):
        candidates = {k: seen(t, 20) for k, t in oddities(days[20].table).items()}
        b = BASELINES[name]().fit(days[:20])
        scores, flags = b.score(list(candidates.values())), b.flag(list(candidates.values()))
        assert scores.shape == flags.shape == (len(candidates),) and np.isfinite(scores).all() and flags.dtype == bool
        assert b.score([]).shape == b.flag([]).shape == (0,)

    def test_odd_histories_are_learned_from(self, name, days):
        odd = [seen(t, 30+i) for i, t in enumerate(oddities(days[8].table).values())]
        b = BASELINES[name]()
        for past in (days[:8], days[:8]+odd, odd+days[:8], [odd[1]]*3+days[:8]):
            assert np.isfinite(b.fit(past).score([days[20], *odd])).all()


@pytest.mark.parametrize("name", EACH)
class TestContract:
    def test_eight_updates_are_enough_and_three_are_said_to_be_too_few(self, name, days):
        assert np.isfinite(BASELINES[name]().fit(days[:8]).score(days[8:12])).all()
        with pytest.raises(NotEnoughHistory, match="wait for more updates"): BASELINES[name]().fit(days[:1])

    def test_step_by_step_is_the_same_as_at_once(self, name, days):
        b = BASELINES[name]()
        for t in (*range(8, 11), 20, 31):
            today = days[t:t+2]
            got, once = b.fit(days[:t]), BASELINES[name]().fit(days[:t])
            np.testing.assert_allclose(got.score(today), once.score(today), rtol=1e-9, atol=1e-12)
            assert (got.flag(today) == once.flag(today)).all()

    def test_the_future_changes_nothing(self, name, days):
        def spoilt(t): return put(put(put(t, "Quantity", pa.array(["-1e9"]*60)), "Country", pa.array(["Nowhere"]*60)), "Description", pa.nulls(60, pa.string()))
        garbage = [seen(spoilt(d.table.slice(0, 60)), i) for i, d in enumerate(days)]
        def walk(stream):
            b = BASELINES[name]()
            return [b.fit(stream[:t]).score([stream[t]]).tobytes() for t in range(9, 13)]
        one, other = walk(days[:11]+garbage[11:20]), walk(days[:20])
        assert one[:2] == other[:2] and one[2:] != other[2:]

    def test_a_shorter_past_is_learned_anew(self, name, days):
        b = BASELINES[name]().fit(days[:16])
        b.fit(days[16:28])
        assert b.score(days[30:31]).tobytes() == BASELINES[name]().fit(days[16:28]).score(days[30:31]).tobytes()

    def test_a_score_does_not_depend_on_the_rest_of_the_batch(self, name, days):
        b = BASELINES[name]().fit(days[:12])
        np.testing.assert_allclose(b.score(days[12:15]), [b.score([d])[0] for d in days[12:15]], rtol=1e-9)

    def test_says_where_it_comes_from(self, name, days):
        b = BASELINES[name]()
        assert b.name and len(b.paper) > 20
        if not b.needs_table:
            blind = [replace_table(d) for d in days[:12]]
            assert b.fit(blind).score(blind[-1:]).tobytes() == BASELINES[name]().fit(days[:12]).score(days[11:12]).tobytes()


def replace_table(d): return d._replace(table=None)


@pytest.mark.parametrize("make", [EDBTKNN, AVH, KSChi2, Gate, Smoothing])
def test_a_larger_budget_flags_at_least_as_much(make, days):
    b = make().fit(days[:24])
    flags = np.array([b.flag(days[24:], delta=d) for d in (.001, .05, .5)])
    if make is not AVH: assert (flags[:-1] <= flags[1:]).all()  # a larger program of AVH is another program
    assert flags[-1].sum() >= flags[0].sum()


def test_edbt_is_pyods_pipeline_on_min_max_scaled_statistics(days):
    from pyod.models.knn import KNN
    from sklearn.preprocessing import MinMaxScaler
    b = EDBTKNN().fit(days[:20])
    X = edbt_features(b.rows.past, b.numeric)
    X = np.where(np.isfinite(X), X, b.means)
    assert b.numeric.tolist() == [False, False, False, True, False, True, True, False]
    today = edbt_features(b.rows.of([d.profile for d in days[20:]]), b.numeric)
    today = np.where(np.isfinite(today), today, b.means)
    scale = MinMaxScaler().fit(X)
    knn = KNN(contamination=.01, n_neighbors=5, method="mean").fit(scale.transform(X))
    np.testing.assert_allclose(b.score(days[20:]), knn.decision_function(scale.transform(today)), rtol=1e-9)
    assert (b.flag(days[20:]) == knn.predict(scale.transform(today)).astype(bool)).all()
    assert X[0, 0] == 1-days[0].profile.columns[0].metrics["null_share"] and X[0, 1] == days[0].profile.columns[0].metrics["distinct"]


def test_tests_flag_nearly_every_day_of_whole_tables(whole):
    b, flags = KSChi2(), []
    for t in range(8, DAYS): flags.append(b.fit(whole[:t]).flag(whole[t:t+1])[0])
    assert np.mean(flags) > .9


def test_tests_hold_their_level_where_nothing_changes():
    r = rng(3, "tests")
    def day(): return seen(pa.table({"x": r.normal(size=200).round(3), "y": r.normal(size=200).round(3), "k": r.choice(list("abcd"), 200)}))
    b = KSChi2().fit([day() for _ in range(10)])
    flags = b.flag([day() for _ in range(400)])
    assert flags.mean() < .09
    assert b.flag([seen(pa.table({"x": r.normal(1, 1, 200), "y": r.normal(size=200), "k": ["a"]*200}))])[0]


def test_bounds_are_what_they_say():
    "Against samples for which the moments are known, and against the two-point variables that reach them."
    r = rng(1, "tests")
    samples = [r.normal(size=200_000), r.exponential(size=200_000)-1, r.uniform(-3**.5, 3**.5, 200_000), r.choice([-1., 1.], 200_000), r.standard_t(5, 200_000)/(5/3)**.5]
    for beta in (1.5, 2, 3, 5):
        for x in samples:
            assert (np.abs(x) > beta).mean() <= chebyshev(beta) and (x > beta).mean() <= cantelli(beta) and (x < -beta).mean() <= cantelli(beta)
        assert abs((np.abs(samples[0]) > beta).mean()-clt(beta)) < .002
        p = cantelli(beta)
        v, w = np.array([beta, -1/beta]), np.array([p, 1-p])
        np.testing.assert_allclose([v@w, v*v@w], [0, 1], atol=1e-12)
    assert clt(2) == pytest.approx(.0455, abs=1e-4) and clt(50) == 2e-4 and len(BETA) == 99


def test_avh_stays_within_its_budget_where_its_assumptions_hold():
    "A stationary column: the share of healthy updates flagged is below delta (Chebyshev and Cantelli are generous)."
    r = rng(5, "tests")
    def day(): return seen(pa.table({"x": r.normal(10, 1, 300).round(2)}))
    past = [day() for _ in range(58)]
    b = AVH(.1).fit(past)
    assert b.program(.1)[0] and sum(b.columns[0].loss[k, m] for k, m in b.program(.1)[0]) < .1
    assert b.flag([day() for _ in range(200)]).mean() <= .1
    bad = [pa.table({"x": r.normal(10, 1, 300)*10}), pa.table({"x": r.normal(10, 1, 30)})]
    assert b.flag([seen(t) for t in bad]).all()


def test_avh_flags_where_its_score_leaves_one(days):
    for make in (lambda: AVH(.05), lambda: AVH(.05, per_column=True)):
        b = make().fit(days[:30])
        assert (b.flag(days[30:]) == (b.score(days[30:]) > 1)).all()
        share = .05 if b.per_column else .05/len(b.columns)
        for c, p in zip(b.columns, b.program(.05)):
            assert sum(c.loss[k, m] for k, m in p) < share and len({m for _, m in p}) == len(p)


def test_greedy_choice_is_best_per_unit_of_false_alarms():
    hit = np.zeros((4, 2, 3), bool)
    hit[:3, 0, 0] = hit[:2, 1, 0] = True  # metric 0: three faults at .04, two at .01
    hit[3, 0, 1] = True                   # metric 1: the fourth at .02
    loss = np.array([[.04, .02, .001], [.01, .005, .001]])
    assert choose_clauses(hit, loss, .05) == [(1, 0), (0, 1)]
    assert choose_clauses(hit, loss, .03) == [(1, 0)]
    assert choose_clauses(hit, loss, .001) == []
    alone = np.zeros((4, 1, 2), bool); alone[0, 0, 0] = alone[:, 0, 1] = True
    assert choose_clauses(alone, np.array([[.001, .0499]]), .05) == [(0, 1)]  # the greedy start leaves no room for the clause that finds all


def test_checkpoints_depend_on_the_length_alone():
    assert [checkpoint(n) for n in (4, 5, 6, 12, 19, 28, 29, 57, 58, 100)] == [4, 4, 6, 9, 19, 19, 29, 29, 58, 87]


def test_dickey_fuller_tells_walks_from_noise():
    r = rng(2, "tests")
    power = [np.mean([s < c for s, c in (adf(x) for x in X)]) for X in (r.normal(size=(60, 60)).cumsum(1), r.normal(size=(60, 60)))]
    assert power[0] < .2 and power[1] > .8
    t = np.arange(60.)
    assert stationary_form(np.ones(30)) == (False, 0) and stationary_form(t+r.normal(size=60)*.05)[1] > 0
    x = np.array([.2, .5, .1, .9, .4, .3, .8, .6, .35, .75, .15, .55, .45, .95, .05])
    d, X = np.diff(x), np.column_stack([x[:-1], np.ones(14)])
    beta, *_ = np.linalg.lstsq(X, d, rcond=None)
    e = d-X@beta
    t0 = beta[0]/np.sqrt(e@e/12*np.linalg.inv(X.T@X)[0, 0])
    from dsmon_research.baselines import _regress
    assert _regress(d, X)[0] == pytest.approx(t0) and adf(x)[1] < -2.86


def test_avh_metrics_against_scipy_and_pandas():
    import pandas as pd
    from scipy import stats
    from scipy.spatial.distance import cosine, jensenshannon
    r = rng(4, "tests")
    a, b = r.gamma(2, size=333).round(2), r.gamma(3, size=222).round(2)
    p, q = (number_data(*np.unique(x, return_counts=True), len(x)) for x in (a, b))
    got = number_metrics_avh(p, q)
    pooled = np.sqrt((332*a.var(ddof=1)+221*b.var(ddof=1))/553)
    want = [stats.wasserstein_distance(a, b), (a.mean()-b.mean())/pooled, a.min(), a.max(), a.mean(), np.median(a), 333, a.sum(), np.ptp(a), len(set(a))/333, 1]
    np.testing.assert_allclose(got[[0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]], want, rtol=1e-9)
    h, e = np.histogram(a, 10); g = np.histogram(b, e)[0]
    ok = (h > 0) & (g > 0); u, v = h[ok]/333, g[ok]/222
    assert got[2] == pytest.approx((u*np.log(u/v)).sum())
    s, t = r.choice(list("abcdef"), 300), r.choice(list("cdefgh"), 200)
    x, y = (text_data(*(lambda v, c: (v.tolist(), c))(*np.unique(k, return_counts=True)), len(k)) for k in (s, t))
    f = pd.crosstab(np.r_[s, t], np.r_[np.zeros(300), np.ones(200)]).to_numpy()
    u, v = f[:, 0]/300, f[:, 1]/200
    l1, linf, cos, chi, js, kl = frequency_distances(x.h, x.c, y.h, y.c)
    np.testing.assert_allclose([l1, linf, cos, js], [np.abs(u-v).sum(), np.abs(u-v).max(), cosine(u, v), jensenshannon(u, v)])
    assert chi == pytest.approx(stats.chi2_contingency(f+1).pvalue) and kl == pytest.approx(stats.entropy(f[:, 0]+1, f[:, 1]+1))


def test_what_is_unknown_does_not_deviate():
    got = deviation(np.array([np.nan, 5., 5., 5.]), np.array([1., np.nan, 9., 9.]), np.array([0, 0, 1, -1]))
    assert (got[:2] == -np.inf).all() and got[2:].tolist() == [-4, 4]
    assert column_data(pa.array(["1", "x", None]), True).rows == 3


def deequ_example():
    "The example of Deequ's own documentation."
    rows = [("thingA", "13.0", "IN_TRANSIT", "true"), ("thingA", "5", "DELAYED", "false"), ("thingB", None, "DELAYED", None), ("thingC", None, "IN_TRANSIT", "false"),
            ("thingD", "1.0", "DELAYED", "true"), ("thingC", "7.0", "UNKNOWN", None), ("thingC", "24", "UNKNOWN", None), ("thingE", "20", "DELAYED", "false")]
    return pa.table({k: pa.array([r[i] for r in rows*2]) for i, k in enumerate(("name", "count", "status", "valuable"))})


def test_deequ_suggests_what_its_documentation_says():
    b = Deequ().fit([seen(deequ_example())]*2)
    got = {n: {(w, round(float(least), 2)) for w, least, _ in rules} for n, rules in b.rules.items()}
    assert got["name"] >= {("complete", 1.), ("known", 1.)} and got["status"] >= {("complete", 1.), ("known", 1.)}
    assert {w for w, _ in got["count"]} == {"complete", "number", "non-negative"}
    p, n = .75, 32
    assert ("complete", np.floor(100*(p-1.96*np.sqrt(p*(1-p)/n)))/100) in got["count"]
    bad = deequ_example()
    for name, values in dict(status=["LOST"]*16, name=[None]*16, count=["-1"]*16).items(): assert b.flag([seen(put(bad, name, pa.array(values)))])[0], name
    assert not b.flag([seen(deequ_example())])[0]


def test_deequ_measures_grow_with_the_damage():
    b, t = Deequ().fit([seen(deequ_example())]*2), deequ_example()
    scores = b.score([seen(put(t, "status", pa.array(["LOST"]*k+t["status"].to_pylist()[k:]))) for k in (0, 1, 4, 16)])
    assert scores[0] == 0 and (np.diff(scores) > 0).all()


def test_a_key_is_found_and_kept():
    p = Pool(); p.add(profile_small(pa.table({"id": ["a", "b", "c"]})).columns[0], 3)
    assert "unique" in [w for w, *_ in deequ_rules(p)]


def test_tfdv_anomalies():
    t = pa.table({"n": ["1", "2", "3"], "x": ["1.5", "2", "3"], "k": ["a", "b", "a"], "m": ["1", None, "2"]})
    b = TFDV().fit([seen(t)]*2)
    assert {n: (k, req) for n, (k, req, _) in b.rules.items()} == dict(n=("INT", True), x=("FLOAT", True), k=("BYTES", True), m=("INT", False))
    one = lambda name, values: b.score([seen(put(t, name, pa.array(values)))])[0]
    assert b.score([seen(t)])[0] == 0
    assert one("n", ["1.5", "2", "3"]) == one("n", ["a", "b", "c"]) == 2                     # another type
    assert one("k", ["a", "b", "z"]) == pytest.approx(1+1/3)                                # outside the domain
    assert one("n", ["1", None, "3"]) == pytest.approx(1+1/3) and one("m", [None, None, "2"]) == 0
    assert one("m", [None]*3) == 2
    assert b.score([seen(t.drop_columns(["k"])), seen(t.append_column("new", pa.array([1, 2, 3])))]).tolist() == [2, 2]
    drift = TFDV(.01).fit([seen(t)]*2)
    assert drift.flag([seen(put(t, "k", pa.array(["a", "b", "b"])))])[0] and not drift.flag([seen(t)])[0]


def test_a_hundred_values_make_a_domain_and_one_more_does_not():
    day = lambda k: [seen(pa.table({"k": [f"v{i}" for i in range(k)]}))]*2
    assert TFDV().fit(day(100)).rules["k"][2] is not None and TFDV().fit(day(101)).rules["k"][2] is None


def test_gate_averages_columns_that_move_together():
    r = rng(6, "tests")
    def day():
        s = r.normal(size=3)
        return seen(pa.table({f"c{i}": r.normal(s[i//4], .1, 50) for i in range(12)}))
    b = Gate().fit([day() for _ in range(40)])
    assert all(len(set(b.labels[i:i+4])) == 1 for i in (0, 4, 8)) and b.labels.max() >= 1
    assert b.past.shape == (40, 6*(b.labels.max()+1))
    assert b.flag([day() for _ in range(60)]).mean() < .25
    assert b.flag([seen(pa.table({f"c{i}": r.normal(9, .1, 50) for i in range(12)}))])[0]


def test_smoothing_covers_what_it_promises():
    r = rng(7, "tests")
    day = lambda: seen(pa.table({"x": r.normal(0, 1, 80)}))
    b = Smoothing().fit([day() for _ in range(150)])
    from dsmon_research.baselines import _at
    best = b.sse[:, 0, _at["mean"]].argmin()
    sigma, at = np.sqrt(b.sse[best, 0, _at["mean"]]/149), b.forecast[best, 0, _at["mean"]]
    means = np.array([day().profile.columns[0].metrics["mean"] for _ in range(2000)])
    assert abs((np.abs(means-at) > 1.645*sigma).mean()-.1) < .04
    assert b.flag([day() for _ in range(50)], delta=1e-9).mean() < .2 < b.flag([day() for _ in range(50)]).mean()


def test_three_sigma():
    sizes = [100, 110, 90, 105, 95]
    b = ThreeSigma().fit([seen(pa.table({"x": np.arange(n)})) for n in sizes])
    s = np.std(sizes)
    got = b.score([seen(pa.table({"x": np.arange(n)})) for n in (100, int(100+2.9*s), int(100+3.2*s))])
    np.testing.assert_allclose(got, [0, int(2.9*s)/s, int(3.2*s)/s], rtol=1e-3)
    assert b.flag([seen(pa.table({"x": np.arange(n)})) for n in (100, int(100+3.2*s))]).tolist() == [False, True]
