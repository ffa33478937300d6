"From a score to a promise, number by number: every formula against its definition, every edge on both sides."
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from dsmon_research.calibrate import YOUNG, Calibration, alpha_of, budget, conformal, once_in, p_values, predicted, rarity, recent, tail, updates_needed
from dsmon_research.project import UsageError

R = np.random.default_rng(7)
PAST = R.gamma(2, 1, 200)


def test_a_budget_is_a_rate():
    assert alpha_of(1, 30.44) == 1/30.44 and alpha_of(3, 720) == 3/720
    assert alpha_of(1, 2) == .5 and alpha_of(1, 1) == .5 and alpha_of(1, 2.5) == .4     # at most every second one
    for bad in ((0, 30), (-1, 30), (1, 0), (1, -3), (np.nan, 30), (1, np.nan)):
        with pytest.raises(UsageError, match="must be above 0"): alpha_of(*bad)

def test_a_budget_of_a_dataset():
    day, p = np.datetime64("2024-01-01", "s"), SimpleNamespace(alerts_per_month=2)
    times = day+np.arange(90)*np.timedelta64(86400, "s")
    got = budget(times, SimpleNamespace(alerts_per_month=None), p)
    assert got == dict(alerts_per_month=2, updates_per_month=30.44, alpha=2/30.44)
    assert budget(times, SimpleNamespace(alerts_per_month=.5), p)["alpha"] == .5/30.44                      # its own wins
    faster = np.concatenate([times[:60], times[60]+np.arange(500)*np.timedelta64(60, "s")])
    assert budget(faster, SimpleNamespace(alerts_per_month=None), p) == got                                 # the first sixty say it, for ever
    faster[59] = faster[58]+np.timedelta64(1, "s")
    assert budget(faster, SimpleNamespace(alerts_per_month=None), p)["updates_per_month"] > 30.44

def test_conformal_is_a_count():
    for past in (PAST, np.array([1., 2, 2, 3]), np.array([])):
        for s in (-1., 2., 2.5, 3., 9.): assert conformal(past, np.array([s]))[0] == (1+(past >= s).sum())/(len(past)+1)
    assert conformal([3, 1, 2], np.array([9., 0.])).tolist() == [.25, 1.]                                   # any order, 1/(n+1) at least

def reference_tail(past, s, share):
    past = np.sort(past); m = max(int(np.ceil(share*len(past))), min(5, len(past)-1))
    top, u = past[len(past)-m:], past[len(past)-m-1]
    beta = np.mean(top-u)*(1+.5/np.sqrt(m)+1/m)
    return (m+1)/(len(past)+1)*np.exp(-max(s-u, 0)/beta)

@pytest.mark.parametrize("n", [2, 3, 6, 20, 34, 35, 200])
def test_the_tail_is_exponential(n):
    past = PAST[:n]
    for s in (past.min()-1, np.median(past), past.max(), past.max()+3):
        assert tail(past, np.array([s]))[0] == pytest.approx(reference_tail(past, s, .15), rel=1e-12)
        assert tail(past, np.array([s]), .3)[0] == pytest.approx(reference_tail(past, s, .3), rel=1e-12)

def test_a_tail_of_equal_scores_is_steep():
    for level in (5., 1., .1, 0.):
        got = tail(np.full(30, level), np.array([level-1, level, level+1e-12, level+1]))
        assert got[0] == got[1] == 6/31 and got[3] == 0 and np.isfinite(got).all()
    assert tail(np.full(30, 5.), np.array([5+5e-9]))[0] == pytest.approx(6/31*np.exp(-1), rel=1e-4)     # the smallest scale is a billionth of the level
    assert tail(np.full(30, .1), np.array([.1+1e-9]))[0] == pytest.approx(6/31*np.exp(-1), rel=1e-4)    # and of one below it

@pytest.mark.parametrize("n", [5, 12, 40, 200])
def test_predicted_is_students_interval(n):
    past = R.normal(3, 2, n)
    z = np.array([-1., 0., 1., 2., 3., 4.])
    got = predicted(past, past.mean()+z*past.std(ddof=1)*np.sqrt(1+1/n))
    assert got == pytest.approx(stats.t.sf(z, n-1), rel=.06) and got[1] == .5
    assert predicted(np.zeros(9), np.array([0., 1e-9, 1.])) == pytest.approx([.5, .5*2*stats.t.sf(1/np.sqrt(1+1/9), 8), 0], rel=.05, abs=1e-12)

def test_p_counts_where_it_can_and_goes_on_beyond():
    s = np.sort(PAST)
    for k in (1, 5, 6, 40, 199):                                                                            # k past scores as high
        assert p_values(PAST, s[[-k]])[0] == pytest.approx((1+k)/201 if k >= 5 else min(np.exp(mixed(PAST, s[-k])), 5.5/201), rel=1e-12)
    beyond = np.array([s[-1]+.1, s[-1]+1, s[-1]+5])
    got = p_values(PAST, beyond)
    assert got == pytest.approx(np.exp([mixed(PAST, b) for b in beyond]), rel=1e-12) and (np.diff(got) < 0).all() and (got < 5.5/201).all()
    assert p_values(PAST, np.array([1e6]))[0] == 1e-12
    grid = p_values(PAST, np.linspace(s[0]-1, s[-1]+9, 4000))
    assert (np.diff(grid) <= 0).all() and grid[0] == 1.

def mixed(past, s): # the tail, and in a young history Student's say, in logarithms
    w = .5*YOUNG/(YOUNG+len(past))
    return (1-w)*np.log(tail(past, np.array([s]))[0])+w*np.log(predicted(past, np.array([s]))[0])

def test_p_of_equal_scores_is_a_count():
    "The value that was always there is as usual as can be; what is not above the tail's beginning is never extrapolated."
    assert p_values(np.ones(30), np.array([1.]))[0] == 1. and p_values(np.ones(30), np.array([2.]))[0] == 1e-12
    assert p_values(np.array([1., 2.]), np.array([1., 1.5]), 2).tolist()[0] == 1. > p_values(np.array([1., 2.]), np.array([1.5]), 2)[0]
    wild = np.concatenate([np.zeros(96), [1e3, 2e3, 3e3, 4e3]])                                              # a scale that four past storms made says nothing about a small step: the count is the limit
    assert p_values(wild, np.array([1.]))[0] == 5.5/101
    few = np.concatenate([np.zeros(96), np.ones(4)])
    assert p_values(few, np.array([1.]))[0] == pytest.approx(min(5/101, 5.5/101, np.exp(mixed(few, 1.))), rel=1e-12)

def test_too_short_a_past_says_nothing():
    assert np.isnan(p_values(PAST[:19], np.array([1., 2.]))).all() and np.isfinite(p_values(PAST[:20], np.array([1., 2.]))).all()
    assert np.isfinite(p_values(PAST[:2], np.array([1.]), 2)).all() and np.isnan(p_values(PAST[:1], np.array([1.]), 1)).all() and np.isnan(p_values([], np.array([1.]), 0)).all()
    assert p_values(PAST[:19], np.array([1., 2.])).shape == (2,)

def test_words_of_rarity():
    assert [updates_needed(n) for n in (0, 19, 20, 21)] == [20, 1, 0, 0] and updates_needed(3, 5) == 2
    assert [once_in(p) for p in (1., .4, .01, .0101, 1e-12, 0.0004)] == [1, 2, 100, 99, 1_000_000, 2500]
    assert once_in(None) is None and once_in(np.nan) is None and once_in(2.) == 1
    assert [rarity(n) for n in (1, 40, 99, 100, 104, 105.1, 237, 1000, 1001, 10**6)] == ["once in 1", "once in 40", "once in 99", "once in 100", "once in 100", "once in 110", "once in 240", "once in 1000", "less than once in 1,000", "less than once in 1,000"]
    assert [recent(list(range(n))) for n in (0, 2, 3, 7)] == [[], [0, 1], [1, 2], [2, 3, 4, 5, 6]]


def run(c, scores, **kw): return [c.step(s, np.empty(0), **kw)[0] for s in scores]

def test_nothing_is_judged_before_its_time():
    c = Calibration(.05, 20)
    assert np.isnan(run(c, PAST[:20])).all() and c.past == PAST[:20].tolist() and c.open == []
    assert c.judge(np.array([PAST[20]])) == p_values(recent(PAST[:20].tolist()), PAST[20:21], 2)
    assert np.isnan(Calibration(.05, 5).judge(np.ones(3))).tolist() == [True]*3
    c = Calibration(.05)                                                                                     # twenty, and seven alerts that wait, unless said otherwise
    assert np.isnan(run(c, PAST[:20])).all() and np.isfinite(run(c, PAST[20:21])).all() and c.patience == 7

def test_an_open_alert_waits():
    "Nobody answered: it is no past yet; the first update without an alert settles it, or the eighth alert in a row."
    c = Calibration(.05, 20); run(c, PAST[:40])
    n = len(c.past)
    assert c.step(99., np.empty(0)) [0] <= .05 and (len(c.past), c.open) == (n, [99.])
    p, beside, gone = c.step(float(np.median(PAST)), np.array([99., 0.]))
    assert not gone and beside.shape == (2,) and beside[0] <= .05 < beside[1] and p > .05
    assert c.open == [] and c.past[-2:] == [99., float(np.median(PAST))]
    c = Calibration(.05, 20); run(c, PAST[:40])
    for k in range(7): c.step(99.+k, np.empty(0)); assert (len(c.past), len(c.open)) == (40, k+1)
    c.step(200., np.empty(0))
    assert (len(c.past), c.open) == (48, [])
    short = Calibration(.05, 20, patience=1); run(short, PAST[:40])
    short.step(99., np.empty(0)); assert short.open; short.step(100., np.empty(0)); assert not short.open

def test_answers_settle_it():
    def after(**kw):
        c = Calibration(.05, 20); run(c, PAST[:40])
        return c.step(99., np.empty(0), **kw)[2], c.past[40:], c.open
    assert after(fault=True, answered=True) == (True, [], [])                          # confirmed: it leaves
    assert after(fault=True) == (True, [], [])
    assert after(answered=True) == (False, [99.], [])                                  # expected: it counts at once
    assert after() == (False, [], [99.])
    c = Calibration(.05, 20); run(c, PAST[:40])
    assert c.step(.5, np.empty(0), fault=True)[2] is False and c.past[-1] == .5        # a fault without an alert was not seen by anybody
    assert c.learn(.6, np.nan) is False and c.past[-1] == .6

def test_the_budget_is_met_exactly():
    "An alert is a p-value at or below alpha."
    c = Calibration(.25, 3); c.past = [1., 2., 3.]
    assert c.judge(np.array([9.]))[0] == p_values(np.array([2., 3.]), np.array([9.]), 2)[0] <= .25            # of three the last two count, and are enough
    assert c.learn(9., .25) is False and c.open == [9.] and c.learn(9., .2500001) is False and c.open == []
