"A labelled history benched from the command line: what is broken is found and named, what is unknown is null with a reason, nothing else is written."
import json, shutil

import numpy as np, pyarrow as pa, pyarrow.csv as pcsv, pyarrow.parquet as pq
import pytest

from conftest import files
from dsmon_research.bench import Bench, folder_updates, track_table
from dsmon_research.cli import main
from dsmon_research.result import FIGURES

FAST = "ensemble,max_z,topk_z,pca,avg_knn"
BAD = {40: ("torn.parquet", b"PAR1 torn"), 45: ("page.csv", b"<html><body>502</body></html>"), 50: ("empty.csv", b""), 55: ("header.csv", b"id,city,price\n"), 60: ("zero.parquet", None), 65: ("nulls.csv", None)}


def table(t, n=200):
    r = np.random.default_rng(t)
    return pa.table({"id": np.arange(n)+n*t, "city": np.array(["Rome", "Oslo", "Bern"])[r.integers(0, 3, n)], "price": np.round(r.gamma(4, 5, n), 2)})


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    "Seventy updates, six of them bad: four are no tables, one has no rows, one lost a third of its prices."
    at = tmp_path_factory.mktemp("bench")
    (at/"in").mkdir()
    lines = ["file,label,kind,column"]
    for t in range(70):
        if t not in BAD: pcsv.write_csv(table(t), at/"in"/f"{t:03d}.csv"); continue
        kind, raw = BAD[t]
        file = at/"in"/f"{t:03d}.{kind.split('.')[1]}"
        if raw is not None: file.write_bytes(raw)
        elif kind == "zero.parquet": pq.write_table(table(t).slice(0, 0), file)
        else:
            d = table(t)
            pcsv.write_csv(d.set_column(2, "price", pa.compute.if_else(pa.array(np.arange(200) % 3 == 0), None, d["price"])), file)
        lines.append(f"{file.name},1,{kind.split('.')[0]},{'price' if t == 65 else ''}")
    (at/"labels.csv").write_text("\n".join([*lines, *(f"in/{t:03d},0,," for t in range(10))])+"\n")
    return at


@pytest.fixture(scope="module")
def result(shop, tmp_path_factory):
    "Benched once, outside any project."
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as m:
        m.delenv("DSMON_ROOT", raising=False); m.chdir(out)
        before = files(shop)
        assert main(["bench", "--updates", str(shop/"in"), "--labels", str(shop/"labels.csv"), "--detectors", FAST, "--out", str(out/"r.json")]) == 0
        assert files(shop) == before and set(files(out)) == {"r.json"}, "something else was written"
    return json.loads((out/"r.json").read_text())


def test_counts(result):
    assert (result["n_updates"], result["n_bad"], result["n_unlabelled"], result["n_unreadable"]) == (70, 6, 54, 5)
    assert result["track"] == "updates" and result["unlabelled"][0] == "010" and result["settings"]["alpha"] == .05
    assert all(result[k] for k in ("config_hash", "data_hash", "package_version")) and result["seeds"] == [0]


def test_broken_updates_are_found_and_named(result):
    entry = {d["update"]: d for d in result["updates"]}
    for t, word in {40: "cannot be read", 45: "web page", 50: "empty", 55: "no rows", 60: "no rows"}.items():
        d = entry[f"{t:03d}"]
        assert d["verdict"] == "unhealthy" and d["label"] == 1 and word in d["reasons"][0]["text"], d
    assert entry["065"]["verdict"] == "unhealthy" and entry["065"]["reasons"][0]["column"] == "price"
    assert entry["003"]["verdict"] == "unknown" and entry["003"]["p_value"] is None and entry["003"]["why_unknown"]


def test_figures(result):
    best = next(d for d in result["detectors"] if d["name"] == "ensemble")
    assert best["n_bad_judged"] == 6 and best["auc"] > .95 and best["recall_at_5pct"] == 1 and best["delay_updates"] == 0
    assert (best["column_hit_at_1"], best["column_hit_at_3"]) == (1, 1)
    assert best["by_fault"]["nulls"]["n"] == 1
    for d in result["detectors"]: assert not [f for f in FIGURES if d[f] is None and f not in d["reasons"]], d["name"]
    knn = next(d for d in result["detectors"] if d["name"] == "avg_knn")
    assert knn["column_hit_at_1"] is None and "does not say" in knn["reasons"]["column_hit_at_1"]


def test_a_supervised_detector_trains_on_faults_injected_beside_the_history(shop, capsys):
    assert main(["bench", "--updates", str(shop/"in"), "--labels", str(shop/"labels.csv"), "--detectors", "forest,max_z", "--json"]) == 0
    forest = next(d for d in json.loads(capsys.readouterr().out)["detectors"] if d["name"] == "forest")
    assert "error" not in forest and forest["n_judged"] > 30 and forest["auc"] is not None


def test_shown(result):
    text = track_table(result)
    assert text.splitlines()[0].startswith("in, track updates: 70 updates, 6 bad, 54 without a label") and "ensemble" in text
    frame, page = Bench(result).to_frame(), Bench(result)._repr_html_()
    assert frame.loc["ensemble", "n_judged"] > 40 and "<table>" in page


def bench(shop, *more, labels="labels.csv"):
    return main(["bench", "--updates", str(shop/"in"), *(["--labels", str(shop/labels)] if labels else []), "--detectors", "max_z", *more, "--json"])


MISTAKES = {
    "label without a file": ("file,label\n003.csv,1\nabsent.csv,1\n", "line 3"),
    "no such label": ("file,label\n003.csv,maybe\n", "'maybe'"),
    "no column label": ("file,bad\n003.csv,1\n", "'label'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_labels_are_one_line(shop, tmp_path, capsys, mistake):
    text, word = MISTAKES[mistake]
    (tmp_path/"labels.csv").write_text(text)
    code = main(["bench", "--updates", str(shop/"in"), "--labels", str(tmp_path/"labels.csv"), "--out", str(tmp_path/"r.json")])
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and err.count("\n") == 1 and word in err
    assert set(files(tmp_path)) == {"labels.csv"}


WRONG = {
    "neither": ([], 2, "--updates"), "both": (["--track", "A", "--updates", "x"], 2, "either"), "unknown track": (["--track", "Z"], 2, "'Z'"),
    "labels alone": (["--track", "A", "--labels", "x.csv"], 2, "--labels"), "absent folder": (["--updates", "absent"], 5, "no such folder"),
    "unknown detector": (["--updates", "in", "--detectors", "maxz"], 2, "maxz"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use(tmp_path, monkeypatch, capsys, case):
    (tmp_path/"in").mkdir(); pcsv.write_csv(table(0), tmp_path/"in/1.csv")
    monkeypatch.chdir(tmp_path)
    args, code, word = WRONG[case]
    assert main(["bench", *args]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and word in err


def test_too_short_is_null_with_a_reason(shop, tmp_path, capsys):
    "Six updates: nothing can be judged, and that is said, not invented."
    (tmp_path/"in").mkdir()
    for t in range(6): shutil.copy(shop/"in"/f"{t:03d}.csv", tmp_path/"in")
    (tmp_path/"labels.csv").write_text("file,label\n000,1\n")
    assert bench(tmp_path) == 0
    (line,) = json.loads(capsys.readouterr().out)["detectors"]
    assert line["auc"] is None and "too short" in line["reasons"]["auc"] and line["reasons"]["realised_fpr"]


def test_without_labels(shop, capsys):
    "Nothing is known: false alarms can be counted, recall cannot."
    assert bench(shop, labels=None) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["n_unlabelled"] == 70 and got["detectors"][0]["auc"] is None and got["detectors"][0]["realised_fpr"] is not None


def test_only_rubbish(tmp_path, capsys):
    (tmp_path/"in").mkdir()
    for t in range(12): (tmp_path/"in"/f"{t}.csv").write_bytes(b"" if t % 2 else b"<html></html>")
    assert bench(tmp_path, labels=None) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["n_unreadable"] == 12 and all(d["verdict"] == "unhealthy" for d in got["updates"])


def test_files_without_a_header(tmp_path, capsys):
    "Each file's first row is taken for its header, so names never repeat: the second is an oddity, the rest is how this dataset is."
    (tmp_path/"in").mkdir()
    for t in range(30): (tmp_path/"in"/f"{t:02d}.csv").write_text("".join(f"{t*100+i},{i*7%5}\n" for i in range(40)))
    assert bench(tmp_path, labels=None) == 0
    assert json.loads(capsys.readouterr().out)["n_unreadable"] <= 3


def test_names_order_the_updates(tmp_path):
    "By number, not by letter; the labels' file among them is none of them; dates that run backwards are no times."
    for n in ("u2.csv", "u10.csv", "u1.csv", "labels.csv"): pcsv.write_csv(table(1), tmp_path/n)
    assert [u.id for u in folder_updates(tmp_path, tmp_path/"labels.csv")] == ["u1", "u2", "u10"]
    for f in tmp_path.iterdir(): f.unlink()
    for n in ("1_2020-03-02.csv", "2_2020-03-01.csv"): pcsv.write_csv(table(1), tmp_path/n)
    got = folder_updates(tmp_path)
    assert [u.id for u in got] == ["1_2020-03-02", "2_2020-03-01"] and got[0].time.year == 1970


def test_the_future_changes_nothing(shop, result, tmp_path, capsys):
    "Everything after update 48 replaced by garbage: the champion's diary until then is the same."
    (tmp_path/"in").mkdir()
    for i, f in enumerate(sorted((shop/"in").iterdir())): (tmp_path/"in"/f.name).write_bytes(f.read_bytes() if i <= 48 else b"x\n1\n")
    assert main(["bench", "--updates", str(tmp_path/"in"), "--labels", str(shop/"labels.csv"), "--detectors", FAST, "--alpha", ".05", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    differ = {f: (a[f], b[f]) for a, b in zip(got["updates"][:49], result["updates"]) for f in a if a[f] != b[f]}
    assert not differ
