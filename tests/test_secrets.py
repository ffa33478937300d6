"A secret in the address of the archive or of a receiver is in no output, error, traceback, log, file, report or record, whatever goes wrong."
import logging, os, subprocess, tempfile, traceback, warnings

import pytest

from conftest import BIN, QUIET
from dsmon_research.archive import Archive
from dsmon_research.cli import main
from dsmon_research.project import DsmonError
from test_run import BAD, PARAMS, name, put

CANARY = "canary-5c1e77"
VERBS = ["capture shop", "assess shop", "run shop", "run --all", "run shop --dry-run", "incidents", "incidents shop", "incidents ack 1 --for 3d", "incidents replay shop", "incidents retry shop", f"incidents label shop {name(3)} fault", "archive verify", "archive export --out x.csv", "archive migrate"]
BROKEN = {"no server": f"postgresql://ann:{CANARY}@127.0.0.1:9/none", "no such host": f"postgresql+psycopg://ann:{CANARY}@nowhere.invalid/none?connect_timeout=2", "in the query": f"postgresql://127.0.0.1:9/none?user=ann&password={CANARY}",
          "not an address": f"postgresql://ann:{CANARY}@[::1/none", "another kind": f"mysql://ann:{CANARY}@127.0.0.1/none", "no kind": f"{CANARY}"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    for k in [k for k in os.environ if k.startswith("DSMON_")]: monkeypatch.delenv(k)
    (tmp_path/"in").mkdir(); (tmp_path/"params.yaml").write_text(PARAMS.replace("  gone: {source: 'files:nowhere/*.csv'}\n", ""))
    for d in range(34): put(tmp_path, d)
    monkeypatch.setenv("DSMON_ROOT", str(tmp_path)); monkeypatch.setenv("DSMON_AUTHOR", "ann"); monkeypatch.chdir(tmp_path)
    return tmp_path

def clean(root, *texts):
    assert not [t[max(t.find(CANARY)-80, 0):t.find(CANARY)+30] for t in texts if CANARY in t]
    assert not [f for f in root.rglob("*") if f.is_file() and CANARY.encode() in f.read_bytes()]


@pytest.mark.parametrize("what", BROKEN)
def test_an_archive_that_cannot_be_reached(project, monkeypatch, capfd, caplog, what):
    "Every verb: one line, a typed code, no secret; the log at its loudest; the traceback of a notebook too."
    monkeypatch.setenv("DSMON_ARCHIVE", BROKEN[what]); caplog.set_level(logging.DEBUG)
    for line in VERBS:
        code = main(line.split()); out = capfd.readouterr()
        assert code in (2, 5) and (out.out+out.err).strip() and "Traceback" not in out.err, (line, code, out)
        clean(project, out.out, out.err, caplog.text)
    try: Archive(root=project).history("shop")
    except DsmonError: clean(project, traceback.format_exc())
    else: raise AssertionError("it was reached")

@pytest.mark.xdist_group("postgres")
def test_an_archive_that_works(project, monkeypatch, capfd, caplog):
    "From a bad day to a message, a label, an export: a password in the address and one in the receiver's are nowhere, not even in the archive."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgserver
    made = pgserver.get_server(tempfile.mkdtemp(prefix="dsmon-pg"), cleanup_mode="delete")
    try:
        at = f"postgresql://postgres:{CANARY}@/postgres?host={made.get_postmaster_info().socket_dir}"
        monkeypatch.setenv("DSMON_ARCHIVE", at); monkeypatch.setenv("DSMON_NOTIFY", f"json://ann:{CANARY}@127.0.0.1:9/{CANARY}"); caplog.set_level(logging.DEBUG)
        codes = [main(line.split()) for line in ("run shop", "assess shop --json", f"incidents label shop {name(BAD)} fault", "incidents --json", "incidents replay shop", "incidents retry shop", "archive verify", "archive export --out all.csv", "run shop --dry-run")]
        out = capfd.readouterr()
        assert codes[0] == 5 and codes[1] in (0, 3) and codes[2:5] == [0, 0, 0] and codes[5] == 5 and codes[6:8] == [0, 0], (codes, out)
        clean(project, out.out, out.err, caplog.text)
        with Archive(at) as a:
            from dsmon_research.tables import KINDS
            assert a.scalar("SELECT count(*) FROM message_attempt") > 1
            clean(project, *(str(a.select(f'SELECT * FROM "{t}"')) for t in KINDS))
            with pytest.raises(DsmonError) as e: a.select("SELECT nothing FROM nowhere")
            clean(project, "".join(traceback.format_exception(e.value)))
    finally: made.cleanup()

def test_an_error_of_ours_shows_no_environment(project, monkeypatch):
    "The trace that `run` leaves on standard error after an error in this package."
    code = "import dsmon_research.run as r, sys; r.capture = lambda *a: 1/0; from dsmon_research.cli import main; sys.exit(main(['run', 'shop']))"
    env = os.environ | QUIET | dict(DSMON_NOTIFY=f"json://{CANARY}@127.0.0.1:9/", DSMON_ARCHIVE=f"postgresql://ann:{CANARY}@127.0.0.1:9/none")
    done = subprocess.run([BIN/"python", "-c", code], cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    clean(project, done.stdout, done.stderr)
