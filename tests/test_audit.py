"What is installed against what was locked: every way in which they can differ is found, and this environment has none."
import base64, hashlib, json, runpy, sys, threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import ROOT, run

audit = runpy.run_path(str(ROOT/"scripts"/"audit.py"))
TODAY, HASH = date(2026, 12, 1), "--hash=sha256:"+64*"a"
LOCK = f"alpha==1.0 \\\n    {HASH}\n    # via beta\nbeta-two==2.1 ; python_full_version >= '3.8' \\\n    {HASH} \\\n    {HASH}\nonly-there==3 ; sys_platform == 'nowhere' \\\n    {HASH}\n"
PIP = "- {name: pip, reason: made with the environment, until: 2026-12-01}\n"


def install(folder, name, version, **files): # as an installer leaves it
    info = folder/f"{name.replace('-', '_')}-{version}.dist-info"; info.mkdir(parents=True)
    files = {f"{name.replace('-', '_')}.py": f"# {name}\n"} | files
    for f, text in files.items(): (folder/f).write_text(text)
    (info/"METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    digest = lambda p: base64.urlsafe_b64encode(hashlib.sha256(p.read_bytes()).digest()).rstrip(b"=").decode()
    named = [*files, f"{info.name}/METADATA"]
    (info/"RECORD").write_text("".join(f"{f},sha256={digest(folder/f)},{(folder/f).stat().st_size}\n" for f in named)+f"{info.name}/RECORD,,\n")
    return info


@pytest.fixture
def place(tmp_path):
    packages = tmp_path/"packages"
    for name, version in (("alpha", "1.0"), ("Beta_Two", "2.1"), ("pip", "26"), ("dsmon_research", "0")): install(packages, name, version)
    (tmp_path/"lock").write_text(LOCK); (tmp_path/"audit.yaml").write_text(PIP)
    return tmp_path

def found(place, today=TODAY): return audit["audit"](place/"lock", place/"audit.yaml", today, [str(place/"packages")])


def test_all_is_as_it_should_be(place):
    got = found(place)
    assert (got.code, got.problems, got.notes) == (0, [], []) and (got.installed, got.audited, got.locked, got.own, len(got.excepted)) == (4, 4, 2, 1, 1) and (got.files, got.unrecorded) == (8, 4)


def put(path, text): path.write_text(text)

CHANGES = {
    "one more": (lambda p: install(p/"packages", "gamma", "1"), "gamma 1 is installed, the lock does not have it"),
    "another version": (lambda p: put(p/"lock", LOCK.replace("alpha==1.0", "alpha==1.1")), "alpha 1.0 is installed, the lock has 1.1"),
    "without a hash": (lambda p: put(p/"lock", LOCK.replace(f"alpha==1.0 \\\n    {HASH}", "alpha==1.0")), "alpha 1.0 is in the lock without a hash"),
    "a short hash": (lambda p: put(p/"lock", LOCK.replace(HASH, HASH[:-1], 1)), "alpha 1.0 is in the lock without a hash"),
    "not installed": (lambda p: put(p/"lock", LOCK.replace("'nowhere'", f"'{sys.platform}'")), "only-there 3 is in the lock and not installed"),
    "twice": (lambda p: install(p/"packages", "alpha", "0.9"), "alpha is installed 2 times"),
    "a changed file": (lambda p: put(p/"packages"/"alpha.py", "import os\n"), "alpha: alpha.py is not as its wheel recorded it"),
    "a lost file": (lambda p: (p/"packages"/"alpha.py").unlink(), "alpha: alpha.py is gone"),
    "no record": (lambda p: (p/"packages"/"alpha-1.0.dist-info"/"RECORD").unlink(), "alpha has no record of its files"),
    "a weak hash": (lambda p: put(p/"packages"/"alpha-1.0.dist-info"/"RECORD", "alpha.py,md5=abc,8\nalpha-1.0.dist-info/METADATA,,\nalpha-1.0.dist-info/RECORD,,\n"), "alpha: alpha.py is recorded by md5, which proves nothing"),
    "a file beside them": (lambda p: put(p/"packages"/"evil.pth", "import evil\n"), "evil.pth in packages belongs to nothing that was installed"),
    "no exception": (lambda p: put(p/"audit.yaml", "[]\n"), "pip 26 is installed, the lock does not have it"),
    "an exception that ended": (lambda p: put(p/"audit.yaml", PIP.replace("2026-12-01", "2026-11-30")), "the exception for pip ended on 2026-11-30: made with the environment")}

@pytest.mark.parametrize("what", CHANGES)
def test_every_difference_is_found(place, what):
    change, words = CHANGES[what]
    change(place)
    got = found(place)
    assert got.code == 1 and words in got.problems and f"PROBLEM: {words}" in got.text(), got.text()


def test_an_exception_that_nothing_needs_is_said(place):
    put(place/"audit.yaml", PIP+"- {name: delta, reason: was needed once only, until: 2027-01-01}\n")
    assert found(place).notes == ["the exception for delta is not needed: remove it"] and found(place).code == 0


@pytest.mark.parametrize("text, words", [("- {name: pip, until: 2027-01-01}", "has name, reason, until"), ("- {name: pip, reason: made with it, until: soon}", "until is a day"), ("- {name: pip, reason: '', until: 2027-01-01}", "the reason is a sentence"),
                                         (PIP+PIP, "twice"), ("- {name: pip", "cannot be read"), ("pip", "has name, reason, until"), ("- {name: pip, reason: made with the environment, until: 2027-01-01, forever: yes}", "has name, reason, until")])
def test_exceptions_without_a_reason_or_an_end_are_refused(place, text, words):
    put(place/"audit.yaml", text)
    with pytest.raises(audit["Wrong"], match=words): found(place)
    done = run(sys.executable, ROOT/"scripts"/"audit.py", "--quick", "--lock", place/"lock", "--exceptions", place/"audit.yaml")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("line", ["alpha>=1.0", "alpha==1.*", "alpha", "alpha @ file:x"])
def test_a_lock_that_does_not_pin_is_refused(line):
    with pytest.raises(audit["Wrong"]): audit["locked"](LOCK+line+"\n")


# what an index knows

class Index(BaseHTTPRequestHandler):
    known = {"/pypi/alpha/1.0/json": [dict(id="X-1", aliases=["CVE-1"], summary="reads too much\n", fixed_in=["1.0.1"]), dict(id="X-2", summary="taken back", withdrawn="2026-01-01")]}
    def log_message(self, *_): return None
    def do_GET(self):
        body = json.dumps(dict(info={}, vulnerabilities=self.known.get(self.path, []))).encode() if "only" not in self.path else b"<html>"
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)


@pytest.fixture
def index():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/simple/"
    server.shutdown(); server.server_close()


def asked(place, index):
    got = found(place)
    audit["advisories"](audit["locked"]((place/"lock").read_text()), index, audit["exceptions"](place/"audit.yaml", TODAY)[0], got)
    return got


def test_known_vulnerabilities(place, index):
    got = asked(place, index)
    assert (got.code, got.problems, got.asked, got.silent) == (1, ["alpha 1.0: X-1: reads too much ; mended in 1.0.1"], 2, [])
    put(place/"audit.yaml", PIP+"- {name: alpha, advisory: CVE-1, reason: that function is not called, until: 2027-01-01}\n")
    got = asked(place, index)
    assert (got.code, got.problems, got.notes) == (0, [], ["accepted until 2027-01-01: alpha 1.0: CVE-1: that function is not called"])
    put(place/"audit.yaml", PIP+"- {name: alpha, advisory: CVE-1, reason: that function is not called, until: 2026-11-01}\n")
    assert asked(place, index).code == 1


def test_an_index_that_does_not_answer_is_not_taken_for_good_news(place, index):
    put(place/"lock", LOCK.replace("'nowhere'", f"'{sys.platform}'")); install(place/"packages", "only-there", "3")
    got = asked(place, index.replace("/simple/", "/simple"))
    assert got.silent == ["only-there"] and got.code == 1                    # and alpha's is found all the same
    for other in ("file:///nowhere/simple", index.replace("http://127.0.0.1:", "http://127.0.0.1:1")[:18]+"/simple"):
        got = asked(place, other)
        assert (got.code, got.asked, len(got.silent)) == (5, 0, 3) and "no answer for alpha" in got.text()


def test_the_index_is_the_configured_one(monkeypatch, tmp_path):
    for v in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"): monkeypatch.delenv(v, raising=False)
    (tmp_path/"pip.conf").write_text("[global]\nindex-url = https://index.example/simple\n"); monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path/"pip.conf"))
    assert audit["index_url"]() == "https://index.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "mine=https://uv.example/simple")
    assert audit["index_url"]() == "https://uv.example/simple"
    monkeypatch.delenv("UV_DEFAULT_INDEX"); (tmp_path/"pip.conf").write_text("")
    with pytest.raises(audit["Wrong"], match="no package index is configured"): audit["index_url"]()


def test_this_environment_is_the_locked_one():
    if not (Path(sys.prefix)/".stamp").is_file(): pytest.skip("this environment was not made by `make env`")
    got = audit["audit"](ROOT/"requirements.lock", ROOT/"scripts"/"audit.yaml", date.min, quick=True)      # whether an exception has ended is for `make audit` to say: old commits still pass
    assert (got.code, got.problems) == (0, []) and got.audited == got.installed > 200, got.text()
