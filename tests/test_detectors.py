"Every detector: finite, repeatable, the right way round, saved and loaded to the same bits."
import os
import subprocess
import sys

import numpy as np
import pytest

from dsmon_research.config import NotEnoughHistory, UsageError, rng
from dsmon_research.detectors import DETECTORS, TooFewRows, load_detector, make_detector
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


DEGENERATE = {
    "constant": np.zeros((30, 12)),
    "one column moves": np.c_[np.zeros((30, 11)), np.arange(30.0)],
    "equal rows": np.tile(np.arange(12.0), (30, 1)),
    "one feature": history(30, 1),
    "more features than rows": history(9, 700),
    "huge values": history(30, 12) * 10.0 ** np.arange(0, 300, 25),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_on_degenerate_matrices(name, case):
    X = DEGENERATE[case]
    scores = fitted(name, X).score_samples(np.vstack([X, X[:1] * 3, X[:1] + 5]))
    assert scores.shape == (len(X) + 2,) and np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_higher_is_more_abnormal(name):
    X = history()
    det = fitted(name, X)
    extreme = np.full((1, X.shape[1]), 30.0) * np.where(np.arange(X.shape[1]) % 2, 1, -1)
    if det.supervised:
        extreme = np.abs(extreme)
    assert det.score_samples(extreme)[0] > det.score_samples(X).max()


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("pyod:")])
def test_two_absurd_updates_do_not_tie(name):
    det = fitted(name, history())
    scores = det.score_samples(np.array([[20.0], [40.0]]) * np.ones((1, 30)))
    assert scores[1] > scores[0]


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_scores_are_equal_to_the_bit(name, tmp_path):
    X = history()
    det = fitted(name, X)
    det.save(tmp_path)
    again = load_detector(tmp_path)
    assert again.get_params() == det.get_params() and again.view == det.view
    assert again.score_samples(X).tobytes() == det.score_samples(X).tobytes()
    assert not [f for f in tmp_path.iterdir() if f.suffix in (".pkl", ".pickle", ".joblib")]


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_depend_on_the_rest_of_the_batch(name):
    X = history()
    det = fitted(name, X[:50])
    alone = np.array([det.score_samples(x[None])[0] for x in X[50:]])
    np.testing.assert_allclose(det.score_samples(X[50:]), alone, rtol=1e-9)


@pytest.mark.parametrize("name", ["iforest", "autoencoder"])
def test_a_fresh_process_gives_the_same_bits(name):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_detectors import fitted, history; "
        "print(fitted(sys.argv[1], history()).score_samples(history()).tobytes().hex())"
    )
    run = subprocess.run([sys.executable, "-c", code, name, os.path.dirname(__file__)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == fitted(name, history()).score_samples(history()).tobytes().hex()


@pytest.mark.parametrize("name", NAMES)
def test_one_update_is_no_history(name):
    with pytest.raises(NotEnoughHistory, match="wait for more updates"):
        fitted(name, history(1)) if not make_detector(name).supervised else make_detector(name).fit(history(1), [0])


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_refused(name):
    X = history()
    X[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        make_detector(name).fit(X, np.arange(len(X)) % 2)


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(make_detector(n), "feature_scores")])
def test_feature_scores_point_to_the_broken_feature(name):
    X = history()
    row = np.zeros((1, 30))
    row[0, 17] = 25.0
    got = fitted(name, X).feature_scores(row)
    assert got.shape == (1, 30) and (got >= 0).all() and got.argmax() == 17


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
