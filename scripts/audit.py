"""Is what is installed what was locked? Every distribution of this environment is counted once: locked with a hash and in this version, this project itself, or
excepted in scripts/audit.yaml with a reason and an end; whatever the lock asks for here is installed; every file is as its wheel recorded it; and no file is beside them.

    python scripts/audit.py [--advisories] [--quick]

--advisories asks the configured package index (UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL or pip's own configuration) for known vulnerabilities of each pin;
nothing is asked without it. --quick leaves out the files. Ends with 0, 1 (something is not as it should be), 2 (wrong use or exceptions), 5 (the index gives no answer)."""
import base64, hashlib, importlib.metadata as meta, json, os, re, subprocess, sys
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


class Wrong(Exception): "Wrong use: one line says what and how to mend it."


@dataclass
class Audit:
    "What was counted, and what is not as it should be."
    installed:int = 0; locked:int = 0; own:int = 0
    excepted:list = field(default_factory=list); problems:list = field(default_factory=list); notes:list = field(default_factory=list)
    files:int = 0; unrecorded:int = 0; asked:int|None = None; silent:list = field(default_factory=list)

    @property
    def audited(self): return self.locked+self.own+len(self.excepted)
    @property
    def code(self): return 1 if self.problems or self.audited != self.installed else 5 if self.silent else 0

    def text(self):
        lines = [f"{self.installed} installed, {self.audited} audited: {self.locked} as locked, {self.own} this project, {len(self.excepted)} excepted"]
        lines += [f"  excepted: {e['name']} until {e['until']}: {e['reason']}" for e in self.excepted]
        if self.files: lines.append(f"{self.files:,} files as recorded, {self.unrecorded:,} without a recorded hash")
        lines.append("known vulnerabilities: not asked for (--advisories asks the configured index)" if self.asked is None else f"known vulnerabilities: the index answered for {self.asked} of {self.asked+len(self.silent)} pins")
        if self.silent: lines.append(f"  no answer for {', '.join(self.silent[:6])}{' …' if len(self.silent) > 6 else ''}: this index gives no advisories, or is not reachable")
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes), *(f"PROBLEM: {p}" for p in self.problems)])


def locked(text:str)->dict: # name -> (version, number of hashes), where the marker applies here
    "What a lock asks for in this environment; `Wrong` for a line that is no pin."
    out = {}
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]:
        line = block.splitlines()[0].split("\\")[0].strip()
        try: r = Requirement(line)
        except ValueError: raise Wrong(f"the lock has a line that is no requirement: {line[:60]!r}: make it again with `make lock`") from None
        pin = re.fullmatch(r"==([^*,]+)", str(r.specifier))
        if not pin: raise Wrong(f"the lock does not pin {r.name}: make it again with `make lock`")
        if r.marker is None or r.marker.evaluate(): out[canonicalize_name(r.name)] = pin[1], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block))
    return out


def exceptions(path:Path, today:date)->tuple[dict, list]: # {(name, advisory or None): entry}, problems
    "What is allowed, each with a reason and an end; `Wrong` if one lacks them."
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    try: entries = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or []
    except (OSError, UnicodeError, YAMLError) as e: raise Wrong(f"{path.name} cannot be read ({type(e).__name__}): a list of name, reason, until") from None
    out, problems = {}, []
    for e in entries if isinstance(entries, list) else [entries]:
        if not isinstance(e, dict) or not {"name", "reason", "until"} <= set(e) <= {"name", "reason", "until", "advisory"}: raise Wrong(f"{path.name}: an exception has name, reason, until, and perhaps advisory, not {str(e)[:60]}")
        if type(e["until"]) is not date: raise Wrong(f"{path.name}: {e['name']}: until is a day, YYYY-MM-DD, not {str(e['until'])[:20]!r}")
        if len(str(e["reason"] or "").split()) < 3: raise Wrong(f"{path.name}: {e['name']}: the reason is a sentence")
        if (key := (canonicalize_name(str(e["name"])), e.get("advisory"))) in out: raise Wrong(f"{path.name}: {e['name']} is there twice")
        out[key] = e
        if e["until"] < today: problems.append(f"the exception for {e['name']} ended on {e['until']}: {e['reason']}")
    return out, problems


def check_files(d, found:Audit):
    "Each file of a distribution against the hash that its wheel recorded."
    name = d.metadata["Name"]
    if d.files is None: return found.problems.append(f"{name} has no record of its files")
    for f in d.files:
        at = f.locate()
        if not at.is_file(): found.problems.append(f"{name}: {f} is gone"); continue
        if f.hash is None: found.unrecorded += 1; continue
        if f.hash.mode not in ("sha256", "sha384", "sha512"): found.problems.append(f"{name}: {f} is recorded by {f.hash.mode[:20]}, which proves nothing"); continue
        with at.open("rb") as file: got = base64.urlsafe_b64encode(hashlib.file_digest(file, f.hash.mode).digest()).rstrip(b"=").decode()
        found.files += 1
        if got != f.hash.value: found.problems.append(f"{name}: {f} is not as its wheel recorded it")


def beside(dists, folder:Path)->list[str]: # names in a folder of packages that no record has
    known = {part for d in dists for f in d.files or () if (p := Path(os.path.normpath(f.locate()))).is_relative_to(folder) for part in p.relative_to(folder).parts[:1]}
    return sorted(p.name for p in folder.iterdir() if p.name not in known | {"__pycache__"})


def audit(lock:Path, allowed:Path, today:date, path:list[str]|None=None, own:str="dsmon-research", quick:bool=False)->Audit: # path: folders of packages; default: of this interpreter
    "Installed against locked, once each."
    wanted, (may, problems) = locked(lock.read_text(encoding="utf-8")), exceptions(allowed, today)
    dists = list(meta.distributions(**({"path": path} if path else {})))
    found, have = Audit(len(dists), problems=problems), {}
    for d in dists: have.setdefault(canonicalize_name(d.metadata["Name"]), []).append(d)
    for name, (d, *more) in sorted(have.items()):
        version, hashes = wanted.get(name, (None, 0))
        if more: found.problems.append(f"{name} is installed {len(more)+1} times")
        if name == own: found.own += 1
        elif version == d.version and hashes: found.locked += 1
        elif e := may.get((name, None)): found.excepted.append(e)
        elif version is None: found.problems.append(f"{name} {d.version} is installed, the lock does not have it")
        elif version != d.version: found.problems.append(f"{name} {d.version} is installed, the lock has {version}")
        else: found.problems.append(f"{name} {version} is in the lock without a hash")
        if not quick: check_files(d, found)
    gone = {name: version for name, (version, _) in sorted(wanted.items()) if name not in have}
    found.problems += [f"{name} {version} is in the lock and not installed" for name, version in gone.items() if (name, None) not in may]
    found.notes += [f"the exception for {e['name']} is not needed: remove it" for (name, advisory), e in may.items() if not advisory and e not in found.excepted and name not in gone]
    if not quick:
        for folder in {Path(os.path.normpath(d.locate_file(""))) for d in dists}: found.problems += [f"{n} in {folder.name} belongs to nothing that was installed" for n in beside(dists, folder)]
    return found


def index_url()->str:
    "The package index that uv or pip is configured for, ending in /simple; `Wrong` if there is none."
    for var in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if got := os.environ.get(var): return got.rpartition("=")[2] if var.startswith("UV_DEFAULT") and re.match(r"[\w-]+=", got) else got
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    if m := re.search(r"(?m)^\w+\.index-url='([^']+)'", said): return m[1]
    raise Wrong("no package index is configured: set PIP_INDEX_URL, or leave out --advisories")


def advisories(wanted:dict, index:str, may:dict, found:Audit):
    "What the index knows of each pin; a pin without an answer is named, never taken for sound."
    import httpx
    base = re.sub(r"/simple/?$", "", index.rstrip("/"))
    if not re.match(r"https?://", base): found.asked, found.silent = 0, sorted(wanted); return
    def ask(item, client):
        try: r = client.get(f"{base}/pypi/{item[0]}/{item[1][0]}/json"); got = r.json().get("vulnerabilities") if r.status_code == 200 else None
        except (httpx.HTTPError, ValueError, AttributeError): got = None
        return item[0], item[1][0], got if isinstance(got, list) else None
    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(4) as pool: answers = list(pool.map(lambda i: ask(i, client), sorted(wanted.items())))
    found.asked, found.silent = sum(a is not None for *_, a in answers), [n for n, _, a in answers if a is None]
    for name, version, got in answers:
        for v in got or ():
            ids = {str(v.get("id")), *map(str, v.get("aliases") or ())}
            e = next((may[name, i] for i in sorted(ids) if (name, i) in may), None)
            if v.get("withdrawn"): continue
            if e: found.notes.append(f"accepted until {e['until']}: {name} {version}: {e['advisory']}: {e['reason']}")
            else: found.problems.append(f"{name} {version}: {v.get('id')}: {''.join(c if c.isprintable() else ' ' for c in str(v.get('summary') or 'no summary'))[:100]}; mended in {', '.join(map(str, v.get('fixed_in') or ())) or 'no release yet'}")


def main(argv=None)->int:
    p = ArgumentParser(description=__doc__.partition("\n\n")[0])
    p.add_argument("--advisories", action="store_true", help="ask the configured index for known vulnerabilities (one request a pin)")
    p.add_argument("--quick", action="store_true", help="leave out the files")
    p.add_argument("--json", action="store_true", help="one JSON object instead of text")
    p.add_argument("--lock", type=Path, default=ROOT/"requirements.lock"); p.add_argument("--exceptions", type=Path, default=ROOT/"scripts"/"audit.yaml")
    a = p.parse_args(argv)
    try:
        if not a.lock.is_file(): raise Wrong(f"there is no {a.lock.name}: make it with `make lock`")
        found = audit(a.lock, a.exceptions, date.today(), quick=a.quick)
        if a.advisories: advisories(locked(a.lock.read_text(encoding="utf-8")), index_url(), exceptions(a.exceptions, date.today())[0], found)
    except Wrong as e: print(f"audit: {e}", file=sys.stderr); return 2
    print(json.dumps(vars(found) | dict(audited=found.audited), default=str) if a.json else found.text())
    return found.code


if __name__ == "__main__": sys.exit(main())
