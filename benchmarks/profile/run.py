"""The profiler against its peers: whole processes, one after the other, in rounds, so that every figure is a ratio of two runs made side by side.

`python run.py` measures everything and writes `result.json` here, table and picture in `docs/benchmarks/`; `--prepare` only makes data and environments; `--tables`, `--only`, `--rounds`, `--rows` measure a part of it.
"""
import argparse, ctypes, hashlib, json, os, platform, re, shlex, shutil, signal, subprocess, sys, tempfile, threading, time
from pathlib import Path

# This process stays small, so it imports neither DuckDB nor matplotlib: a child's peak memory starts at that of the process it was forked from.
sys.path.insert(0, str(Path(__file__).parent))
from data import ROWS, TABLES, named

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# name -> (environment, script and its arguments); the environment `None` is the project's own
PEERS = dict(
    summarize=(None, "duckdb_scan.py", "summarize"), decode=(None, "duckdb_scan.py", "decode"), chdb=("chdb", "chdb_query.py", "text"), chdb_top=("chdb", "chdb_query.py", "all"), polars=("polars", "polars_stream.py"),
    pandas=("pandas", "pandas_describe.py", "numpy"), pandas_arrow=("pandas", "pandas_describe.py", "pyarrow"), spark=("spark", "spark_summary.py"),
    great_expectations=("great_expectations", "gx_checks.py"), whylogs=("whylogs", "whylogs_log.py"), evidently=("evidently", "evidently_summary.py"), ydata=("ydata", "ydata_minimal.py"))

# what a round runs, table by table: neighbours are compared with each other
ROUND = dict(
    wide=["profile", "summarize"],
    base=["profile", "summarize", "decode", "chdb", "chdb_top", "polars", "pandas", "pandas_arrow"],
    x4=["profile", "summarize"],
    csv=["profile", "decode", "summarize"],
    part=["profile", "summarize", "spark", "great_expectations", "whylogs", "evidently", "ydata"])

_threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS", "PYTHONPATH", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
QUIET = dict(DO_NOT_TRACK="1", GX_ANALYTICS_ENABLED="false", YDATA_PROFILING_NO_ANALYTICS="True", WHYLOGS_NO_ANALYTICS="True", MPLBACKEND="Agg", PYTHONHASHSEED="0")

def say(*words): print(*words, file=sys.stderr, flush=True)

def environment(
    name:str,   # of a file in requirements/
    cache:Path, # where environments are kept
)->Path:        # its Python
    "A peer's environment, made on first use and again when its pins change."
    pins, home = HERE/"requirements"/f"{name}.txt", cache/name
    stamp, now = home/".stamp", hashlib.sha256(pins.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == now: return home/"bin/python"
    say(f"environment {name}")
    shutil.rmtree(home, ignore_errors=True)
    base = next((p for p in (sys._base_executable, shutil.which("python3.11")) if p and "3.11" in subprocess.run([p, "-V"], capture_output=True, text=True).stdout), sys.executable)
    for cmd in ([base, "-m", "venv", "--without-pip", home], [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", home/"bin/python", "-r", pins]):
        done = subprocess.run([str(c) for c in cmd], capture_output=True, text=True)
        if done.returncode: raise OSError(f"environment {name}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    stamp.write_text(now)
    return home/"bin/python"

def measure(
    cmd:list[str],
    timeout:float,      # seconds
    cwd:Path,
    keep:tuple=(),      # variables of `_threads` that the command may see
)->dict:                # status, wall_s, cpu_s, peak_mib, last line of output or of the errors
    "One whole process with everything it starts: CPU of all, peak memory of the largest."
    env = {k: v for k, v in os.environ.items() if k not in _threads or k in keep} | QUIET
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin, late = time.perf_counter(), threading.Event()
        p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True)
        timer = threading.Timer(timeout, lambda: (late.set(), _kill(p.pid))); timer.start()
        cpu, peak, wall, code = 0, 0, None, None
        try:
            while True:
                since = 0 if code is None else time.perf_counter()-begin-wall           # seconds that others outlive the command
                try: pid, status, used = os.wait4(-1, 0 if code is None else os.WNOHANG)
                except ChildProcessError: break
                if pid: cpu, peak = cpu+used.ru_utime+used.ru_stime, max(peak, used.ru_maxrss/1024)
                if pid == p.pid: wall, code = time.perf_counter()-begin, os.waitstatus_to_exitcode(status); timer.cancel()
                elif pid == 0: _end_children() if since > 15 else time.sleep(.05)
        except BaseException: _end_children(); raise
        finally: timer.cancel(); p.returncode = code
        texts = []
        for f in (out, err): f.seek(0); texts.append(f.read().decode(errors="replace").strip())
    status = "timeout" if late.is_set() else "ok" if code == 0 else "failed"
    got = dict(status=status, wall_s=round(wall, 3), cpu_s=round(cpu, 3), peak_mib=round(peak, 1))
    if status == "timeout": got["why"] = f"stopped after {timeout:g} s"
    elif status != "ok": got["why"] = f"exit {code}: " + (texts[1].splitlines() or [""])[-1][-300:].replace(f"{ROOT}/", "")
    return got | dict(output=texts[0])

def _kill(group):
    try: os.killpg(group, signal.SIGKILL)
    except ProcessLookupError: return

def _end_children():
    "End what is ours and still runs; orphans have become our children."
    for f in Path("/proc/self/task").glob("*/children"):
        for pid in f.read_text().split(): os.kill(int(pid), signal.SIGKILL)
    time.sleep(.05)

def adopt():
    "Orphans of a peer (Spark's Java outlives its Python) become our children, so that their CPU is counted. Linux only."
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0): raise OSError("this benchmark needs Linux: orphaned processes cannot be adopted here")

def rows_seen(output):
    "The number of rows that a tool reports; None if its output does not say."
    got = None
    for text in (output, *output.splitlines()[-1:]):
        try: got = json.loads(text); break
        except ValueError: continue
    for at in (got, got.get("table")) if isinstance(got, dict) else ():
        if isinstance(at, dict) and isinstance(at.get("rows"), (int, float)): return int(at["rows"])

def command(tool, file, a):
    if tool == "profile":
        words = [w.replace("{file}", file) for w in shlex.split(a.candidate)]
        return [str(ROOT/words[0]) if "/" in words[0] else words[0], *words[1:]]
    env, script, *args = PEERS[tool]
    return [str(environment(env, a.cache) if env else sys.executable), str(HERE/"peers"/script), *args, file]

def one(tool, table, facts, a, scratch):
    "A run, whatever becomes of it."
    try: got = measure(command(tool, facts["file"], a), a.timeout, scratch, keep=("PYTHONPATH",) if tool == "profile" else ())
    except OSError as e: return dict(tool=tool, table=table, status="failed", why=str(e).replace(f"{ROOT}/", ""))
    seen = rows_seen(got.pop("output"))
    if got["status"] == "ok" and tool != "decode" and seen != facts["rows"]: got |= dict(status="wrong", why=f"it reports {seen} rows of {facts['rows']}")
    return dict(tool=tool, table=table) | got

def machine():
    "What the figures depend on."
    first = lambda file, pattern: (re.search(pattern, Path(file).read_text()) or [None, "?"])[1].strip()
    from importlib.metadata import PackageNotFoundError, version
    def of(name):
        try: return version(name)
        except PackageNotFoundError: return "not installed"
    pins = lambda f: dict(l.split("==") for l in f.read_text().splitlines() if "==" in l and not l.startswith("#"))
    main = dict(chdb="chdb", polars="polars", pandas="pandas", spark="pyspark", great_expectations="great-expectations", whylogs="whylogs", evidently="evidently", ydata="ydata-profiling")
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return dict(cores=len(os.sched_getaffinity(0)), cpu=first("/proc/cpuinfo", r"model name\s*:(.*)"), memory_gib=round(int(first("/proc/meminfo", r"MemTotal:\s*(\d+)"))/2**20, 1),
        system=f"{platform.system()} {platform.release()}", python=platform.python_version(), load=[round(x, 2) for x in os.getloadavg()], commit=git, duckdb=of("duckdb"),
        peers={n: f"{p} {pins(HERE/'requirements'/f'{n}.txt')[p]}" for n, p in main.items()})

def save(result, folder):
    folder.mkdir(parents=True, exist_ok=True)
    part = folder/"result.json.part"
    part.write_text(json.dumps(result, indent=1)+"\n"); os.replace(part, folder/"result.json")

def plan(a):
    return [(table, tool) for table, tools in ROUND.items() if table in a.tables for tool in tools if not a.only or tool in a.only or tool == "profile"]

def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--candidate", default=".venv/bin/dsmon profile {file} --json", help="the profiler's command")
    p.add_argument("--rounds", type=int, default=5, help="rounds of wide, base, x4, csv"); p.add_argument("--slow-rounds", type=int, help="rounds of part (default: as --rounds)")
    p.add_argument("--rows", type=int, default=ROWS, help="rows of base"); p.add_argument("--slow", type=int, default=5, help="part is one row of so many")
    p.add_argument("--data", type=named, nargs="+", default=[], metavar="NAME=FILE", help="take this file instead of making the table; a file alone is base")
    p.add_argument("--tables", nargs="+", choices=list(ROUND), default=list(ROUND)); p.add_argument("--only", nargs="+", choices=list(PEERS), help="these peers")
    p.add_argument("--timeout", type=float, default=900, help="seconds for one run"); p.add_argument("--cache", type=Path, default=ROOT/"cache/bench", help="environments and tables")
    p.add_argument("--out", type=Path, help="folder for result.json, table and picture (default: the committed places)")
    p.add_argument("--prepare", action="store_true", help="only make tables and environments"); p.add_argument("--report", action="store_true", help="only write table and picture again from result.json")
    a = p.parse_args()
    a.cache = a.cache.absolute(); a.slow_rounds = a.slow_rounds or a.rounds
    a.data = {n: str(Path(f).absolute()) for n, f in a.data}
    return a

def report(a):
    folder, docs = a.out or HERE, a.out or ROOT/"docs/benchmarks"
    subprocess.run([sys.executable, str(HERE/"report.py"), str(folder/"result.json"), str(docs)], check=True)

def main():
    a = parse()
    if a.report: return report(a)
    todo = plan(a)
    wanted = [t for t in TABLES if t == "tiny" or t in {table for table, _ in todo}]
    ask = [sys.executable, HERE/"data.py", a.cache/"data", "--rows", a.rows, "--slow", a.slow, "--tables", *wanted]
    if a.data: ask += ["--data", *(f"{n}={f}" for n, f in a.data.items())]
    made = subprocess.run([str(x) for x in ask], stdout=subprocess.PIPE, text=True, check=True)
    facts = json.loads(made.stdout)
    for env in dict.fromkeys(PEERS[tool][0] for _, tool in todo if tool != "profile"):
        try: environment(env, a.cache) if env else None
        except OSError as e: say(e)
    if a.prepare: return
    adopt()
    shown = " ".join(Path(w).name if w.startswith("/") else w for w in shlex.split(a.candidate))
    tables = {n: f | dict(file=Path(f["file"]).name) for n, f in facts.items()}
    result = dict(started=_now(), candidate=shown, timeout_s=a.timeout, machine=machine(), tables=tables, warmup=[], runs=[])
    folder = a.out or HERE
    with tempfile.TemporaryDirectory() as scratch:
        for tool in dict.fromkeys(tool for _, tool in todo): result["warmup"].append(_told(one(tool, "tiny", facts["tiny"], a, scratch), "warm-up"))
        for k in range(max(a.rounds, a.slow_rounds)):
            for table in dict.fromkeys(t for t, _ in todo):
                if k >= (a.slow_rounds if table == "part" else a.rounds): continue
                tools = [tool for t, tool in todo if t == table]
                _read(facts[table]["file"])
                at = k % len(tools)                                                     # nobody always follows the same neighbour
                for tool in tools[at:]+tools[:at]: result["runs"].append(dict(round=k) | _told(one(tool, table, facts[table], a, scratch), f"round {k+1}"))
                save(result, folder)
    result["ended"] = _now(); save(result, folder)
    report(a)

def _now(): return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

def _told(run, when):
    say(f"{when} {run['table']:5} {run['tool']:19} {run['status']:8} {run.get('wall_s', 0):8.2f} s wall {run.get('cpu_s', 0):8.2f} s CPU {run.get('peak_mib', 0):8.0f} MiB", run.get("why", ""))
    return run

def _read(file):
    "Bring a file into the page cache."
    with open(file, "rb") as f:
        while f.read(1 << 22): continue

if __name__ == "__main__": main()
