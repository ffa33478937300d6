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


def pge(): # seq and time -> rows
    with gzip.open(DATA/"pge_outages/snapshots_index.csv.gz", "rt", newline="") as f: return {f"{int(r['seq']):05d}_{re.sub('[-:]', '', r['commit_time_utc'])}": int(r["n_outages"]) for r in csv.DictReader(f)}


def daiad(): # day -> readings
    out = {}
    with zipfile.ZipFile(DATA/"daiad_water_hourly/swm_trialA.zip") as z, z.open("swm_trialA.csv") as f:
        for line in list(f)[1:]:
            d, m, y = line.split(b";")[1][:10].decode().split("/")
            out[f"{y}-{m}-{d}"] = out.get(f"{y}-{m}-{d}", 0)+1
    return out



def tar(path, more=""): return f"tar:{DATA}/{path}.tar.xz{more}"


# history -> (source, how many updates the README says, rows of each as told by the publisher's index or counted here)
HISTORIES = {
    "retail": (tar("online_retail_by_day/by_day"), 305, lambda: {f"{k}.csv": n for k, n in index("online_retail_by_day/daily_index.csv", "rows", "date").items()}),
    "fbposts": (tar("fbposts_edbt2021/partitions"), 106, lambda: records("fbposts_edbt2021/partitions.tar.xz", r".*\.tsv", "\t")),
    "flights": (tar("flights_edbt2021_rebuilt/partitions"), 62, lambda: records("flights_edbt2021_rebuilt/partitions.tar.xz", r".*\.csv", ",")),
    "italy_regions": (tar("italy_covid/regioni_dated_all_revisions", "?update=folder"), 2615, lambda: index("italy_covid/regioni_dated_index.csv")),
    "italy_provinces": (tar("italy_covid/province_dated_all_revisions", "?update=folder"), 2308, lambda: index("italy_covid/province_dated_index.csv")),
    "italy_regions_latest": (tar("italy_covid/regioni_latest"), 1165, lambda: index("italy_covid/regioni_latest_index.csv")),
    "italy_provinces_latest": (tar("italy_covid/province_latest"), 674, lambda: index("italy_covid/province_latest_index.csv")),
    "italy_regions_growing": (tar("italy_covid/regioni_cumulative_2020"), 356, lambda: index("italy_covid/regioni_cumulative_2020_index.csv")),
    "italy_provinces_growing": (tar("italy_covid/province_cumulative_2020h1"), 175, lambda: index("italy_covid/province_cumulative_2020h1_index.csv")),
    "chicago_2021": (tar("chicago_socrata_vaccinations/daily_vaccinations_2021"), 302, lambda: chicago("2021")),
    "chicago_2022": (tar("chicago_socrata_vaccinations/daily_vaccinations_2022"), 209, lambda: chicago("2022")),
    "pge_raw": (tar("pge_outages/raw_2019-10"), 4162, lambda: {f"{k}.json": n for k, n in pge().items() if k[6:12] == "201910"}),
    "pge_log": ("public:pge_outages_profile", 66_011, lambda: dict.fromkeys(pge(), 1)),
    "catalog": ("public:socrata_catalog", 75_997, None),      # 76,002 without the 5 that carry no time
    "nab": (tar("nab/nab_data_labels", "?members=data/*"), 43, lambda: lines("nab/nab_data_labels.tar.xz", r"data/.*\.csv")),
    "ucsd": (tar("ucsd_15min_electricity/ucsd_15min"), 9, lambda: index("ucsd_15min_electricity/index.csv", "rows", "file")),
    "daiad": ("public:daiad_water", 365, daiad),
    "lro": (tar("lro_water_sensors_15min/lro_data"), 21, lambda: {f"{k}.csv": n for k, n in index("lro_water_sensors_15min/index.csv", "rows", "file").items()})}
QUICK = ("fbposts", "flights", "italy_provinces_growing", "ucsd")


def chicago(year): # one answer was an HTML page: the index counts no row, here it is one line that is no table
    page = {"0003_20210117T011001Z_cc751bd5.json": 1} if year == "2021" else {}
    return index("chicago_socrata_vaccinations/daily_vaccinations_index.csv", where=lambda r: r["status"] != "absent" and r["commit_time_utc"][:4] == year) | page


def loaded(source, folder): # name of the member or update -> rows, for everything that the archive has seen
    text = (ROOT/"params.yaml").read_text()
    (folder/"params.yaml").write_text(text[:text.index("\ndatasets:")]+f"\ndatasets:\n  d: {{source: '{source}'}}\n")
    got = capture("d", folder)
    assert not got.waiting, got.text()
    with Archive(root=folder) as a:
        seen = a.select('SELECT s.source_version, s.origin, u.row_count FROM sighting s JOIN "update" u ON u.id = s.update_id ORDER BY s.id')
        assert verify(a)
    return got, {(r["origin"].partition(":")[2] if source.startswith("tar:") else r["source_version"]): r["row_count"] for r in seen}, len(seen)


@needs_data
@pytest.mark.parametrize("name", HISTORIES if SOAK else QUICK)
def test_a_history_loads_whole(name, tmp_path):
    source, n, counted = HISTORIES[name]
    got, rows, seen = loaded(source, tmp_path)
    assert (got.listed, seen) == (n, n)
    want = counted() if counted else dict.fromkeys(rows, 1)
    odd = {m: (rows.get(m), want[m]) for m in want if rows.get(m) != want[m]}
    assert len(want) == n and not odd, dict(list(odd.items())[:12])
    print(f"\n{name}: {n:,} updates, {sum(rows.values()):,} rows, {len(got.new):,} new, {len(got.revision):,} revisions, {len(got.unreadable)} unreadable")


def test_every_data_set_of_the_folder_is_there():
    if not DATA.is_dir(): pytest.skip("DSMON_DATA is not set")
    folders = {p.name for p in DATA.iterdir() if p.is_dir()}-{"socrata_api_fixtures"}      # those are shapes of answers, no history
    assert {f for f in folders if not any(f in s for s, *_ in HISTORIES.values())} == {"pge_outages", "socrata_catalog_history", "daiad_water_hourly"}-{"pge_outages"}
    from dsmon_research.datasets import DATASETS
    assert {DATASETS[s.partition(":")[2]].folder for s, *_ in HISTORIES.values() if s.startswith("public:")} == {"pge_outages", "socrata_catalog_history", "daiad_water_hourly"}
