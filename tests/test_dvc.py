"The pipeline's graph: what re-runs after which edit, and that each stage declares what it reads and nothing else."
import json, shutil, subprocess

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from conftest import BIN, ROOT, copy_to, run
from dsmon_research.config import load_params
from dsmon_research.stages import STAGES, modules

PIPELINE = YAML(typ="safe", pure=True).load((ROOT/"dvc.yaml").read_text())["stages"]
DATASETS = list(load_params(ROOT).datasets)


def dvc(folder, *args):
    done = run(BIN/"dvc", *args, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    "A clone in which every stage counts as run: stand-ins for the outputs, committed to DVC without running anything."
    checkout = copy_to(tmp_path_factory.mktemp("dvc")/"clone")
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    outs = {"updates": "data", "profile": "data", "inject": "data", "backtest": "data", "assess": "data"}
    for name in DATASETS:
        for part, top in outs.items(): write(checkout/top/name/part/"x", f"{name} {part}")
        write(checkout/"reports"/name/"index.html", name); write(checkout/f"metrics/{name}.json", json.dumps({"name": name})); write(checkout/f"metrics/{name}.sensitivity.json", json.dumps({"name": name}))
    for page in ("index.html", "compare.ipynb"): write(checkout/"reports"/page, "all")
    dvc(checkout, "commit", "--force", "--quiet")
    return checkout


@pytest.fixture
def finished(ran, tmp_path, monkeypatch):
    "A copy of that clone, entered."
    at = shutil.copytree(ran, tmp_path/"clone", symlinks=True)
    monkeypatch.chdir(at)
    return at


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def changed(folder):
    "Stages whose own inputs differ from those of their last run."
    with Repo(folder) as repo: return set(repo.status())


def reruns(folder):
    "Stages that `dvc repro` would run."
    with Repo(folder) as repo: return {stage.addressing for stage in repo.reproduce(dry=True)}


def test_every_dataset_has_every_stage(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    got = set(dvc(checkout, "stage", "list", "--name-only").split())
    want = {f"{s}@{d}" for s in STAGES for d in DATASETS} | {"compare"}
    assert got == want == changed(checkout)


@pytest.mark.parametrize("stage", [*STAGES, "compare"])
def test_deps_are_what_the_code_imports(stage):
    "The exported modules among the deps are the module that runs, and all it imports: none missing, none too many."
    block = PIPELINE[stage].get("do", PIPELINE[stage])
    declared = {d for d in block["deps"] if d.startswith("dsmon_research/")}
    assert declared == {f"dsmon_research/{m}.py" for m in modules(STAGES[stage].module if stage in STAGES else "report")}


@pytest.mark.parametrize("stage", STAGES)
def test_table_of_stages_agrees(stage):
    "`dsmon assess` and `dvc repro` mean the same stages."
    block, st = PIPELINE[stage]["do"], STAGES[stage]
    assert block["cmd"] == f"dsmon stage {stage} ${{key}}"
    assert set(block["params"]) == {"datasets.${key}", *st.reads}
    made = {s: {*PIPELINE[s]["do"].get("outs", []), *(k for m in PIPELINE[s]["do"].get("metrics", []) for k in m)} for s in STAGES}
    read = {d for d in block["deps"] if d.startswith(("data/", "metrics/"))}
    assert read == set().union(*(made[s] for s in st.needs))
    assert {d for d in block["deps"] if d.startswith("nbs/")} == ({st.notebook} if st.notebook else set())


def test_second_run_does_nothing(finished):
    assert changed(finished) == reruns(finished) == set()


def test_one_datasets_block_reruns_that_dataset(finished):
    edit(finished/"params.yaml", "New Year's Day", "New Year")
    assert changed(finished) == {f"{s}@flights" for s in STAGES} | {"compare"}
    assert reruns(finished) == changed(finished)


def test_a_new_dataset_reruns_no_other(finished):
    with (finished/"params.yaml").open("a") as f: f.write("  extra:\n    source: example:weather\n")
    assert changed(finished) == {f"{s}@extra" for s in STAGES} | {"compare"}


@pytest.mark.parametrize("section, edited, stages", [
    ("profile", ("max_values: 4096", "max_values: 512"), ["profile", "inject", "sensitivity"]),
    ("inject", ("max_duration: 7", "max_duration: 5"), ["inject"]),
    ("backtest", ("bootstrap: 200", "bootstrap: 100"), ["backtest", "sensitivity", "assess"]),
    ("sensitivity", ("updates: 12", "updates: 11"), ["sensitivity"]),
    ("warm-up", ("warmup: 8", "warmup: 9"), ["inject", "backtest", "sensitivity", "assess"]),
])
def test_a_section_reruns_its_stages(finished, section, edited, stages):
    edit(finished/"params.yaml", *edited)
    assert changed(finished) == {f"{s}@{d}" for s in stages for d in DATASETS}


def test_prose_reruns_nothing(finished):
    for nb in (finished/"nbs").glob("*.ipynb"):
        doc = json.loads(nb.read_text())
        next(c for c in reversed(doc["cells"]) if c["cell_type"] == "markdown")["source"].append("\nOne sentence more.")
        nb.write_text(json.dumps(doc, indent=1, ensure_ascii=False)+"\n")
    done = run(BIN/"nbdev-export", cwd=finished)
    assert done.returncode == 0, done.stderr
    assert changed(finished) == set()


def test_dvc_reports_to_nobody_and_ignores_what_it_should():
    assert run(BIN/"dvc", "config", "core.analytics").stdout.strip() == "false"
    for path in ("data/flights/updates", "mlruns/mlflow.db", "reports/index.html"):
        assert run("git", "check-ignore", path).returncode == 0, f"{path} would be committed"
    for path in ("data/README.md", "mlruns/README.md", "metrics/flights.json", "metrics/flights.sensitivity.json", "dvc.lock"):
        assert run("git", "check-ignore", path).returncode == 1, f"{path} would be ignored"
