"kill -9 at any moment of `dvc repro`: the next one completes, with the bytes of a run that nobody killed. `DSMON_SOAK=1` kills forty times."
import os, random, re, shutil, signal, subprocess, time

import pytest

from conftest import BIN, QUIET, copy_to, files
from dsmon_research.propose import with_block
from test_run import put

KILLS = 40 if os.environ.get("DSMON_SOAK") else 2
LESS = {r"seeds: 5": "seeds: 1", r"probes: 2": "probes: 1", r"detectors: \[.*\]": "detectors: [max_new, next_new, pca]", r"bootstrap: 200": "bootstrap: 20", r"updates: 12": "updates: 2", r"magnitudes: \[0\.005.*\]": "magnitudes: [0.2]"}
ENV = {k: v for k, v in os.environ.items() if not k.startswith("DSMON_")} | QUIET | {"PATH": f"{BIN}:{os.environ['PATH']}"}


def lay(at):
    "A clone with one small dataset, nothing run."
    copy_to(at)
    text = with_block((at/"params.yaml").read_text(), "shop", dict(source="files:in/*.csv", key=["order"], season=7), fresh=True)
    for old, new in LESS.items():
        text, n = re.subn(old, new, text)
        assert n == 1, old
    text = re.sub(r"(?ms)^  faults:.*?(?=^backtest)", "  faults: {missing: [0.2], typos: [0.5], dropped_rows: [0.5]}\n\n", text)
    (at/"params.yaml").write_text(text); (at/"in").mkdir()
    for d in range(36): put(at, d)
    for f in (at/"metrics").glob("*.json"): f.unlink()
    (at/"dvc.lock").unlink()
    subprocess.run(["git", "init", "-q"], cwd=at, check=True)
    return at

def repro(at): return subprocess.Popen([BIN/"dvc", "repro", "-q"], cwd=at, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)

def made(at):
    "All that the stages wrote, but for durations and what only helps the next run."
    got = {k: v for top in ("data", "metrics", "reports") for k, v in files(at, f"{top}/**/*").items()}
    return {k: v for k, v in got.items() if not k.endswith(("timings.json", "README.md")) and not any(p.startswith(".") for p in k.split("/"))}

def killed(p, after):
    "Was it still running?"
    try: p.communicate(timeout=after); return False
    except subprocess.TimeoutExpired: os.killpg(p.pid, signal.SIGKILL); p.communicate(); return True


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: DVC needs a repository")
def test_a_killed_pipeline_completes_with_the_same_bytes(tmp_path):
    start, calm = time.monotonic(), repro(lay(tmp_path/"calm"))
    said = calm.communicate(timeout=900)[1]
    assert calm.returncode == 0, said[-2000:]
    whole, want, rng, kills, turn = time.monotonic()-start, made(tmp_path/"calm"), random.Random(3), 0, 0
    assert {"metrics/shop.json", "reports/index.html"} <= want.keys() and len(want) > 15
    while kills < KILLS:
        at, turn = lay(tmp_path/f"killed{turn}"), turn+1
        while kills < KILLS and killed(repro(at), rng.uniform(.05, .35)*whole): kills += 1
        p = repro(at); said = p.communicate(timeout=900)[1]
        assert p.returncode == 0, (turn, kills, said[-2000:])
        got = made(at)
        assert {k for k in got.keys() | want.keys() if got.get(k) != want.get(k)} == set(), (turn, kills)
        shutil.rmtree(at)
    print(f"{kills} kills in {turn} pipelines, each complete with the same {len(want)} files")
