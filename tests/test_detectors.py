"Every detector: finite, repeatable, the right way round, saved and loaded to the same bits."
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from dsmon_research.config import UsageError, rng
from dsmon_research.detectors import DETECTORS, PROMISES, MaxZ, TooFewRows, check_detector, load_detector, make_detector
from dsmon_research.ensemble import COMBINE, combine

NAMES = [*DETECTORS, "pyod:HBOS", "pyod:COPOD"]


def history(n=60, p=30):
    g = rng(1, "tests", n, p)
    return g.normal(size=(n, p)) + g.normal(size=(n, 1))


def fitted(name, X, seed=1):
    det = make_detector(name, seed=seed)
    if not det.supervised:
        return det.fit(X)
    shifted = X + np.where(rng(2, "tests").random(X.shape) < 0.2, 4, 0)
    return det.fit(np.vstack([X, shifted]), np.repeat([0, 1], len(X)))


TIES = ("pyod:HBOS", "pyod:COPOD")  # histograms and ranks end where the past ends


@pytest.mark.parametrize("name", NAMES)
def test_every_promise_of_the_interface_is_kept(name):
    but = ("tails",) if name in TIES else ()
    assert len(check_detector(partial(make_detector, name, seed=1), but)) == len(PROMISES) - len(but)


BREAKS = {  # promise -> what a detector does that breaks it
    "parameters": {"__init__": lambda self, k=1: vars(self).update(k=k, seen_=1), "get_params": lambda self, deep=True: {"k": self.k}},
    "attributes": {"view": "y"},
    "scores": {"_score": lambda self, X: np.abs(X).max(1).astype(np.float32)},
    "direction": {"_score": lambda self, X: -np.abs(X).max(1)},
    "tails": {"_score": lambda self, X: np.minimum(np.abs(X).max(1), 15)},
    "alone": {"_score": lambda self, X: np.abs(X - X.mean(0)).max(1)},
    "no_future": {"fit": lambda self, X, y=None: (MaxZ.fit(self, X), setattr(self, "past_", X))[0], "_score": lambda self, X: np.abs(X - self.past_.mean(0)).max(1)},
    "repeatable": {"_score": lambda self, X: np.abs(X).max(1) + np.random.default_rng().random()},
    "quiet_inputs": {"score_samples": lambda self, X: (MaxZ.score_samples(self, X), np.multiply(X, 2, out=np.asarray(X)))[0]},
    "refusals": {"_min_rows": 1},
    "degenerate": {"_score": lambda self, X: np.abs(X).max(1) if X.shape[1] > 1 else np.full(len(X), np.nan)},
    "round_trip": {"_learn": lambda self, X, y: setattr(self, "kept", X.mean()), "_score": lambda self, X: np.abs(X).max(1) + self.kept},
    "contributions": {"feature_scores": lambda self, X: -np.abs(X)},
}


@pytest.mark.parametrize("promise", BREAKS)
def test_a_broken_promise_is_named(promise):
    broken = type("MaxZ", (MaxZ,), BREAKS[promise])
    with pytest.raises(UsageError, match=rf"\n  {promise}: "):
        check_detector(broken)


def test_each_promise_has_a_detector_that_breaks_it():
    assert list(BREAKS) == list(PROMISES)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_scores_are_equal_to_the_bit(name, tmp_path):
    X = history()
    det = fitted(name, X)
    det.save(tmp_path)
    again = load_detector(tmp_path)
    assert again.get_params() == det.get_params() and again.view == det.view
    assert again.score_samples(X).tobytes() == det.score_samples(X).tobytes()
    assert not [f for f in tmp_path.iterdir() if f.suffix in (".pkl", ".pickle", ".joblib")]


@pytest.mark.parametrize("name", ["iforest", "gbm", "sub_pca", "autoencoder"])
def test_a_fresh_process_gives_the_same_bits(name):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_detectors import fitted, history; "
        "print(fitted(sys.argv[1], history()).score_samples(history()).tobytes().hex())"
    )
    run = subprocess.run([sys.executable, "-c", code, name, os.path.dirname(__file__)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == fitted(name, history()).score_samples(history()).tobytes().hex()


def test_unknown_names_and_parameters():
    for wrong in ("knn", "", "pyod:", "PCA"):
        with pytest.raises(UsageError, match="known are"):
            make_detector(wrong)
    with pytest.raises(UsageError, match="unknown PyOD detector"):
        make_detector("pyod:../../x").fit(history())
    with pytest.raises(UsageError, match="mend its parameters"):
        make_detector("pca", componets=3)
    assert issubclass(TooFewRows, ValueError) and TooFewRows.exit_code == 4


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"class": "os.system", "params": {}}', '{"class": "MaxZ", "params": {"x": 1}}'])
def test_a_hostile_model_folder_is_refused(text, tmp_path):
    fitted("max_z", history()).save(tmp_path)
    (tmp_path / "detector.json").write_text(text)
    with pytest.raises(UsageError, match="no saved detector"):
        load_detector(tmp_path)


def test_a_pickled_array_is_refused(tmp_path):
    fitted("max_z", history()).save(tmp_path)
    np.savez(tmp_path / "arrays.npz", past_=np.array([object()]))
    with pytest.raises(UsageError, match="no saved detector"):
        load_detector(tmp_path)


def test_importing_detectors_imports_no_heavy_package():
    code = "import sys, dsmon_research.detectors, dsmon_research.autoencoder, dsmon_research.ensemble; print([m for m in ('tensorflow', 'keras', 'pyod', 'skops', 'mlflow', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("how", COMBINE)
def test_combination_is_monotone_and_survives_extremes(how):
    p = np.array([[1.0] * 4, [0.5] * 4, [0.1] * 4, [1e-3] * 4, [1e-100] * 4, [1e-300] * 4])
    scores = combine(p, how)
    assert np.isfinite(scores).all() and (np.diff(scores) > 0).all() and (scores >= 0).all()


@pytest.mark.parametrize("how", COMBINE)
def test_a_silent_member_is_left_out(how):
    np.testing.assert_allclose(combine([[0.01, np.nan, 0.3]], how), combine([[0.01, 0.3]], how))
    np.testing.assert_allclose(combine([[np.nan, 0.04]], how), [-np.log10(0.04)])
    assert np.isnan(combine([[np.nan, np.nan]], how)).all() and combine(np.empty((0, 3)), how).shape == (0,)


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.1, np.inf])
def test_impossible_p_values_are_refused(wrong):
    with pytest.raises(UsageError, match=r"p\[1, 0\]"):
        combine([[0.5, 0.5], [wrong, 0.5]])
