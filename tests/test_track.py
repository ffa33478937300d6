"MLflow as a view: one run per detector, nothing twice, models that come back without pickle, a broken store that costs no result."
import hashlib, json, shutil

import numpy as np, pyarrow as pa
import pytest

from dsmon_research.config import SourceError, UsageError, atomic_write, dump_json, paths, write_parquet
from dsmon_research.detectors import make_detector, seal
from dsmon_research.result import FIGURES, read_metrics, write_metrics
from dsmon_research.track import _digest, champion, curves, log_result, open_store, sync

pytestmark = pytest.mark.xdist_group("track")   # one worker holds the store that these tests share
MEMBERS = ["max_z", "knn_z"]


def result(auc=.9):
    figures = dict.fromkeys(FIGURES, .5) | {"auc": auc}
    det = [dict(name=n, **figures, by_fault={"missing": dict(n=4, recall=.75, auc=None, by_magnitude={"0.05": dict(n=4, recall=.75)})}, ci={"auc": [.8, .95]}, reasons={})
           for n in (*MEMBERS, "ensemble")]
    return dict(dataset="toy", track="injected", config_hash="c", data_hash="d", package_version="0", git_commit=None, seeds=[0], n_updates=60, n_bad=6,
                budget=dict(alerts_per_month=1, alpha=1/30, updates_per_month=30), champion="ensemble", sensitivity=dict(sentence="made up", cells=[]), detectors=det)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    "A finished backtest of a made-up dataset: metrics, scores, durations and two fitted models."
    root = tmp_path_factory.mktemp("tracked")
    atomic_write(root/"params.yaml", f"inject: {{faults: {{}}}}\nbacktest: {{detectors: {MEMBERS}, members: {MEMBERS}}}\ndatasets: {{toy: {{source: 'files:in/*.csv'}}}}\n")
    write_metrics("toy", result(), root)
    X, rows = np.random.default_rng(0).normal(size=(60, 5)), []
    for m in MEMBERS:
        det = make_detector(m).fit(X)
        det.save(paths("toy", root).backtest/"models"/m)
        rows += [dict(detector=m, seed=seed, role="stream", label=int(seed == 0 and t % 10 == 0), score=float(s)+9*(seed == 0 and t % 10 == 0))
                 for seed in (-1, 0) for t, s in enumerate(det.score_samples(X))]
    write_parquet(paths("toy", root).backtest/"scores.parquet", pa.Table.from_pylist(rows))
    atomic_write(paths("toy", root).backtest/"timings.json", dump_json({m: {"fit_s": 1., "score_s": .1} for m in MEMBERS}))
    return root, X, log_result("toy", root)


def test_one_run_per_detector(project):
    root, _, new = project
    mlflow, client = open_store(root)
    runs = {r.data.tags["detector"]: r for r in client.search_runs([client.get_experiment_by_name("toy").experiment_id])}
    assert set(runs) == set(new) == {*MEMBERS, "ensemble"}
    for name, r in runs.items():
        assert r.info.status == "FINISHED" and r.data.metrics["auc"] == .9 and r.data.metrics["by_fault/missing/recall/0.05"] == .75
        assert (r.data.tags["data_hash"], r.data.tags["config_hash"], r.data.tags["stage"]) == ("d", "c", "backtest") and "git_commit" in r.data.tags
        assert r.data.tags["champion"] == str(name == "ensemble").lower()
    assert runs["max_z"].data.metrics["fit_s"] == 1 and "fit_s" not in runs["ensemble"].data.metrics
    assert len(client.get_metric_history(new["max_z"], "curve/precision_at_recall_pct")) == 101
    shown = json.loads(mlflow.artifacts.load_text(f"runs:/{new['max_z']}/detector.json"))
    assert shown == read_metrics("toy", root).detectors[0].model_dump(mode="json")


def test_nothing_twice_and_changes_once(project):
    root, _, new = project
    assert sync(root) == {"toy": {}}
    write_metrics("toy", result(auc=.7), root)
    assert set(sync(root)["toy"]) == set(new)
    write_metrics("toy", result(), root)
    assert sync(root) == {"toy": {}}


def test_models_come_back_without_pickle(project):
    root, X, _ = project
    mlflow, client = open_store(root)
    champion = mlflow.pyfunc.load_model("models:/toy@champion")
    absurd = np.vstack([np.zeros(5), [9, 0, 0, 0, 0]])
    low, high = champion.predict(absurd)
    assert np.isfinite([low, high]).all() and high > low+1
    experiment = client.get_experiment_by_name("toy").experiment_id
    models = {m.source_run_id: m for m in client.search_logged_models(experiment_ids=[experiment])}
    run = client.search_runs([experiment], "tags.detector = 'knn_z'")[-1].info.run_id
    back = mlflow.pyfunc.load_model(models[run].model_uri)
    np.testing.assert_array_equal(back.predict(X), make_detector("knn_z").fit(X).score_samples(X))
    assert not [f for f in (root/"mlruns").rglob("*") if f.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle")]


def test_a_logged_model_is_loaded_only_as_it_was_recorded(project):
    "One bit of any file in MLflow's store; a model swapped whole; one without a record: each is refused, the next day's sound one is loaded."
    root, X, new = project
    mlflow, client = open_store(root)
    tag = client.get_run(new["ensemble"]).data.tags["model_sha256"]
    want = champion("toy", root).predict(X)
    version = client.get_model_version_by_alias("toy", "champion")
    folder, = [f.parent for f in (root/"mlruns").rglob("ensemble.json") if hashlib.sha256((f.parent/"SHA256SUMS").read_bytes()).hexdigest() == tag and version.source.rsplit("/", 1)[-1] in str(f)]
    files = [f for f in folder.rglob("*") if f.is_file()]
    assert len(files) == 2+len(MEMBERS)*3
    for f in files:
        raw = f.read_bytes(); f.write_bytes(raw[:-2]+bytes([raw[-2] ^ 4])+raw[-1:])
        for load in (lambda: champion("toy", root), lambda: mlflow.pyfunc.load_model("models:/toy@champion")):
            with pytest.raises(UsageError, match="nothing was loaded"): load()
        f.write_bytes(raw)
    about = (folder/"ensemble.json").read_bytes()
    (folder/"ensemble.json").write_text(json.dumps(dict(members=MEMBERS[:1]))); sums = (folder/"SHA256SUMS").read_bytes(); seal(folder)
    with pytest.raises(UsageError, match="not the model that was recorded"): champion("toy", root)
    (folder/"ensemble.json").write_bytes(about); (folder/"SHA256SUMS").write_bytes(sums)
    with pytest.raises(UsageError, match="without its SHA-256"): mlflow.pyfunc.load_model("models:/toy@champion", model_config={"sha256": ""})
    np.testing.assert_array_equal(champion("toy", root).predict(X), want)
    with pytest.raises(UsageError, match="no champion of 'other'"): champion("other", root)


def test_a_changed_model_is_not_logged(project, tmp_path):
    root, *_ = project
    at = shutil.copytree(paths("toy", root).backtest/"models/knn_z", tmp_path/"knn_z")
    assert _digest(at) == hashlib.sha256((at/"SHA256SUMS").read_bytes()).hexdigest()
    (at/"arrays.npz").write_bytes(b"PK")
    with pytest.raises(UsageError, match="'arrays.npz' is not what was saved"): _digest(at)


def test_all_below_mlruns(project):
    root, *_ = project
    assert {p.name for p in root.iterdir()} == {"params.yaml", "metrics", "data", "mlruns"}
    assert (root/"mlruns/mlflow.db").is_file() and (root/"mlruns/artifacts/toy").is_dir()


def test_a_broken_run_does_not_count(project, monkeypatch):
    "If logging breaks off, the run is marked failed, the error is one line, and the next sync logs it."
    import mlflow
    root, *_ = project
    write_metrics("toy", result(auc=.6), root)
    def full(*a, **k): raise OSError(28, "No space left on device")
    with monkeypatch.context() as m:
        m.setattr(mlflow.MlflowClient, "log_text", full)
        with pytest.raises(SourceError, match="No space left"): log_result("toy", root)
    client = open_store(root)[1]
    states = [r.info.status for r in client.search_runs([client.get_experiment_by_name("toy").experiment_id])]
    assert states.count("FAILED") == 1 and "RUNNING" not in states
    assert len(log_result("toy", root)) == 3


def test_a_store_that_is_none(project, tmp_path):
    root, *_ = project
    for f in ("params.yaml", "metrics/toy.json"): atomic_write(tmp_path/f, (root/f).read_bytes())
    atomic_write(tmp_path/"mlruns/mlflow.db", "not a database "*99)
    before = (tmp_path/"metrics/toy.json").read_bytes()
    with pytest.raises(SourceError, match="metrics/ is complete"): log_result("toy", tmp_path)
    assert (tmp_path/"metrics/toy.json").read_bytes() == before


def test_infinity_is_refused_before_it_is_stored(project):
    root, *_ = project
    bad = json.loads(paths("toy", root).metrics.read_text())
    bad["detectors"][0]["auc"] = float("inf")
    atomic_write(root/"metrics/toy.json", json.dumps(bad))
    with pytest.raises(UsageError, match="finite"): log_result("toy", root)
    write_metrics("toy", result(), root)


def test_curve_area_is_the_auc():
    from sklearn.metrics import roc_auc_score
    r = np.random.default_rng(3)
    for ties in (1, .5):
        label = r.integers(0, 2, 400); score = np.round((r.normal(size=400)+label)/ties)*ties
        c = curves(label, score)
        assert abs(np.trapezoid(c["tpr"], c["fpr"])-roc_auc_score(label, score)) < .01
        assert c["precision"] == sorted(c["precision"], reverse=True) and c["tpr"] == sorted(c["tpr"])
    assert curves([1, 1], [0, 1]) == {}
