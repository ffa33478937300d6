"Scenarios: when, what, how much; the pages; calibration gives back what was put in; the splitter; the supervised path."
import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from dsmon_research.checks import Checks, Rule
from dsmon_research.cli import main
from dsmon_research.config import UsageError
from dsmon_research.corrupt import ALL
from dsmon_research.read import read_table
from dsmon_research.scenarios import Scenario, Trouble, calibrated, error_rates, kind_between, load_scenario, play, scenario_yaml, when
from dsmon_research.split import dealt, part_names, split_file
from dsmon_research.supervise import RowFeatures, Suspects, blocks_of, by_faults, by_owners, by_rules, merged, message_of, notify, scored
from test_corrupt import fingerprint, gen, town


@settings(max_examples=60, deadline=None, derandomize=True)
@given(n=st.integers(0, 80), p=st.floats(.005, 1), low=st.integers(1, 7), more=st.integers(0, 6), seed=st.integers(0, 999))
def test_when(n, p, low, more, seed):
    "Episodes of the given lengths, days in order, apart or one after the other."
    high = min(low+more, 7)
    w = when(n, p, (low, high), gen(seed))
    assert w.shape == (n, 3)
    on = w[w[:, 0] >= 0]
    assert ((on[:, 1] >= 1) & (on[:, 1] <= on[:, 2]) & (on[:, 2] >= low) & (on[:, 2] <= high)).all() and (w[w[:, 0] < 0][:, 1:] == 0).all()
    for e in np.unique(on[:, 0]):
        at = np.flatnonzero(w[:, 0] == e)
        assert (np.diff(at) == 1).all() and (np.diff(w[at, 1]) == 1).all() and len(set(w[at, 2])) == 1
    if p == 1: assert (w[:, 0] >= 0).all()


def test_prevalence_in_the_long_run():
    for p in (.03, .3, .9): assert np.mean([(when(300, p, (1, 7), gen(s))[:, 0] >= 0).mean() for s in range(150)]) == pytest.approx(p, rel=.08)


def test_play_is_exact_and_repeats():
    clean = [town(200+i) for i in range(30)]
    marks = [fingerprint(t) for t in clean]
    s = Scenario(name="x", faults=(Trouble(kind="missing", prevalence=.4, magnitude=(.1,), columns=("price",), duration=(2, 3)), Trouble(kind="duplicated_rows", prevalence=.2, magnitude=(.2,)), Trouble(kind="level_drift", prevalence=.3, magnitude=(1.,), columns=("n_rows",), duration=(4, 4), how=dict(shape="gradual", size=2.)),
                                   Trouble(kind="mojibake", prevalence=.1, columns=("area",))))
    a, b = list(play(clean, s, seed=3)), list(play(clean, s, seed=3))
    assert [fingerprint(t) for t in clean] == marks and all(x.record == y.record and fingerprint(x.table) == fingerprint(y.table) for x, y in zip(a, b))
    for t, x in zip(clean, a):
        if not x.record or "parts" not in x.record: assert x.table is t and not x.mask.any(); continue
        for part in x.record["parts"]: assert part["magnitude"] in (.1, .2, 1.) and part["rows_touched"] == max(1, round(part["magnitude"]*part["n_rows"]))
    assert any(x.record.get("skipped") == ["mojibake"] for x in a), "what cannot be is said"
    drift = [float(p["detail"].split(": ")[1].split()[0]) for x in a for p in x.record.get("parts", []) if p["kind"] == "level_drift"]
    assert len(drift) > 3 and set(drift) <= {.5, 1., 1.5, 2.}
    assert list(play(clean, s, seed=4))[5].record != a[5].record or [x.record for x in play(clean, s, seed=4)] != [x.record for x in a]


@pytest.mark.parametrize("name", ["portal", "fbposts", "flights"])
def test_packaged_pages(name, tmp_path):
    s = load_scenario(name)
    assert s.name == name and all(t.kind in ALL and 1 <= t.duration[0] <= t.duration[1] <= 7 for t in s.faults)
    (tmp_path/"again.yaml").write_text(scenario_yaml(s))
    assert load_scenario(tmp_path/"again.yaml") == s


@pytest.mark.parametrize("text,words", [("name: x", "faults"), ("name: x\nfaults: []", "at least 1"), ("name: x\nfaults: [{kind: missing}]", "prevalence"), ("name: x\nfaults: [{kind: nope, prevalence: .1}]", "unknown fault"), ("name: x\nfaults: [{kind: missing, prevalence: .1, magnitude: [2]}]", "above 0"),
                                        ("name: x\nfaults: [{kind: missing, prevalence: .1, mechanism: x}]", "known are"), ("name: x\nfaults: [{kind: missing, prevalence: .1, by: a}]", "goes with"), ("a: &x 1\nname: *x", "aliases"), ("[", "line 1"), ("name: x\nodd: 1\nfaults: [{kind: missing, prevalence: .1}]", "odd")])
def test_wrong_pages_are_one_line(text, words, tmp_path):
    (tmp_path/"x.yaml").write_text(text)
    with pytest.raises(UsageError, match=words) as e: load_scenario(tmp_path/"x.yaml")
    assert "\n" not in str(e.value)
    with pytest.raises(UsageError, match="packaged are"): load_scenario(tmp_path/"none.yaml")


def test_calibration_gives_back():
    clean = [town(300) for _ in range(20)]
    clean = [pa.table([c.cast(pa.string()) for c in t.columns], names=t.column_names) for t in clean]
    put = Scenario(name="p", faults=(Trouble(kind="missing", prevalence=.5, magnitude=(.1,), columns=("street",), duration=(2, 2)), Trouble(kind="sign_flip", prevalence=1., magnitude=(.05,), columns=("price",)), Trouble(kind="truncated_text", prevalence=.4, magnitude=(.2,), columns=("town",), duration=(1, 1))))
    played = list(play(clean, put, seed=1, start=0))
    rates = error_rates([(a, b.table.take(pa.array(gen(1).permutation(b.table.num_rows)))) for a, b in zip(clean, played)], ["id"])
    truth = {(k, p["kind"]): p["rows_touched"] for k, x in enumerate(played) for p in x.record.get("parts", [])}
    got = rates.groupby(["update", "kind"])["cells"].sum().to_dict()
    assert got == truth
    back = {t.kind: t for t in calibrated(rates, 20, "b").faults}
    assert set(back) == {"missing", "sign_flip", "truncated_text"} and back["sign_flip"].prevalence == 1 and back["missing"].magnitude == (.1,) and back["missing"].columns == ("street",)
    with pytest.raises(UsageError, match="no column"): error_rates([(clean[0], clean[0])], ["nope"])
    with pytest.raises(UsageError, match="lower"): calibrated(rates[:0], 20, "b")


def test_kinds_between_cells():
    from hypothesis import assume
    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(a=st.text(max_size=8), b=st.text(max_size=8))
    def any_two(a, b):
        assume(a != b and (a or b))
        assert kind_between(a, b, {b}) in {*ALL, "filled", "other_time", "other_number", "replaced"}
    any_two()


def test_split(tmp_path, capsys):
    text = "id,note\n"+"".join(f"{i:03d},\"a, {i}\"\n" for i in range(23))
    (tmp_path/"x.csv").write_text(text)
    made = split_file(tmp_path/"x.csv", tmp_path/"parts", 5)
    assert [p.name for p in made] == ["x-1.csv", "x-2.csv", "x-3.csv", "x-4.csv", "x-5.csv"] and [read_table(p).num_rows for p in made] == [5, 5, 5, 4, 4]
    assert text == "id,note\n"+"".join(p.read_text().split("\n", 1)[1] for p in made)
    before = [p.read_bytes() for p in made]
    assert [p.read_bytes() for p in split_file(tmp_path/"x.csv", tmp_path/"parts", 5)] == before
    for k in (1, 3, 23): assert sorted(np.concatenate(dealt(23, k, 7)).tolist()) == list(range(23)) and max(map(len, dealt(23, k, 7)))-min(map(len, dealt(23, k, 7))) <= 1
    import pyarrow.parquet as pq
    pq.write_table(town(50), tmp_path/"t.parquet")
    assert pa.concat_tables([read_table(p) for p in split_file(tmp_path/"t.parquet", tmp_path/"p", 7)]).equals(read_table(tmp_path/"t.parquet"))
    for args, words in ((["x.csv", "--files", "0"], "from 1 to"), (["x.csv", "--files", "24"], "make no 24 files"), (["none.csv", "--files", "2"], "no such file"), (["x.csv", "--files", "x"], "invalid int"), (["x.csv", "--files", "5", "--seed", "1"], "already and different")):
        code = main(["split", str(tmp_path/args[0]), "--into", str(tmp_path/"parts"), *args[1:]])
        said = capsys.readouterr().err.strip().splitlines()
        assert code == 2 and words in said[-1], said
    assert [p.read_bytes() for p in made] == before, "nothing was touched"
    assert main(["split", str(tmp_path/"x.csv"), "--into", str(tmp_path/"parts"), "--files", "5", "--seed", "1", "--force"]) == 0 and [p.read_bytes() for p in made] != before
    assert part_names("a.b.csv", 100)[0] == "a.b-001.csv"


def test_supervised_path():
    clean = [town(120) for _ in range(8)]
    rules = Checks([Rule(column="rooms", check="range", min=0, max=8)])
    faults = [dict(kind="sign_flip", magnitude=.1, column="rooms"), dict(kind="missing", magnitude=.05, column="price")]
    tables, y, kinds = by_faults(clean, faults, seed=1)
    assert all(set(k) == {"sign_flip", "missing"} for k in kinds) and all(16 <= v.sum() <= 18 for v in y)
    assert [m.sum() for m in by_rules(tables, rules)] == [12]*8
    own = by_owners("abcdefgh", tables, [dict(update="a", label=0), dict(update="b", row=120, label=1)])
    both = merged(own, by_rules(tables, rules), y)
    assert both[0].sum() == 0 and both[1][119] == 1 and (both[2] == y[2]).all()
    for bad, words in ((dict(update="z", label=1), "no update"), (dict(update="a", label=2), "no label"), (dict(update="a", row=0, label=1), "no row")):
        with pytest.raises(UsageError, match=words): by_owners("abcdefgh", tables, [bad])
    with pytest.raises(UsageError, match="cells"): by_faults(clean, [dict(kind="dropped_rows", magnitude=.1)])
    f = RowFeatures(checks=rules).fit(clean[:4])
    X = [f.transform(t) for t in tables]
    assert all(x.shape == (120, len(f.names)) and np.isfinite(x).all() for x in X)
    again = RowFeatures(checks=rules).fit(clean[:4])
    assert np.array_equal(again.transform(tables[5]), X[5]), "what is judged teaches nothing"
    assert blocks_of(8, 4, 2) == [(4, 6), (6, 8)]
    with pytest.raises(UsageError): blocks_of(3, 3, 2)
    perfect = scored("p", [v.astype(float)+gen(i).random(120)*.1 for i, v in enumerate(y)], y, .05)
    assert perfect.average_precision == 1 == perfect.auc and perfect.recall == 1 and perfect.false_alarms < .12
    got = Suspects("<b>2013\n", "m", np.array([3, 5]), np.array([.9, .8]), ["town", "street × area"], 120)
    subject, body = message_of("shop", got, tables[0].set_column(tables[0].column_names.index("town"), "town", pa.array(["@all [x](http://evil)\n"]*120)))
    assert "\n" not in subject and "2 of 120 rows" in subject and body.count("\n  row ") == 2 and "[x](http" not in body


def test_no_message_without_suspects(monkeypatch):
    monkeypatch.setenv("DSMON_NOTIFY", "json://owner.example/")
    sent, none = [], Suspects("u", "m", np.array([], int), np.array([]), [], 5)
    send = lambda *a: sent.append(a) or ""
    assert notify("shop", none, town(5), send) == [] and not sent
    some = Suspects("u", "m", np.array([1]), np.array([.9]), ["town"], 5)
    assert [e for _, e in notify("shop", some, town(5), send)] == [""] and len(sent) == 1


def test_rows_and_updates_agree(tmp_path, monkeypatch):
    "A finding names its update and as many rows as the bad file holds with its reason; an assessment names rows that the rules reject, too."
    from dsmon_research.archive import Archive
    from dsmon_research.assess import assess
    from dsmon_research.ingest import Job, ingest
    from dsmon_research.infer import infer
    from dsmon_research.separate import csv_bytes, header_bytes
    from dsmon_research.stages import freshen
    monkeypatch.delenv("DSMON_ARCHIVE", raising=False)
    r = gen(5)
    def day(): n = int(r.integers(110, 130)); return pa.table({"id": [str(i) for i in range(n)], "zone": r.choice(["A", "B", "C"], n).tolist(), "fare": [f"{v:.2f}" for v in r.normal(20, 3, n)]})
    days, hit = [day() for _ in range(60)], np.arange(10, 22)
    zones = days[-1]["zone"].to_pylist()
    for i in hit: zones[i] = "Qx"
    days[-1] = days[-1].set_column(1, "zone", pa.array(zones))
    (tmp_path/"in").mkdir(); (tmp_path/"raw").mkdir()
    for i, t in enumerate(days): (tmp_path/"in"/f"{dt.date(2024, 1, 1)+dt.timedelta(days=i)}.csv").write_bytes(header_bytes(t.column_names, ",")+csv_bytes(t))
    newest = sorted((tmp_path/"in").iterdir())[-1]
    (tmp_path/"params.yaml").write_text("inject: {faults: {}}\nbacktest: {detectors: [max_new, next_new], members: [max_new, next_new]}\ndatasets: {shop: {source: 'files:in/*.csv', key: [id]}}\n")
    freshen("shop", "profile", root=tmp_path)
    got, rules = assess("shop", root=tmp_path), infer(days[:-1], ["id"])
    mask = rules.check(days[-1]).mask
    assert got.verdict == "unhealthy" and got.update == newest.stem and mask[hit].all()
    named = {row["row"]-1 for row in got.rows}
    assert named and named <= set(hit.tolist()) <= set(np.flatnonzero(mask).tolist()), "the rows that the assessment names are bad by the rules"
    (tmp_path/"raw"/newest.name).write_bytes(newest.read_bytes())
    job = Job("shop", rules, tmp_path/"raw", tmp_path/"good", tmp_path/"bad", tmp_path/"pages", f"sqlite:///{tmp_path}/a.db", key=("id",))
    ingest(job)
    bad = read_table(tmp_path/"bad"/newest.name)
    with Archive(job.archive) as a:
        found = a.select('SELECT f.*, u.source_version, u.row_count AS n FROM finding f JOIN "update" u ON u.id = f.update_id')
        kept = a.select("SELECT * FROM ingestion")[0]
    assert {f["source_version"] for f in found} == {newest.stem} and all(f["update_id"] == kept["update_id"] for f in found)
    reasons = bad["dsmon_reason"].to_pylist()
    assert {f["note"]: f["row_count"] for f in found} == {s: sum(s in x.split("; ") for x in reasons) for s in {s for x in reasons for s in x.split("; ")}}
    assert kept["invalid_count"] == bad.num_rows == mask.sum() and [int(v)-1 for v in bad["dsmon_row"].to_pylist()] == np.flatnonzero(mask).tolist()
    assert named <= {int(v)-1 for v in bad["dsmon_row"].to_pylist()}, "what an assessment names is in the bad file"
