"An archive with a scripted past: what each update was, day by day, and in which order it came."
import shutil
from datetime import datetime, timedelta, timezone

import pyarrow as pa

from dsmon_research.archive import Archive
from dsmon_research.assess import Assessment
from dsmon_research.incidents import record_assessment
from dsmon_research.profile import profile_table

PROFILE = profile_table(pa.table({"a": [1, 2, 3]}))
T0 = datetime(2026, 3, 1, tzinfo=timezone.utc)


def version(n): return f"2026-{3+n//28:02}-{1+n%28:02}"


def verdict(n, letter, name="shop", text=None):
    "`.` is healthy, `?` cannot be judged, any other letter is a column that is wrong."
    word = {".": "healthy", "?": "unknown"}.get(letter, "unhealthy")
    why = [dict(rank=1, column=letter, metric="null_share", observed=.57, expected_low=0., expected_high=.04, z=90., text=text or f"`{letter}` is empty in 57 % of rows (usually 0–4 %)")] if word == "unhealthy" else []
    return Assessment(name, version(n), version(n), word, {"healthy": .5, "unhealthy": .0004}.get(word), .033, 2500 if why else None, why[0]["text"] if why else "Nothing unusual", why, 0, [])


def arrive(a, n, content="first", name="shop"):
    "One update arrives; the same one twice is one."
    return a.append(name, version(n), T0+timedelta(days=n), PROFILE, f"{n} {content}")


def play(a, script, order=None, name="shop"):
    "Updates arrive and are judged, by default in the order of the script; what happened to the incidents."
    out = []
    for n in order if order is not None else range(len(script)):
        if script[n] == " ": continue
        arrive(a, n, name=name)
        out.append(record_assessment(a, name, version(n), verdict(n, script[n], name)).what)
    return out


def fresh(folder, template=None):
    "An empty archive; a copy is faster than a migration."
    if template is None:
        with Archive(f"sqlite:///{folder}/template.db") as a: a.scalar("SELECT 1")
        return folder/"template.db"
    return Archive(f"sqlite:///{shutil.copy2(template, folder)}")
