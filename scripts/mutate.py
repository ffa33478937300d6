"""Would the tests notice? Small changes (mutants) of the critical modules, each met by the module's own tests.

    python scripts/mutate.py                               # all modules, 60 mutants each, drawn with a seed
    python scripts/mutate.py calibrate --sample 0          # every mutant of one module
    python scripts/mutate.py archive --only 17 42          # these two again
    python scripts/mutate.py --cover                       # branch coverage of the same modules by the same tests (needs coverage)

A mutant is one change of the syntax tree: another comparison, arithmetic or logical operator, a number plus one, a truth value turned, a condition negated, a result None, a statement gone. It is killed if a test fails or
hangs. Texts of messages, annotations and decorators are left alone. The tests run in a copy of the project, quick ones first; what survives them meets the others.
"""
import argparse, ast, copy, json, os, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SLOW = "kill or limit or disk or flipped_bytes or ten_thousand or four_at or captures_at or postgres"
TARGETS = { # module -> rounds of tests: (files, -k)
    "archive": [(["tests/test_archive_edges.py"], ""), (["tests/test_archive.py"], f"not ({SLOW})"), (["tests/test_archive.py"], "postgres or four_at_once"), (["tests/test_incidents.py"], "")],
    "calibrate": [(["tests/test_calibrate.py"], ""), (["tests/test_budget.py", "tests/test_feedback.py"], "scores or few or calibr")],
    "faults": [(["tests/test_drawn.py", "tests/test_faults_edges.py"], ""), (["tests/test_faults.py"], "not random_tables and not text_tables"), (["tests/test_faults.py"], "random_tables or text_tables")],
    "cellkinds": [(["tests/test_drawn.py"], ""), (["tests/test_corrupt_edges.py"], ""), (["tests/test_corrupt.py"], "not random_tables"), (["tests/test_corrupt.py"], "random_tables")],
    "rowkinds": [(["tests/test_drawn.py"], ""), (["tests/test_corrupt_edges.py"], ""), (["tests/test_corrupt.py"], "not random_tables"), (["tests/test_corrupt.py", "tests/test_scenarios.py"], "random_tables or scenario")],
    "corrupt": [(["tests/test_drawn.py"], ""), (["tests/test_corrupt_edges.py"], ""), (["tests/test_corrupt.py"], "not random_tables"), (["tests/test_corrupt.py"], "random_tables")],
    "slots": [(["tests/test_drawn.py"], ""), (["tests/test_corrupt_edges.py"], ""), (["tests/test_corrupt.py"], "not random_tables"), (["tests/test_corrupt.py"], "random_tables")],
    "words": [(["tests/test_words.py"], ""), (["tests/test_incidents.py", "tests/test_messages.py"], "hostile")],
    "incidents": [(["tests/test_incidents.py"], "not postgresql"), (["tests/test_monitor.py", "tests/test_run.py"], "")],
}
ONLY = {"incidents": ("inert", "rows_hit", "criticality")}   # escaping and what decides how loud a message is; the rest of the module is not among the critical ones

SWAPS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
         ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.Pow: ast.Mult,
         ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift}


def changes(node):
    "What can be done to this node: (what it is called, function that does it and gives the node in its place)."
    def set_(name, value): return lambda n: (setattr(n, name, value), n)[1]
    name = lambda op: type(op).__name__
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            if type(op) in SWAPS: yield f"{name(op)} -> {SWAPS[type(op)].__name__}", set_("ops", [*node.ops[:i], SWAPS[type(op)](), *node.ops[i+1:]])
    elif isinstance(node, (ast.BoolOp, ast.BinOp, ast.AugAssign)) and type(node.op) in SWAPS:
        yield f"{name(node.op)} -> {SWAPS[type(node.op)].__name__}", set_("op", SWAPS[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.Invert)): yield f"{name(node.op)} dropped", lambda n: n.operand
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool): yield f"{node.value} -> {not node.value}", set_("value", not node.value)
        elif isinstance(node.value, (int, float)): yield f"{node.value!r} -> {node.value+1!r}", set_("value", node.value+1)
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)): yield "condition negated", set_("test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.comprehension) and node.ifs: yield "filter negated", set_("ifs", [ast.UnaryOp(ast.Not(), node.ifs[0]), *node.ifs[1:]])
    elif isinstance(node, ast.Return) and node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None): yield "returns None", set_("value", ast.Constant(None))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call): yield "statement gone", lambda n: ast.Pass()
    elif isinstance(node, (ast.Break, ast.Continue)): yield f"{name(node)} gone", lambda n: ast.Pass()


def places(tree, only=None):
    "Paths to all nodes that may be changed: ((field, index or None), …)."
    def walk(node, path, inside):
        if only is None or inside: yield path
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_params"): continue
            if isinstance(node, ast.Raise): continue                    # the words of an error
            for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.JoinedStr): continue           # words
                if isinstance(child, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in child.targets): continue
                if isinstance(child, ast.AST): yield from walk(child, (*path, (field, i)), inside or isinstance(child, ast.FunctionDef) and only is not None and child.name in only)
    return list(walk(tree, (), False))


def at(tree, path):
    for field, i in path: tree = getattr(tree, field) if i is None else getattr(tree, field)[i]
    return tree


def mutants(source, only=None):
    "(path, which change, line, words) of every mutant."
    tree = ast.parse(source)
    return [(p, k, getattr(at(tree, p), "lineno", None) or getattr(at(tree, p[:-1]), "lineno", 0), what) for p in places(tree, only) for k, (what, _) in enumerate(changes(at(tree, p)))]


def mutated(source, path, k):
    tree = copy.deepcopy(ast.parse(source))
    new = list(changes(at(tree, path)))[k][1](at(tree, path))
    field, i = path[-1]
    parent = at(tree, path[:-1])
    if i is None: setattr(parent, field, new)
    else: getattr(parent, field)[i] = new
    return ast.unparse(ast.fix_missing_locations(tree))


def tests(folder, rounds, timeout, collect=False):
    "Do all these tests pass? In a forked process that has the libraries already, but nothing of this package."
    for files, some in rounds:
        have = [f for f in files if (folder/f).is_file()]
        pid = os.fork()
        if not pid:
            os.setsid(); os.chdir(folder)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2): os.dup2(null, fd)
            sys.path.insert(0, str(folder)); os.environ["PYTHONPATH"] = str(folder)
            import pytest
            os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *(["-k", some] if some else []), *have])))
        end, code = time.monotonic()+timeout, None
        while code is None and time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done: code = os.waitstatus_to_exitcode(status)
            else: time.sleep(.02)
        try: os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError: code = code if code is not None else 1
        if code is None: os.waitpid(pid, 0); return False
        if code: return False
    return True


def preload():
    import hypothesis, pandas, pyarrow.compute, pyarrow.csv, pyarrow.parquet, pydantic, pytest, ruamel.yaml, sqlalchemy   # noqa: F401
    import alembic.autogenerate, alembic.command, alembic.config                                                        # noqa: F401


def one_module(name, folder, sample, seed, only, say):
    file, rounds = folder/f"dsmon_research/{name}.py", TARGETS[name]
    source = file.read_text()
    all_ = mutants(source, ONLY.get(name))
    some = only or sorted(np.random.default_rng(seed).permutation(len(all_))[:sample or len(all_)].tolist())
    start = time.monotonic()
    if not tests(folder, rounds, 1800): raise SystemExit(f"{name}: its tests fail as it is")
    took, left = time.monotonic()-start, []
    say(f"{name}: {len(all_)} mutants, {len(some)} tried; the tests take {took:.0f} s")
    for n in some:
        path, k, line, what = all_[n]
        text = mutated(source, path, k)
        if text == ast.unparse(ast.parse(source)): continue
        file.write_text(text)
        if tests(folder, rounds, 3*took+20):
            left.append(dict(number=n, line=line, change=what, code=source.splitlines()[line-1].strip()[:160]))
            say(f"  {name} {n}, line {line}: {what}: {left[-1]['code']}")
        file.write_text(source)
    return dict(module=name, mutants=len(all_), tried=len(some), killed=len(some)-len(left), score=round(1-len(left)/max(len(some), 1), 3), seed=seed, survivors=left)


def cover(names, folder):
    "Branch coverage of each module by its own tests, subprocesses included."
    (folder/".coveragerc").write_text("[run]\nbranch = True\nparallel = True\nsource = dsmon_research\npatch = subprocess\n")
    env, out = os.environ | dict(PYTHONPATH=str(folder)), []
    for n in names:
        for f in folder.glob(".coverage*"):
            if f.name != ".coveragerc": f.unlink()
        files = sorted({f for files, _ in TARGETS[n] for f in files if (folder/f).is_file()})
        subprocess.run([sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", *files], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([sys.executable, "-m", "coverage", "combine", "-q"], cwd=folder, env=env, check=True)
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", "cover.json", "--include", f"dsmon_research/{n}.py"], cwd=folder, env=env, check=True)
        got = next(iter(json.loads((folder/"cover.json").read_text())["files"].values()))
        s = got["summary"]
        out.append(dict(module=n, lines=s["num_statements"], missing_lines=got["missing_lines"], branches=s["num_branches"], missing_branches=got["missing_branches"],
                        branch_coverage=round(s["covered_branches"]/max(s["num_branches"], 1), 4), coverage=round(s["percent_covered"]/100, 4)))
        print({k: v for k, v in out[-1].items()}, flush=True)
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("modules", nargs="*", help=f"of {', '.join(TARGETS)}; default: all"); a.add_argument("--sample", type=int, default=60, help="mutants a module; 0: all")
    a.add_argument("--seed", type=int, default=1); a.add_argument("--only", type=int, nargs="+", help="numbers of mutants"); a.add_argument("--cover", action="store_true")
    a.add_argument("--out", type=Path, help="JSON, brought up to date")
    a = a.parse_args()
    if odd := [m for m in a.modules if m not in TARGETS]: raise SystemExit(f"mutate: no module {odd[0]!r}: choose of {', '.join(TARGETS)}")
    names = a.modules or list(TARGETS)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"; sys.dont_write_bytecode = True
    sys.path = [p for p in sys.path if Path(p or ".").resolve() != ROOT]
    with tempfile.TemporaryDirectory(prefix="dsmon-mutants-") as d:
        tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        for f in filter(None, tracked):
            if (ROOT/f).is_file(): (Path(d)/f).parent.mkdir(parents=True, exist_ok=True); shutil.copy2(ROOT/f, Path(d)/f)
        if a.cover: got, key = cover(names, Path(d)), "coverage"
        else:
            preload()
            got, key = [one_module(n, Path(d), a.sample, a.seed, a.only, lambda s: print(s, flush=True)) for n in names], "mutation"
            for g in got: print(f"{g['module']}: {g['killed']} of {g['tried']} killed, {g['score']:.0%}")
    if a.out:
        old = json.loads(a.out.read_text()) if a.out.is_file() else {}
        new = {g["module"]: {k: v for k, v in g.items() if k != "module"} for g in got}
        a.out.write_text(json.dumps(old | {key: old.get(key, {}) | new}, indent=1)+"\n")


if __name__ == "__main__": main()
