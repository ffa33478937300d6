"Hygiene of the repository itself: what a clean checkout must look like."
import ast, configparser, json, re, tomllib

import pytest

from conftest import BIN, ROOT, files, run, tracked

NOTEBOOKS = sorted(f for f in tracked() if f.endswith(".ipynb"))
PROJECT = tomllib.loads((ROOT/"pyproject.toml").read_text())


def cells(notebook, kind=None):
    got = json.loads((ROOT/notebook).read_text())["cells"]
    return [c | {"source": "".join(c["source"])} for c in got if kind in (None, c["cell_type"])]


def test_two_settings_files_agree():
    ini = configparser.ConfigParser(); ini.read(ROOT/"settings.ini")
    old, project, nbdev = ini["DEFAULT"], PROJECT["project"], PROJECT["tool"]["nbdev"]
    version = re.search(r'__version__ = "(.+)"', (ROOT/"dsmon_research/__init__.py").read_text())[1]
    assert (old["lib_name"], old["version"]) == (project["name"], version)
    assert project["requires-python"].startswith(f">={old['min_python']},")
    assert (old["lib_path"], old["nbs_path"]) == (nbdev["lib_path"], nbdev["nbs_path"])
    assert (old["license"], project["license"]) == ("apache2", "Apache-2.0") and "Apache License" in (ROOT/"LICENSE").read_text()


def test_notebooks_are_clean_and_exported(checkout):
    before = files(checkout)
    for old in (checkout/"dsmon_research").glob("*.py"):
        if old.name != "__init__.py": old.unlink()          # a module whose notebook is gone does not come back
    for tool in ("nbdev-clean", "nbdev-export"):
        done = run(BIN/tool, cwd=checkout)
        assert done.returncode == 0, done.stderr
    after = files(checkout)
    different = sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f) and "__pycache__" not in f)
    assert not different, f"not what nbdev-clean and nbdev-export make (or orphaned): {different}"


def test_ruff():
    done = run(BIN/"ruff", "check", "--no-cache", "--output-format", "concise", ".")
    assert done.returncode == 0, done.stdout


def test_lock_has_hashes_and_no_address():
    text = (ROOT/"requirements.lock").read_text()
    blocks = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert len(blocks) > 200
    assert not [b.split()[0] for b in blocks if "--hash=sha256:" not in b]
    assert "://" not in text and "index-url" not in text
    locked = {b.split("==")[0] for b in blocks}
    wanted = [*PROJECT["project"]["dependencies"], *sum(PROJECT["project"]["optional-dependencies"].values(), [])]
    names = {re.split(r"[^A-Za-z0-9._-]", w)[0].lower().replace("_", "-").replace(".", "-") for w in wanted}
    assert names <= locked, f"not in the lock, run `make lock`: {names-locked}"


def test_no_machine_in_the_files():
    "No registry's host, no path of the machine where it was made, no traceback of a user's folder."
    hosts = "|".join(["py"+r"pi\.org", "python"+r"hosted\.org", "npm"+r"js\.(?:org|com)", "deb"+r"ian\.org"])
    places = "|".join([r"/(?:root|work|home)/[\w.]", r"/tmp/(?:tmp\w|dsmon)", r"/usr/local/lib/python", r"site-packages/"])
    bad = re.compile(rf"{hosts}|(?<![\w.~…]){places}")
    text = {f: (ROOT/f).read_bytes().decode("utf-8", "replace") for f in tracked() if f != "tests/test_repo.py"}
    found = {f: m[0] for f, t in text.items() if (m := bad.search(t))}
    assert not found


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_teaches(notebook):
    "A chapter, not a script: H1 and subtitle, prose, small exported cells, nothing hidden that matters, no error left in."
    all_, code = cells(notebook), cells(notebook, "code")
    assert re.match(r"# \S.*\n\n?(.|\n)*> ", all_[0]["source"]), "starts with an H1 and a > subtitle"
    assert len(cells(notebook, "markdown")) >= .3*len(all_), "less than 30 % prose"
    assert sum("#| hide" in c["source"] for c in code) <= .25*len(all_), "more than 25 % hidden"
    exported = [c["source"] for c in code if re.match(r"#\|\s*export", c["source"])]
    assert not [c for c in code if re.search(r"(?m)^#\|\s*export", c["source"]) and c["source"] not in exported], "#| export must be a cell's first line"
    too_long = [c.splitlines()[1] for c in exported if len(c.splitlines()) > 46]
    assert not too_long, f"exported cells of more than 45 lines: {too_long}"
    assert not [o for c in code for o in c["outputs"] if o["output_type"] == "error"]


def test_code_keeps_the_promises():
    "No swallowed exception, no global random state, no pickle, nothing left to do."
    for f in tracked():
        if not f.startswith("dsmon_research/") or not f.endswith(".py"): continue
        text = (ROOT/f).read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler): assert not all(isinstance(s, ast.Pass) for s in node.body), f"{f}:{node.lineno} swallows an exception"
        assert not re.search(r"np\.random\.(?!default_rng|Generator|SeedSequence)\w+\(|^\s*import pickle|\bTODO\b|\bFIXME\b", text, re.M), f


def test_import_is_light():
    heavy = ("tensorflow", "mlflow", "pyod", "sklearn", "matplotlib", "pandas", "duckdb", "dvc", "pydantic")
    for module, but in (("dsmon_research", ()), ("dsmon_research.cli", ()), ("dsmon_research.profile", ())):
        done = run(BIN/"python", "-c", f"import {module}, sys; print([m for m in {heavy!r} if m in sys.modules and m not in {but!r}])")
        assert done.stdout.strip() == "[]", f"import {module}: {done.stdout}{done.stderr}"
    names = [f.stem for f in (ROOT/"dsmon_research").glob("[a-z]*.py")]
    lines = "".join(f"import dsmon_research.{n}\n" for n in names)
    done = run(BIN/"python", "-c", f"{lines}import sys; print([m for m in ('tensorflow', 'mlflow', 'pyod') if m in sys.modules])")
    assert done.stdout.strip() == "[]", f"imported by a module of ours: {done.stdout}{done.stderr}"
