"""The report as a whole: declared parameters only, whole or nothing, the same bytes twice, hostile input inert, clear words for what is missing."""
import json, os, random, re, signal, subprocess, sys, time
from html.parser import HTMLParser
from pathlib import Path

import pytest

import report_fixture as fx
from dsmon_research import report as rp
from dsmon_research.config import UsageError, paths

HERE = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _importable(monkeypatch):  # the kernel starts in another folder
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("DSMON_ROOT", raising=False)


@pytest.fixture
def small(tmp_path): return fx.project(tmp_path/"p", ("tiny",), n=45, with_metrics=False)


class Tags(HTMLParser):
    def __init__(self): super().__init__(); self.tags, self.attrs = [], []
    def handle_starttag(self, tag, attrs): self.tags.append(tag); self.attrs += attrs


def tags(page):
    t = Tags(); t.feed(page)
    return t


def test_unknown_parameter_is_refused(small):
    with pytest.raises(UsageError, match="unknown parameter 'datset'.*declares dataset, root"):
        rp.run_notebook(HERE/"nbs/reports/health.ipynb", small, datset="tiny")
    with pytest.raises(UsageError, match="unknown parameter"):
        rp.run_notebook(HERE/"nbs/reports/health.ipynb", small, **{"dataset='x'\nopen('pwned','w')#": 1})
    assert not (small/"pwned").exists()


def test_the_notebook_keeps_its_parameters_tag():
    nb = json.loads((HERE/"nbs/reports/health.ipynb").read_text())
    assert [c["metadata"].get("tags") for c in nb["cells"]].count(["parameters"]) == 1
    assert not any(c.get("outputs") for c in nb["cells"])


def test_two_runs_give_the_same_bytes(tmp_path):
    root = fx.project(tmp_path/"p", ("taxi",), n=60)
    first = {}
    for turn in range(2):
        assert rp.report("taxi", root) == paths("taxi", root).report/"index.html"
        assert rp.compare(root) == root/"reports"/"index.html"
        now = {str(f.relative_to(root)): f.read_bytes() for f in sorted((root/"reports").rglob("*")) if f.is_file()}
        assert sorted(now) == ["reports/compare.ipynb", "reports/index.html", "reports/taxi/index.html", "reports/taxi/report.ipynb"]
        assert not turn or now == first
        first = now
    nb = json.loads(first["reports/taxi/report.ipynb"])
    assert "papermill" not in nb["metadata"] and str(tmp_path) not in json.dumps(nb)
    assert 'href="taxi/index.html"' in first["reports/index.html"].decode()


RUN = "import sys; from dsmon_research.report import report; report(sys.argv[1], sys.argv[2])"


def killed(root, until):
    p = subprocess.Popen([sys.executable, "-c", RUN, "tiny", str(root)], cwd=HERE, start_new_session=True, stderr=subprocess.DEVNULL)
    end = time.monotonic()+120
    while p.poll() is None and time.monotonic() < end and not until(): time.sleep(.01)
    os.kill(p.pid, signal.SIGKILL); p.wait()


def test_a_killed_run_leaves_nothing_that_looks_whole(small, tmp_path):
    other = fx.project(tmp_path/"q", ("tiny",), n=45, with_metrics=False)
    rp.report("tiny", other)
    whole = {f: (paths("tiny", other).report/f).read_bytes() for f in ("index.html", "report.ipynb")}
    folder = paths("tiny", small).report
    for seconds in random.Random(4).choices([.3, .7, 1.2, 2, 2.5, 3, 4, 5, 6, 8], k=40) if os.environ.get("DSMON_SOAK") else (.3, 2.5, 5):
        end = time.monotonic()+seconds
        killed(small, lambda end=end: time.monotonic() > end)
        for f in folder.glob("[!.]*"): assert f.read_bytes() == whole[f.name]
    for f in folder.glob("*"): f.unlink()
    killed(small, (folder/"index.html").exists)  # the page is there, the run is not over
    for f in folder.glob("[!.]*"): assert f.read_bytes() == whole[f.name]
    rp.report("tiny", small)
    assert {f.name: f.read_bytes() for f in folder.glob("[!.]*")} == whole


def test_hostile_names_and_cells_are_text(tmp_path):
    root = fx.project(tmp_path/"p", ("taxi",), column=fx.NASTY, event=fx.NASTY)
    page = rp.render_report(rp.load_report("taxi", root))
    t = tags(page)
    assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & set(t.tags)
    assert not [k for k, _ in t.attrs if k.startswith("on")]
    assert "\u202e" not in page and "{{7*7}}" in page
    links = [v for k, v in t.attrs if k in ("href", "src") and not v.startswith("#")]
    assert sorted(links) == ["../index.html", "data:,"]


def test_a_hostile_report_runs_as_a_notebook(tmp_path):
    root = fx.project(tmp_path/"p", ("tiny",), n=45, column=fx.NASTY, event=fx.NASTY, with_metrics=False)
    rp.report("tiny", root)
    nb = json.loads((paths("tiny", root).report/"report.ipynb").read_text())
    html = "".join("".join(o["data"]["text/html"]) for c in nb["cells"] for o in c.get("outputs", []) if "text/html" in o.get("data", {}))
    assert "<table" in html and "script" not in tags(html).tags


def test_a_page_follows_the_policy(tmp_path):
    root = fx.project(tmp_path/"p", ("taxi",))
    page = rp.render_report(rp.load_report("taxi", root))
    assert re.search(r"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and "script" not in tags(page).tags


@pytest.mark.parametrize("kwargs, words", [
    (dict(verdict="unknown", n=10, with_metrics=False), ["Cannot judge yet", "12 more updates are needed", "Not measured yet"]),
    (dict(verdict="healthy"), ["Healthy", "No metric is far from what was expected"]),
    (dict(verdict="unhealthy", reasons=0), ["Unhealthy", "No single metric stands out"]),
    (dict(verdict="unknown", n=1, with_metrics=False), ["Cannot judge yet"])])
def test_what_is_missing_is_said(tmp_path, kwargs, words):
    root = fx.project(tmp_path/"p", ("taxi",), **kwargs)
    page = rp.render_report(rp.load_report("taxi", root))
    for w in words: assert w in page


def test_profile_and_metrics_may_be_missing(tmp_path):
    root = fx.project(tmp_path/"p", ("taxi",), with_metrics=False)
    for f in paths("taxi", root).profile.iterdir(): f.unlink()
    page = rp.render_report(rp.load_report("taxi", root))
    assert "Not known: run" in page and "Rows created, updated and deleted are not known" in page


@pytest.mark.parametrize("file", ["verdict.json", "history.parquet", "reasons.parquet", "bands.parquet"])
def test_a_missing_input_names_the_command(small, file):
    (getattr(paths("tiny", small), "assess" if file == "verdict.json" else "backtest")/file).unlink()
    with pytest.raises(UsageError, match=rf"{file} is missing: run `dsmon report tiny`"): rp.report("tiny", small)
    assert not paths("tiny", small).report.exists()


def test_a_torn_verdict_is_named(small):
    f = paths("tiny", small).assess/"verdict.json"
    f.write_text(f.read_text()[:40])
    with pytest.raises(UsageError, match="verdict.json is not whole"): rp.report("tiny", small)


def test_front_page_without_any_backtest(tmp_path):
    root = fx.project(tmp_path/"p", ("taxi",))
    for f in (*paths("taxi", root).backtest.iterdir(), *paths("taxi", root).assess.iterdir()): f.unlink()
    page = rp.render_index(rp.load_index(root))
    assert "Never judged: run <code>dsmon report taxi</code>" in page and "Nothing to compare yet" in page
