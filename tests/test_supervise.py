"`dsmon supervise`: owners', rules' and faults' labels, models under one backtest, suspects of a new file, the message; wrong use is one line."
import csv, json

import numpy as np
import pyarrow as pa
import pytest

from dsmon_research.checks import Checks, Rule
from dsmon_research.cli import main
from dsmon_research.config import UsageError
from dsmon_research.separate import csv_bytes, header_bytes
from dsmon_research.supervise import RowFeatures, sampled, supervise

ROUTES = [("A", "north", 10), ("B", "south", 500), ("C", "east", 3000)]

def shop(i, n=150, wrong=()): # three kinds of rows; a wrong one has another kind's amount, each value by itself is legal
    r = np.random.default_rng(i); k = r.integers(0, 3, n)
    amount = [float(ROUTES[(a+1) % 3 if j in wrong else a][2]) for j, a in enumerate(k)]
    return pa.table({"id": [f"{i:02d}-{j:03d}" for j in range(n)], "day": [f"2026-01-{i+1:02d}"]*n, "zone": [ROUTES[a][0] for a in k], "to": [ROUTES[a][1] for a in k], "amount": amount})

IDS = [f"2026-01-{i+1:02d}" for i in range(16)]
WRONG = {1: {3, 4, 5, 6}, 4: {10, 11, 12, 13}, 9: {20, 21, 22, 23}, 12: {1, 2, 30, 31}, 15: {7, 8, 9}}
TABLES = [shop(i, wrong=WRONG.get(i, ())) for i in range(16)]
SAID = [dict(update=u, label=0) for u in IDS[:15]]+[dict(update=IDS[i], row=r+1, label=1) for i, rows in WRONG.items() if i < 15 for r in rows]

def test_owners_teach_what_no_rule_says():
    got = supervise("shop", IDS, TABLES, said=SAID, by=["owners"])
    assert set(got.suspects.rows.tolist()) >= WRONG[15] and len(got.suspects.rows) <= 6 and got.labelled == dict(owners=16) and got.updates == 15
    assert got.board[0].name != "rules" and got.board[0].average_precision > .9 > next(m for m in got.board if m.name == "rules").average_precision
    assert [r["row"] for r in got.to_dict()["suspects"]] == (got.suspects.rows+1).tolist() and json.dumps(got.to_dict(), allow_nan=False)
    again = supervise("shop", IDS, TABLES, said=SAID, by=["owners"])
    assert again.to_dict() == got.to_dict() and "amount" in {c for s in got.suspects.columns for c in s.split(" × ")}

def test_faults_and_rules_teach():
    got = supervise("shop", IDS, TABLES, faults=[dict(kind="category_merge", magnitude=.05, column="to")])
    assert set(got.suspects.rows.tolist()) >= WRONG[15] and got.labelled["faults"] > 50 and "owners" not in got.labelled
    rules = Checks([Rule(column="amount", check="range", max=499)]) # two rows of three break it: it is the teacher
    taught = supervise("shop", IDS, TABLES, rules, by=["rules"])
    assert taught.labelled["rules"] == sum(int(rules.check(t).mask.sum()) for t in TABLES[:15]) and "rules" not in {m.name for m in taught.board}

def test_newest_teaches_nothing(): # whatever stands in it, the models and their scores stay
    one, two = (supervise("shop", IDS, [*TABLES[:15], t], said=SAID, by=["owners"]) for t in (TABLES[15], shop(99, 40)))
    assert one.board == two.board

def test_counts_leave_the_update_out():
    f = RowFeatures().fit(TABLES[:5]); k = f.transform(TABLES[2], TABLES[2]), f.transform(TABLES[2])
    at = f.names.index(("id", "seen"))
    assert (k[0][:, at] == 0).all() and (k[1][:, at] > .6).all() # seen in no other update
    day = f.names.index(("day", "differs")); odd = TABLES[7].set_column(1, "day", pa.array(["x"]+["2026-01-08"]*149))
    assert not k[0][:, day].any() and f.transform(odd)[:, day].tolist() == [1.]+[0.]*149 and ("day", "seen") not in f.names

def test_sample_keeps_owners_rows():
    y = np.full(1000, -1, np.int8); y[[5, 999]] = 1
    got = sampled(y, 50, np.random.default_rng(0))
    assert len(got) == 50 and {5, 999} <= set(got.tolist()) and (np.diff(got) > 0).all() and len(sampled(y, 2000, np.random.default_rng(0))) == 1000

@pytest.mark.parametrize("args,words", [(dict(tables=TABLES[:5], ids=IDS[:5]), "at least 8"), (dict(by=["oracle"]), "no source of labels"), (dict(by=["owners"]), "no two kinds of label"), (dict(faults=[dict(kind="dropped_rows", magnitude=.1)]), "does not change cells"),
                                        (dict(faults=[dict(kind="x", magnitude=.1)]), "unknown fault"), (dict(said=[dict(update="2027-01-01", label=1)]), "no update"), (dict(said=[dict(update=IDS[0], row=0, label=1)]), "no row 0")])
def test_wrong_use(args, words):
    with pytest.raises(UsageError, match=words): supervise("shop", **dict(ids=IDS, tables=TABLES) | args)

def cli(capsys, *args): code = main([str(a) for a in args]); got = capsys.readouterr(); return code, got.out, got.err

def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path); monkeypatch.delenv("DSMON_NOTIFY", raising=False); (tmp_path/"past").mkdir()
    for u, t in zip(IDS, TABLES): (tmp_path/("new.csv" if u == IDS[-1] else f"past/{u}.csv")).write_bytes(header_bytes(t.column_names, ",")+csv_bytes(pa.table({c: t[c].cast(pa.string()) for c in t.column_names})))
    with open("labels.csv", "w", newline="") as f:
        w = csv.DictWriter(f, ["update", "row", "label"]); w.writeheader(); w.writerows(SAID)
    code, out, _ = cli(capsys, "supervise", "past", "--new", "new.csv", "--labels", "labels.csv", "--by", "owners", "--out", "s.csv", "--json")
    got = json.loads(out); rows = list(csv.DictReader(open("s.csv", newline="")))
    assert code == 3 and {s["row"]-1 for s in got["suspects"]} >= WRONG[15] and got["told"] == [] and [int(r["dsmon_row"]) for r in rows] == [s["row"] for s in got["suspects"]]
    assert all(float(r["amount"]) == TABLES[15]["amount"][int(r["dsmon_row"])-1].as_py() for r in rows)
    assert cli(capsys, "supervise", "past", "--labels", "labels.csv", "--by", "owners")[0] in (0, 3)
    for name, text in (("a.csv", "x,y\n1,2\n"), ("b.csv", "update,label\n2026-01-01,maybe\n"), ("c.csv", ""), ("d.csv", "update,label\n2026-09-09,1\n"), ("e.csv", "update,row,label\n2026-01-01,1,1\n")): (tmp_path/name).write_text(text)
    base = ("supervise", "past", "--new", "new.csv", "--labels")
    for args, words in (((*base, "a.csv"), "update,label"), ((*base, "b.csv"), "line 2"), ((*base, "c.csv"), "update,label"), ((*base, "d.csv"), "no update"), ((*base, "e.csv", "--last", "9"), "--last 15"), (("supervise", "past", "--new", "past/2026-01-03.csv"), "two updates"),
                        (("supervise", "nowhere"), "no such file"), (("supervise", "past", "--alpha", "1"), "--alpha"), (("supervise", "past", "--out", "s.txt"), "*.csv"), (("supervise", "past", "--by", "oracle"), "no source"), (("supervise", "past", "--rules", "none.yaml"), "no such file")):
        code, out, err = cli(capsys, *args)
        assert code == 2 and words in err and err.count("\n") == 1 and not out, (args, err)
