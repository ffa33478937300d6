"Few answers, a better ranking: nothing without answers, bounded with them, calibrated on the past, blind to the future."
import numpy as np
import pytest
from types import SimpleNamespace

from conftest import BIN, run
from dsmon_research.calibrate import Calibration, p_values
from dsmon_research.config import UsageError, rng
from dsmon_research.feedback import Memory, evidence, patterns, replay, reranked
from dsmon_research.judge import unknown


def life(seed, T=400, events=.06, faults=.03, G=12):
    "Scores and patterns: quiet days, recurring expected events of one look, faults of another."
    g = rng(seed, "feedback")
    kind = g.choice(3, T, p=[1-events-faults, events, faults])
    score, pattern = g.gumbel(size=T), np.zeros((T, G))
    for k, at, lift in ((1, slice(0, 3), 2.5), (2, slice(6, 9), 2.)):
        who = kind == k
        score[who] += lift; pattern[who, at] = 2+g.random((who.sum(), 3))
    truth = unknown(T); truth.bad[:] = kind == 2
    return SimpleNamespace(name="max_z", score=score, p=np.full(T, np.nan), probe_score=np.empty(0), probe_p=np.empty(0)), truth, pattern, kind


def plain(k, truth, alpha):
    "What the walk does without feedback."
    cal, out = Calibration(alpha), np.full(len(k.score), np.nan)
    for t in range(len(out)): out[t] = cal.step(k.score[t], np.empty(0), truth.bad[t])[0]
    return out


@pytest.mark.parametrize("seed", range(3))
def test_no_answers_no_change(seed):
    k, truth, v, _ = life(seed)
    assert np.array_equal(replay(k, truth, v, np.empty((0, 12)), .05, 0)[0], plain(k, truth, .05), equal_nan=True)


def test_answers_help_and_keep_the_budget():
    got = []
    for seed in range(12):
        k, truth, v, kind = life(seed)
        for limit in (0, 10):
            p = replay(k, truth, v, np.empty((0, 12)), .05, limit)[0]
            late = np.arange(len(p)) > 150
            got.append((limit, (p[late & ~truth.bad] <= .05).mean(), (p[late & truth.bad] <= .05).mean(), (p[late & (kind == 1)] <= .05).mean()))
    got = np.array(got); none, ten = (got[got[:, 0] == n, 1:].mean(0) for n in (0, 10))
    assert ten[1] > none[1]+.03 and ten[2] < none[2] # more faults, fewer expected events
    assert ten[0] <= .05+.015


def test_quiet_days_keep_the_rate_when_everything_is_promoted():
    g, rate = rng(4, "feedback", "promoted"), []
    for _ in range(300):
        s, m = g.gumbel(size=120), g.uniform(0, .9, 120) # promotion falls on healthy days as well
        rate.append(reranked(s[:-1], m[:-1], s[-1:], m[-1:])[0] <= .1)
    assert np.mean(rate) <= .1+3*np.sqrt(.09/300)


def test_evidence_is_shrunken_and_bounded():
    a, b = np.eye(4)[:1], np.eye(4)[1:2]
    sizes = [abs(evidence(a, np.repeat(a, n, 0), -np.ones(n))[0]) for n in (1, 3, 10, 100)]
    assert sizes == sorted(sizes) and sizes[0] == .5 and sizes[-1] < 1
    assert evidence(a, b, [1.])[0] == 0 and evidence(a, a, [1.], own=np.array([[True]]))[0] == 0
    assert evidence(-a, a, [1.])[0] == 0 # the opposite is not alike


def test_one_decade_at_most():
    s = rng(2, "feedback").gumbel(size=300)
    top = np.array([s.max()+1])
    before = p_values(s, top, 2)[0]
    for m in (-1., 1.):
        after = reranked(s, np.zeros(300), top, np.array([m]))[0]
        assert .99 < abs(np.log10(after/before)) < 1.01 or after >= 5.5/301


def test_the_future_changes_nothing():
    k, truth, v, _ = life(1)
    p = replay(k, truth, v, np.empty((0, 12)), .05, 10)[0]
    k.score[250:] = 99.; v[250:] = 1.; truth.bad[250:] = True
    assert np.array_equal(replay(k, truth, v, np.empty((0, 12)), .05, 10)[0][:250], p[:250], equal_nan=True)


def test_patterns_name_column_and_family():
    what, v = patterns([(None, "rows"), ("a", "mean"), ("a", "q50"), ("a", "null_share")], np.array([[0., 2, -3, .5]]))
    assert what == [(None, "rows"), ("a", "level"), ("a", "missing")] and v[0, 1] == pytest.approx(-3+np.log1p(2)) and v[0, 2] == 0


def test_ignored_says_nothing_and_nonsense_is_refused():
    m = Memory(.05)
    m.learn(1., np.zeros(3), .01, "ignored")
    assert not m.answers
    with pytest.raises(UsageError): m.learn(1., np.zeros(3), .01, "dunno")


def test_import_is_light():
    done = run(BIN/"python", "-c", "import dsmon_research.feedback, sys; print([m for m in ('sklearn', 'scipy', 'pandas') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout+done.stderr
