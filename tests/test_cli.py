"The command line as a scheduler meets it: exit codes, one line per mistake, one JSON object, nothing half written."
import json, shutil
from types import SimpleNamespace

import pyarrow as pa, pyarrow.csv as pcsv
import pytest

from conftest import BIN, ROOT, files, run
from dsmon_research.cli import main
from dsmon_research.collect import updates

OK, WRONG, UNHEALTHY, UNKNOWN, UNREACHABLE = 0, 2, 3, 4, 5


@pytest.fixture(scope="session")
def days():
    return list(updates("example:flights"))[35:41]


@pytest.fixture(scope="session")
def shop(tmp_path_factory, days):
    "A folder with six real updates of 300 rows, and params.yaml as the package ships it plus the dataset `shop`."
    at = tmp_path_factory.mktemp("shop")
    (at/"in").mkdir(); (at/"empty").mkdir()
    for u in days: pcsv.write_csv(u.read().slice(0, 300), at/"in"/f"{u.id}.csv")
    done = run(BIN/"dsmon", "init", "shop", "--source", "files:in/*.csv", cwd=at)
    assert done.returncode == OK, done.stderr
    return at


@pytest.fixture
def project(shop, tmp_path, monkeypatch):
    "A copy of it, entered."
    at = shutil.copytree(shop, tmp_path/"project")
    monkeypatch.delenv("DSMON_ROOT", raising=False); monkeypatch.chdir(at)
    return at


@pytest.fixture
def dsmon(capsys):
    "The command line in this process: exit code and what it printed."
    def call(*args):
        capsys.readouterr()
        code = main(list(args))
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)
    return call


def edit(project, old, new):
    file = project/"params.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def one_line(done, code, *words):
    "The documented exit code and exactly one line that says what is wrong."
    assert done.returncode == code, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1 and done.stderr.startswith("dsmon: "), done.stderr
    assert not [w for w in words if w not in done.stderr], done.stderr


MISTAKES = {
    "no verb": ([], WRONG, ["VERB"]),
    "unknown verb": (["asses", "shop"], WRONG, ["asses"]),
    "unknown option": (["assess", "shop", "--fast"], WRONG, ["--fast"]),
    "missing file": (["profile", "absent.csv"], UNREACHABLE, ["absent.csv"]),
    "a folder as file": (["profile", "in"], UNREACHABLE, ["in"]),
    "missing previous": (["profile", "in/2013-02-08.csv", "--previous", "absent.csv"], UNREACHABLE, ["absent.csv"]),
    "missing key column": (["profile", "in/2013-02-08.csv", "--key", "id"], WRONG, ["'id'"]),
    "profile as page": (["profile", "in/2013-02-08.csv", "--out", "p.html"], WRONG, [".json"]),
    "no source": (["init", "other"], WRONG, ["--source"]),
    "unknown scheme": (["init", "other", "--source", "ftp:x/*.csv"], WRONG, ["scheme 'ftp'"]),
    "empty folder": (["init", "other", "--source", "files:empty/*.csv"], UNREACHABLE, ["no file matches"]),
    "missing folder": (["init", "other", "--source", "files:absent/*.csv"], UNREACHABLE, ["no file matches"]),
    "unsafe name": (["init", "../up", "--source", "files:in/*.csv"], WRONG, ["dataset name"]),
    "existing name": (["init", "shop", "--source", "files:in/*.csv"], WRONG, ["--force"]),
    "missing init key": (["init", "other", "--source", "files:in/*.csv", "--key", "id"], WRONG, ["'id'"]),
    "unknown dataset": (["stage", "collect", "shpo"], WRONG, ["'shpo'", "shop"]),
    "unknown dataset, assess": (["assess", "shpo"], WRONG, ["'shpo'", "shop"]),
    "unknown stage": (["stage", "clean", "shop"], WRONG, ["'clean'"]),
    "stage without dataset": (["stage", "collect"], WRONG, ["NAME"]),
    "stage before its inputs": (["stage", "inject", "shop"], WRONG, ["dsmon stage collect shop"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(dsmon, project, mistake):
    command, code, words = MISTAKES[mistake]
    before = files(project)
    one_line(dsmon(*command), code, *words)
    assert files(project) == before, "a mistake left something behind"


def test_a_mistake_in_json(dsmon, project):
    done = dsmon("assess", "shpo", "--json")
    got = json.loads(done.stdout)
    assert (done.returncode, got["exit_code"]) == (WRONG, WRONG) and "'shpo'" in got["error"]


BROKEN = {
    "unknown detector": ("detectors: [last_value,", "detectors: [lastvalue,", ["backtest", "shop"], ["lastvalue"]),
    "unknown key": ("  prevalence:", "  prevalance:", ["stage", "collect", "shop"], ["prevalance"]),
    "out of range": ("prevalence: 0.04", "prevalence: 4", ["stage", "collect", "shop"], ["inject.prevalence"]),
    "torn YAML": ("datasets:", "datasets: [", ["stage", "collect", "shop"], ["params.yaml, line"]),
    "double key": ("seed: 2013", "seed: 2013\nseed: 2014", ["stage", "collect", "shop"], ["params.yaml, line"]),
    "init on torn YAML": ("datasets:", "datasets: [", ["init", "other", "--source", "files:in/*.csv"], ["params.yaml, line"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_configuration(dsmon, project, case):
    old, new, command, words = BROKEN[case]
    edit(project, old, new)
    before = files(project)
    one_line(dsmon(*command), WRONG, *words)
    assert files(project) == before


def test_no_project(tmp_path, monkeypatch, dsmon):
    monkeypatch.chdir(tmp_path)
    one_line(dsmon("assess", "shop"), WRONG, "no params.yaml", "dsmon init")
    assert files(tmp_path) == {}


def test_init_outside_a_project_starts_one(project):
    "The same sections and comments as the package's own file, only its datasets left out."
    got, ours = (project/"params.yaml").read_text(), (ROOT/"params.yaml").read_text()
    head, _, block = got.partition("datasets:")
    assert head == ours.partition("datasets:")[0]
    assert "files:in/*.csv" in block and "flights:" not in block


def test_init_keeps_the_rest(dsmon, project):
    edit(project, "seed: 2013", "seed: 7   # ours")
    before = (project/"params.yaml").read_text()
    assert dsmon("init", "more", "--source", "files:in/*.csv", "--key", "flight,dep_time").returncode == OK
    after = (project/"params.yaml").read_text()
    assert after.startswith(before) and "more:" in after[len(before):] and "key: [flight, dep_time]" in after
    assert dsmon("init", "more", "--source", "files:in/*.csv", "--force").returncode == OK
    assert (project/"params.yaml").read_text().count("more:") == 1


def test_profile(dsmon, project):
    done = dsmon("profile", "in/2013-02-08.csv", "--previous", "in/2013-02-07.csv", "--key", "flight,dep_time", "--out", "p.json", "--json")
    got = json.loads(done.stdout)
    assert (done.returncode, done.stderr, got["table"]["rows"], len(got["columns"])) == (OK, "", 300, 19)
    assert got["table"]["created_share"] > .5 and json.loads((project/"p.json").read_text()) == got
    text = dsmon("profile", "in/2013-02-08.csv").stdout
    assert "dep_time" in text and "\x1b" not in text


def test_update_without_rows(dsmon, project):
    "A header alone, an empty file and a file of nulls are facts to judge, not crashes."
    (project/"in/2013-02-12.csv").write_text((project/"in/2013-02-08.csv").read_text().splitlines()[0]+"\n")
    (project/"in/2013-02-13.csv").write_text("")
    for stage in ("collect", "profile"):
        done = dsmon("stage", stage, "shop")
        assert done.returncode == OK, done.stderr
    got = json.loads(dsmon("profile", "in/2013-02-12.csv", "--json").stdout)
    assert got["table"]["rows"] == 0 and len(got["columns"]) == 19


def test_update_with_a_column_less(dsmon, project, days):
    "A column that vanished is judged, also when it belongs to the key."
    key = json.loads(dsmon("init", "k", "--source", "files:in/*.csv", "--json").stdout)["block"]["key"]
    less = days[-1].read().slice(0, 300).drop_columns(key[:1])
    pcsv.write_csv(less, project/"in/2013-02-12.csv")
    for stage in ("collect", "profile"):
        done = dsmon("stage", stage, "shop")
        assert done.returncode == OK, done.stderr


def test_broken_update_keeps_the_old(dsmon, project):
    "A file that cannot be read stops the stage; what was collected stays as it was."
    assert dsmon("stage", "collect", "shop").returncode == OK
    before = files(project/"data")
    (project/"in/2013-02-12.csv").write_bytes(b"\x1f\x8b\x08 not text")
    one_line(dsmon("stage", "collect", "shop"), UNREACHABLE, "2013-02-12.csv", "gzip")
    assert files(project/"data") == before


def test_stage_json_and_state(dsmon, project):
    done = dsmon("stage", "collect", "shop", "--json")
    assert json.loads(done.stdout) == {"stage": "collect", "dataset": "shop", "outputs": ["data/shop/updates"]}
    assert set(json.loads((project/"data/shop/.state.json").read_text())) == {"collect"}


def test_short_history_cannot_be_judged(dsmon, project):
    "Six updates are too few for any budget: exit 4, the missing stages run first and only once, and the same said in JSON."
    first = dsmon("assess", "shop")
    assert first.returncode == UNKNOWN, first.stderr
    assert "collect shop" in first.stderr and "profile shop" in first.stderr
    again = dsmon("assess", "shop", "--json")
    assert (again.returncode, json.loads(again.stdout)["verdict"]) == (UNKNOWN, "unknown")
    assert "collect" not in again.stderr, "nothing was stale"


def test_as_a_process(project):
    "The installed command gives the same code, one line and no traceback."
    one_line(run(BIN/"dsmon", "assess", "shpo", cwd=project), WRONG, "'shpo'")
    assert run("bash", "-c", "dsmon --help | head -n 1", cwd=project).stdout.startswith("usage: dsmon")


def test_source_gone(dsmon, project):
    shutil.rmtree(project/"in")
    one_line(dsmon("assess", "shop"), UNREACHABLE, "no file matches")


def test_hostile_column_names_stay_on_one_line(dsmon, project):
    table = pa.table({"a\nb\x1b[31m": ["1"], "c": ["2"]})
    pcsv.write_csv(table, project/"x.csv")
    one_line(dsmon("profile", "x.csv", "--key", "nope"), WRONG, "nope")


def test_help_and_version():
    for args in (["--help"], ["init", "--help"], ["--version"]):
        done = run(BIN/"dsmon", *args)
        assert done.returncode == OK and done.stdout and not done.stderr
