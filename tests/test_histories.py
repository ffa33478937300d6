"Every public history loads through a source into the archive, with as many updates and rows as its publisher's index says."
import csv, gzip, os, re, tarfile, zipfile
from pathlib import Path

import pytest

from conftest import ROOT
from dsmon_research.archive import Archive, verify
from dsmon_research.capture import capture

DATA = Path(os.environ.get("DSMON_DATA") or "/nowhere")
SOAK = bool(os.environ.get("DSMON_SOAK"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="DSMON_DATA is not set")


def index(path, rows="n_rows", name="member", where=lambda r: True): # member -> rows, as the index beside the archive says
    with (gzip.open if path.endswith(".gz") else open)(DATA/path, "rt", newline="") as f: return {r[name]: int(r[rows]) for r in csv.DictReader(f) if where(r)}


def lines(path, pattern): # member -> lines below the header: counted here, apart from every reader
    with tarfile.open(DATA/path) as t:
        return {m.name: sum(1 for line in t.extractfile(m).read().decode("utf-8", "replace").splitlines() if line.strip())-1 for m in t if re.fullmatch(pattern, m.name)}


def records(path, pattern, delimiter): # the same where a cell may hold line ends
    csv.field_size_limit(10_000_000)
    with tarfile.open(DATA/path) as t:
        return {m.name: len(list(csv.reader(t.extractfile(m).read().decode("utf-8-sig").splitlines(True), delimiter=delimiter)))-1 for m in t if re.fullmatch(pattern, m.name)}


def of_day(log, when): # snapshots of a time, by the end of the member's name
    return {k: v for k, v in log.items() if k.startswith(when)}


def pge(): # seq and time -> rows
    with gzip.open(DATA/"pge_outages/snapshots_index.csv.gz", "rt", newline="") as f: return {f"{int(r['seq']):05d}_{re.sub('[-:]', '', r['commit_time_utc'])}": int(r["n_outages"]) for r in csv.DictReader(f)}


def daiad(): # day -> readings
    out = {}
    with zipfile.ZipFile(DATA/"daiad_water_hourly/swm_trialA.zip") as z, z.open("swm_trialA.csv") as f:
        for line in list(f)[1:]:
            d, m, y = line.split(b";")[1][:10].decode().split("/")
            out[f"{y}-{m}-{d}"] = out.get(f"{y}-{m}-{d}", 0)+1
    return out


# history -> (source, how many updates the README says, what is counted of each: origin's member or update -> rows)
ITALY = {f"italy_{what}_{shape}": (f"tar:{DATA}/italy_covid/{file}.tar.xz{more}", n, lambda i=ix: index(f"italy_covid/{i}"))
         for what, shape, file, more, n, ix in (
             ("regioni", "dated", "regioni_dated_all_revisions", "?update=folder", 2615, "regioni_dated_index.csv"), ("province", "dated", "province_dated_all_revisions", "?update=folder", 2308, "province_dated_index.csv"),
             ("regioni", "latest", "regioni_latest", "", 1165, "regioni_latest_index.csv"), ("province", "latest", "province_latest", "", 674, "province_latest_index.csv"),
             ("regioni", "cumulative", "regioni_cumulative_2020", "", 356, "regioni_cumulative_2020_index.csv"), ("province", "cumulative", "province_cumulative_2020h1", "", 175, "province_cumulative_2020h1_index.csv"))}
