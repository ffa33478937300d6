"Shared by the tests: the project's root, a throw-away copy of what git would track, and the command line in a process of its own."
import os, shutil, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
QUIET = dict(DVC_NO_ANALYTICS="1", MLFLOW_DISABLE_TELEMETRY="true", OMP_NUM_THREADS="1", NO_COLOR="1")


def tracked()->list[str]:
    "Every file that git tracks or would add, as paths relative to the root."
    got = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return sorted(f for f in got.decode().split("\0") if f and (ROOT/f).is_file())


def run(*command, cwd=ROOT, **env):
    "Run one of the environment's tools; returns the finished process with text output."
    env = {k: v for k, v in os.environ.items() if k != "DSMON_ROOT"} | QUIET | {"PATH": f"{BIN}:{os.environ['PATH']}"} | env
    return subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


def copy_to(to:Path)->Path:
    "The project as a fresh clone would hold it."
    for f in tracked():
        (to/f).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT/f, to/f)
    return to


@pytest.fixture
def checkout(tmp_path)->Path:
    "A fresh clone of the project."
    return copy_to(tmp_path/"clone")


def files(folder, pattern="**/*")->dict[str, bytes]:
    "Relative path -> bytes of every file that matches."
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.glob(pattern)) if f.is_file()}


@pytest.fixture(scope="session")
def empty_archive(tmp_path_factory)->bytes:
    "A new archive without a record, to be copied: making the tables costs more than a capture."
    from dsmon_research.tables import migrate
    at = tmp_path_factory.mktemp("empty")/"archive.db"
    migrate(f"sqlite:///{at}")
    return at.read_bytes()
