"The scheduled run: one dataset fails and the others go on, nothing new is skipped, two at once are one, a dry run changes nothing."
import json, os, random, shutil, subprocess

import numpy as np
import pytest

from conftest import BIN, QUIET
from dsmon_research.archive import Archive, verify
from dsmon_research.cli import main
from dsmon_research.incidents import incidents
from dsmon_research.messages import outbox
from dsmon_research.run import run, worst
from test_messages import Hook

PARAMS = """inject: {faults: {}}
backtest: {detectors: [max_z], members: [max_z], champion: max_z}
datasets:
  shop: {source: 'files:in/*.csv', key: [order], season: 7}
  gone: {source: 'files:nowhere/*.csv'}
"""
DAYS, BAD = 36, 33


def csv(day):
    "Orders of one day; on the bad one the city is empty for half of them."
    r = np.random.default_rng(day)
    n = int(r.poisson(60))
    city = r.choice(["Rome", "Turin", "Bari"], n)
    if day == BAD: city[::2] = ""
    return "order,city,price\n"+"".join(f"{day*1000+i},{city[i]},{r.gamma(3, 9):.2f}\n" for i in range(n))


def name(day): return f"orders_{np.datetime64('2026-03-02')+day}"

@pytest.fixture
def project(tmp_path, monkeypatch):
    for k in [k for k in os.environ if k.startswith("DSMON_")]: monkeypatch.delenv(k)
    (tmp_path/"in").mkdir(); (tmp_path/"params.yaml").write_text(PARAMS)
    monkeypatch.setenv("DSMON_ROOT", str(tmp_path)); monkeypatch.setenv("DSMON_AUTHOR", "ann")
    return tmp_path

@pytest.fixture(scope="session")
def past(tmp_path_factory):
    "A project whose first 32 days are captured, the last of them judged."
    root = tmp_path_factory.mktemp("past")
    (root/"in").mkdir(); (root/"params.yaml").write_text(PARAMS)
    for d in range(32): put(root, d)
    env = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith("DSMON_NOTIFY")}
    got, = run(["shop"], root)
    os.environ.update(env)
    assert [v["update"] for v in got.verdicts] == [name(31)] and got.new == 32
    return root

@pytest.fixture
def shop(project, past):
    shutil.copytree(past, project, dirs_exist_ok=True)
    return project

@pytest.fixture
def hook(monkeypatch):
    with Hook() as got:
        monkeypatch.setenv("DSMON_NOTIFY", got.url("canary"))
        yield got
        got.shutdown()


def put(root, day, text=None): (root/"in"/f"{name(day)}.csv").write_text(text or csv(day))
def state(root):
    with Archive(f"sqlite:///{root}/data/archive.db") as a:
        assert verify(a)
        return a.scalar("SELECT max(id) FROM ledger"), [(i.id, i.state, i.updates) for i in incidents(a, closed=True)], [(m["subject"], m["state"]) for m in outbox(a)], a.scalar("SELECT count(*) FROM assessment")


def dsmon(*args, capsys):
    code = main(list(args))
    out = capsys.readouterr()
    return code, out.out.rstrip(), out.err


def test_a_bad_day_from_file_to_message(shop, hook, capsys):
    "Healthy, unhealthy, told once, nothing new, answered: with the command line."
    put(shop, 32)
    code, said, _ = dsmon("run", "shop", capsys=capsys)
    assert code in (0, 3) and f"{name(32)}" in said
    quiet = len(hook.got)
    put(shop, BAD)
    code, said, err = dsmon("run", "shop", capsys=capsys)
    assert code == 3 and f"{name(BAD)} unhealthy" in said and "city" in said and "canary" not in said+err
    assert len(hook.got) == quiet+1 and "city" in hook.got[-1][1]["title"]
    before = state(shop)
    assert dsmon("run", "shop", capsys=capsys)[:2] == (0, "shop: nothing new, skipped") and state(shop) == before
    code, listed, _ = dsmon("incidents", "--json", capsys=capsys)
    got = json.loads(listed)["incidents"][-1]
    assert code == 0 and got["messages"][0]["state"] == "sent" and "canary" not in listed and name(BAD) in got["updates"]
    number = str(got["id"])
    assert dsmon("incidents", "ack", number, "--for", "3d", "--note", "on it", capsys=capsys)[0] == 0
    code, page, _ = dsmon("incidents", "show", number, capsys=capsys)
    assert code == 0 and "open → acknowledged" in page and "ann" in page and "on it" in page
    assert f"why\n  {name(BAD)}: 'city' is empty" in page and "labels" not in page and "messages\n  [unhealthy] sent to DSMON_NOTIFY#1 json" in page and "canary" not in page
    assert dsmon("incidents", "label", "shop", name(BAD), "fault", "--note", "job 7", capsys=capsys)[1] == f"shop {name(BAD)}: fault, says ann"
    assert f"labels\n  {name(BAD)}: fault, says ann: job 7" in dsmon("incidents", "show", number, capsys=capsys)[1]
    assert dsmon("incidents", "close", number, "--keep", capsys=capsys)[0] == 0
    code, wrong, err = dsmon("incidents", "lsit", capsys=capsys)
    assert (code, wrong) == (2, "") and "neither a dataset of the archive (shop) nor one of show, ack, close" in err
    code, said, _ = dsmon("incidents", "replay", "shop", "--json", capsys=capsys)
    row = next(r for r in json.loads(said)["alerts"] if r["update"] == name(BAD))
    assert code == 0 and (row["label"], row["before"], row["after"]) == ("fault", "unhealthy", "unhealthy")
    put(shop, BAD, csv(BAD+500).replace(f"{BAD+500}", f"{BAD}"))          # published anew: judged anew, told no more
    assert dsmon("run", "shop", capsys=capsys)[0] in (0, 3) and state(shop)[3] == before[3]+1


def test_one_failure_does_not_stop_the_others(shop, hook, capsys):
    put(shop, BAD)
    code, said, err = dsmon("run", "--all", "--json", capsys=capsys)
    got = {d["dataset"]: d for d in json.loads(said)["datasets"]}
    assert code == 5 and got["shop"]["code"] == 3 and got["gone"]["code"] == 5 and "no file matches" in got["gone"]["error"] and len(hook.got) == 1


def test_an_error_of_ours_does_not_stop_the_others(shop, monkeypatch, capsys):
    import dsmon_research.run as module
    real = module.capture
    monkeypatch.setattr(module, "capture", lambda name, root, a: 1/0 if name == "gone" else real(name, root, a))
    put(shop, BAD)
    got = run([], shop)
    assert [(r.dataset, r.code) for r in got] == [("shop", 3), ("gone", 1)] and "ZeroDivisionError" in got[1].error and "Traceback" in capsys.readouterr().err


def test_worst_code(): assert [worst(c) for c in ([], [0, 4], [4, 3, 0], [3, 2], [2, 5], [5, 1])] == [0, 4, 3, 2, 5, 1]


def test_dry_run_changes_nothing(shop, hook, capsys):
    put(shop, BAD)
    before = (shop/"data/archive.db").read_bytes()
    code, said, err = dsmon("run", "shop", "--dry-run", capsys=capsys)
    assert code == 3 and "would be sent to DSMON_NOTIFY#1 json: [unhealthy]" in said and "[unhealthy] shop" in err and "Reference dsmon-" in err and (shop/"data/archive.db").read_bytes() == before and not hook.got
    assert "canary" not in said+err
    shutil.rmtree(shop/"data")
    assert dsmon("run", "shop", "--dry-run", capsys=capsys)[0] in (0, 3) and not (shop/"data").exists()


def test_a_dry_run_shows_the_message_that_nobody_would_get(shop, capsys):
    put(shop, BAD)
    code, said, err = dsmon("run", "shop", "--dry-run", capsys=capsys)
    assert code == 3 and "[unhealthy] shop" in err and "would be sent to nobody" in said and "set DSMON_NOTIFY" in said
    code, said, err = dsmon("run", "shop", capsys=capsys)
    assert code == 3 and "sent" not in said+err


def test_two_runs_at_once_are_one(shop, hook):
    put(shop, 32); put(shop, BAD)
    made = [subprocess.Popen([BIN/"dsmon", "run", "shop"], cwd=shop, env=os.environ | QUIET, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [p.communicate(timeout=200)[0] for p in made]
    assert all(p.returncode in (0, 3) for p in made), said
    _, inc, sent, judged = state(shop)
    assert judged == 3 and sum(name(BAD) in u for *_, u in inc) == 1 and len(hook.got) == len(sent) == len({k for k, _ in hook.got}), said


def test_days_late_and_twice_give_no_extra_alert(shop, hook):
    "The last days in another order, each file put there twice."
    days = [32, BAD, 34, 35]
    random.Random(1).shuffle(days)
    for d in days*2:
        put(shop, d); run(["shop"], shop)
    before = state(shop)
    assert before[3] == 5 and len(hook.got) == len(before[2])
    assert sum(name(BAD) in u for *_, u in before[1]) == 1 and sum("[unhealthy]" in p["title"] for _, p in hook.got) == len(before[1])
    run(["shop"], shop)
    assert state(shop) == before


def test_a_lost_message_is_an_exit_code(shop, hook, capsys):
    hook.answers = [500]*9
    put(shop, BAD)
    code, said, _ = dsmon("run", "shop", capsys=capsys)
    assert code == 5 and "not accepted, error 500" in said
    assert "[unhealthy] pending to DSMON_NOTIFY#1 json, 1 try: not accepted, error 500" in dsmon("incidents", capsys=capsys)[1]


def test_unreadable_update_is_said(shop, capsys):
    (shop/"in"/f"{name(34)}.parquet").write_bytes(b"PAR1 nothing")
    (shop/"params.yaml").write_text(PARAMS.replace("in/*.csv", "in/*"))
    code, said, _ = dsmon("run", "shop", capsys=capsys)
    assert code == 5 and f"unreadable: {name(34)}: " in said and "Parquet" in said


MISTAKES = {"run": "name a dataset, or say --all", "run shop --all": "name a dataset, or say --all", "run shpo": "shop", "incidents ack": "write `dsmon incidents ack ID --for 3d`", "incidents ack 1": "--for 3d", "incidents ack x --for 3d": "give its number",
            "incidents ack 99 --for 3d": "there is no incident 99", "incidents close 1": "say --keep", "incidents close 1 --keep --adapt": "say --keep", "incidents label shop never fault": "has no update", "incidents foo bar": "or one of show, ack",
            "incidents nosuch": "neither a dataset of the archive (shop) nor one of show", "incidents label shop": "NAME UPDATE fault|expected|ignored"}

def test_options_may_stand_anywhere(shop, hook, capsys):
    "Before, between and after the words of a verb; the answers are the same."
    put(shop, BAD); dsmon("run", "--json", "shop", capsys=capsys)
    number = str(json.loads(dsmon("incidents", "--json", "shop", capsys=capsys)[1])["incidents"][-1]["id"])
    for words in (("ack", "--for", "3d", number), ("--for", "3d", "ack", number), ("ack", number, "--for", "3d")):
        code, said, err = dsmon("incidents", *words, capsys=capsys)
        assert (code, err) == (0, "") and "acknowledged, muted until" in said, (words, said, err)
    for words in (("label", "--note", "x", "shop", name(BAD), "fault"), ("label", "shop", name(BAD), "--author", "bob", "fault"), ("close", "--keep", number)):
        assert dsmon("incidents", *words, capsys=capsys)[0] == 0, words
    for words in (("export", "--wide", "shop", "--out", f"{shop}/w.csv"), ("--wide", "export", "--out", f"{shop}/w.csv", "shop"), ("export", "shop", "--wide", "--out", f"{shop}/w.csv")):
        assert dsmon("archive", *words, capsys=capsys)[0] == 0 and (shop/"w.csv").stat().st_size; (shop/"w.csv").unlink()
    for words in (("run", "--nonsense", "shop"), ("assess", "--update", name(3)), ("archive", "--wide"), ("archive", "export", "a", "b"), ("run", "shop", "gone")):
        code, said, err = dsmon(*words, capsys=capsys)
        assert (code, said) == (2, "") and err.count("\n") == 1 and "--help" in err, (words, err)


def test_mistakes_are_one_line(shop, capsys):
    before = state(shop)
    for line, words in MISTAKES.items():
        code, out, err = dsmon(*line.split(), capsys=capsys)
        assert (code, out) == (2, "") and err.count("\n") == 1 and words in err, f"{line}: {err}"
    assert state(shop) == before


def test_no_archive_yet(project, capsys):
    code, _, err = dsmon("incidents", capsys=capsys)
    assert code == 5 and "there is no archive" in err


def test_a_wrong_address_does_not_hide_the_verdict(shop, monkeypatch, capsys):
    monkeypatch.setenv("DSMON_NOTIFY", "canary")
    put(shop, BAD)
    code, said, err = dsmon("run", "shop", capsys=capsys)
    assert code == 2 and f"{name(BAD)} unhealthy" in said and "DSMON_NOTIFY, address 1" in said and "canary" not in said+err
    with Hook() as got:
        monkeypatch.setenv("DSMON_NOTIFY", got.url())
        assert dsmon("run", "shop", capsys=capsys)[0] == 0 and len(got.got) == 1    # told as soon as the address is right
        got.shutdown()
