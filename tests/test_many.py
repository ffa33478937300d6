"False discovery over many datasets: agrees with the definitions, keeps its promise, ignores the unknown and the future."
import numpy as np
import pytest

from conftest import BIN, run
from dsmon_research.config import UsageError, rng
from dsmon_research.many import adjusted, alarms, online


def by_definition(p, q, c=1.):
    "Benjamini-Hochberg, step by step: the largest k with p(k) <= q k / (m c)."
    order, m = np.argsort(p), len(p)
    k = max([i+1 for i in range(m) if p[order[i]] <= q*(i+1)/m/c], default=0)
    out = np.zeros(m, bool); out[order[:k]] = True
    return out


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definition(seed):
    p = rng(seed, "many").random(60)**3
    assert np.array_equal(alarms(p, .1), by_definition(p, .1))
    assert np.array_equal(alarms(p, .1, "by"), by_definition(p, .1, sum(1/i for i in range(1, 61))))
    assert np.array_equal(alarms(p, .2), adjusted(p) <= .2)


def test_online_agrees_with_the_formula():
    p, q = rng(7, "many").random(80)**4, .1
    alarm, level = online(p, q)
    j = np.arange(1, 81); g = .07720838*np.log(np.maximum(j, 2))/(j*np.exp(np.sqrt(np.log(j))))
    assert alarm.sum() >= 2
    for t in range(80):
        tau = np.flatnonzero(alarm[:t])
        want = q/2*g[t]+sum((q/2 if n == 0 else q)*g[t-s-1] for n, s in enumerate(tau))
        assert level[t] == pytest.approx(want) and alarm[t] == (p[t] <= level[t])


def test_unknown_is_left_out():
    p = np.array([.001, .2, .004, .9])
    for method in ("bh", "by"):
        with_gaps = adjusted([.001, None, .2, .004, np.nan, .9], method)
        assert np.array_equal(with_gaps[[0, 2, 3, 5]], adjusted(p, method)) and np.isnan(with_gaps[[1, 4]]).all()
    assert not alarms([None, np.nan]).any() and len(alarms([])) == 0
    a, b = online([.001, None, .2, .004]), online([.001, .2, .004])
    assert np.array_equal(a[1][[0, 2, 3]], b[1]) and not a[0][1]


def test_the_future_changes_nothing():
    g = rng(3, "many"); p = g.random(100)**3
    q = np.r_[p[:60], g.random(40)]
    assert np.array_equal(online(p)[0][:60], online(q)[0][:60]) and np.array_equal(online(p)[1][:60], online(q)[1][:60])


@pytest.mark.parametrize("method", ["bh", "by", "online"])
def test_rate_is_kept_with_a_common_shock(method):
    from scipy.stats import norm
    g, share = rng(11, "many", method), []
    for _ in range(200):
        truth = np.arange(100) < 5
        p = norm.sf(.7*g.standard_normal(100)+.7*g.standard_normal()+4*truth)
        a = online(p, .1)[0] if method == "online" else alarms(p, .1, method)
        share.append((a & ~truth).sum()/max(a.sum(), 1))
    assert np.mean(share) <= .1+3*np.std(share)/np.sqrt(200)


def test_wrong_use_is_said():
    for wrong in (lambda: alarms([0.]), lambda: alarms([1.2]), lambda: alarms([.1], q=1), lambda: online([.1], q=0), lambda: alarms([.1], method="x")):
        with pytest.raises(UsageError): wrong()


def test_import_is_light():
    done = run(BIN/"python", "-c", "import dsmon_research.many, sys; print([m for m in ('scipy', 'pandas', 'sklearn') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout+done.stderr
