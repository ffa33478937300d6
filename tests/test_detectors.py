"Every detector: finite, repeatable, the right way round, saved and loaded to the same bits."
import hashlib
import os
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from dsmon_research.config import UsageError, rng
from dsmon_research import detectors
from dsmon_research.detectors import DETECTORS, PROMISES, SEAL, MaxZ, TooFewRows, check_detector, load_detector, make_detector, seal
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


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_is_not_what_was_saved_is_not_even_parsed(name, tmp_path, monkeypatch):
    "One flipped bit in any file, the list of sums included; a file missing; one added: one line that names it."
    det, good, r = fitted(name, history()), tmp_path / "good", rng(3, "flips", name)
    det.save(good)
    files = {f.name: f.read_bytes() for f in good.iterdir()}
    assert {"arrays.npz", "detector.json", SEAL} <= set(files) and set(files) - {"arrays.npz", "detector.json", SEAL, "model.skops", "model.keras"} == set()
    check = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SEAL], cwd=good, capture_output=True, text=True)
    assert check.returncode == 0 and len(files[SEAL].splitlines()) == len(files) - 1, check.stderr

    def parsed(*_, **__):
        raise AssertionError("parsed")

    def refused(what, **kw):
        with monkeypatch.context() as m:
            m.setattr(detectors.json, "loads", parsed)
            m.setattr(detectors.np, "load", parsed)
            with pytest.raises(UsageError, match=what) as e:
                load_detector(tmp_path / "bad", **kw)
        assert "\n" not in str(e.value)
        shutil.rmtree(tmp_path / "bad")

    def bad(**changed):
        shutil.copytree(good, tmp_path / "bad")
        for f, b in changed.items():
            (tmp_path / "bad" / f).write_bytes(b) if b is not None else (tmp_path / "bad" / f).unlink()

    for f, raw in files.items():
        for at in {0, len(raw) - 1, *r.integers(0, len(raw), 8).tolist()}:
            bad(**{f: raw[:at] + bytes([raw[at] ^ 1 << int(r.integers(8))]) + raw[at + 1 :]})
            refused("nothing was loaded" if f == SEAL else f"'{f}' is not what was saved")
        bad(**{f: None})
        refused(f"no saved detector with its {SEAL}" if f == SEAL else f"'{f}' is missing")
        bad(**{f: raw[:-1]})
        refused("nothing was loaded")
    bad(**{"more.py": b"import os"})
    refused("'more.py' was added")
    bad()
    digest = hashlib.sha256(files[SEAL]).hexdigest()
    assert load_detector(good, digest).score_samples(history()).tobytes() == det.score_samples(history()).tobytes()
    shutil.rmtree(tmp_path / "bad")
    other = fitted(name, history() * 2 + 1)
    other.save(tmp_path / "bad")  # sound in itself, another model
    if {f.name: f.read_bytes() for f in (tmp_path / "bad").iterdir()} != files:
        refused("not the model that was recorded", sha256=digest)
    load_detector(good)


def test_a_list_of_sums_made_again_is_another_model(tmp_path):
    "Who changes a file and its sum needs the record, too."
    fitted("topk_z", history()).save(tmp_path)
    digest = hashlib.sha256((tmp_path / SEAL).read_bytes()).hexdigest()
    about = tmp_path / "detector.json"
    about.write_text(about.read_text().replace('"k": 3', '"k": 1'))
    assert seal(tmp_path) != digest and load_detector(tmp_path).k == 1
    with pytest.raises(UsageError, match="not the model that was recorded"):
        load_detector(tmp_path, digest)


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
    seal(tmp_path)
    with pytest.raises(UsageError, match="no saved detector"):
        load_detector(tmp_path)


def test_a_pickled_array_is_refused(tmp_path):
    fitted("max_z", history()).save(tmp_path)
    np.savez(tmp_path / "arrays.npz", past_=np.array([object()]))
    seal(tmp_path)
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
