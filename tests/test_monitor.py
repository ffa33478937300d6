"Judging from the archive: the verdict of the whole walk, whatever happened to the file of the past; nothing heavy, no source, once."
import hashlib, json, os, shutil, subprocess
from datetime import datetime, timezone

import numpy as np
import pytest

from conftest import BIN, QUIET
from dsmon_research import monitor
from dsmon_research.archive import LISTED, Archive, verify
from dsmon_research.assess import judge_newest
from dsmon_research.capture import capture
from dsmon_research.cli import main
from dsmon_research.collect import updates
from dsmon_research.config import dataset, load_params
from dsmon_research.incidents import close, healthy_past, incidents, label
from dsmon_research.monitor import Judge, Monitor, archive_at, captured, judge_archived, parameters
from dsmon_research.online import Past, from_bytes, to_bytes
from dsmon_research.project import UsageError, dump_json
from test_run import BAD, name, put

MEMBERS = "[max_new, next_new]"
PARAMS = f"inject: {{faults: {{}}}}\nbacktest: {{detectors: {MEMBERS}, members: {MEMBERS}, champion: ensemble}}\ndatasets: {{shop: {{source: 'files:in/*.csv', key: [order], season: 7}}}}\n"
HEAVY = {"tensorflow", "keras", "mlflow", "pyod", "sklearn", "scipy", "pandas", "pydantic", "ruamel", "duckdb", "matplotlib", "fastcore", "sqlalchemy", "alembic"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "Thirty-five captured days, the 34th of them bad, none judged."
    root = tmp_path_factory.mktemp("made")
    (root/"in").mkdir(); (root/"params.yaml").write_text(PARAMS)
    for d in range(35): put(root, d)
    capture("shop", root)
    return root

@pytest.fixture
def shop(made, tmp_path, monkeypatch):
    for k in [k for k in os.environ if k.startswith("DSMON_")]: monkeypatch.delenv(k)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True); monkeypatch.setenv("DSMON_ROOT", str(tmp_path)); monkeypatch.setenv("DSMON_AUTHOR", "ann")
    return tmp_path

def open_(root): return Archive(root=root, create=False)
def bytes_of(a): return dump_json(a.to_dict() if hasattr(a, "to_dict") else a)

def walk(root, n, fault=None):
    "The verdict of the walk through the whole history, which knows no past."
    with open_(root) as a: h = a.history("shop")
    params = load_params(root)
    table = lambda: {u.id: u for u in updates("files:in/*.csv", dataset(params, "shop"), root)}[h.ids[n]].read()
    fault = np.zeros(len(h), bool) if fault is None else fault
    return judge_newest("shop", healthy_past(h, fault, n), table, dataset(params, "shop"), params.backtest, params.seed)

def watch(monkeypatch):
    "How many updates each verdict had to learn."
    learned, real = [], monitor.learn
    monkeypatch.setattr(monitor, "learn", lambda p, j, answer=None: learned.append(j.inner[0].ids[0]) or real(p, j, answer))
    return learned


def test_the_verdict_is_that_of_the_whole_walk(shop):
    with open_(shop) as a:
        for n in (33, 34): assert bytes_of(judge_archived(a, "shop", name(n), shop)[0]) == bytes_of(walk(shop, n))
        assert [r["verdict"] for r in a.select("SELECT verdict FROM assessment ORDER BY id")] == ["unhealthy", "healthy"]
        why = a.select("SELECT r.* FROM reason r JOIN assessment a ON a.id = r.assessment_id WHERE r.rank = 1")[0]
        assert why["column_name"] == "city" and why["observed"] > why["expected_high"] and a.select("SELECT score FROM assessment")[0]["score"] > 0
        assert verify(a)

def test_each_update_is_learned_once(shop, monkeypatch):
    learned = watch(monkeypatch)
    with open_(shop) as a: first = judge_archived(a, "shop", root=shop)[0]
    assert learned == [name(d) for d in range(34)]; learned.clear()
    with open_(shop) as a: again, kept = judge_archived(a, "shop", root=shop)
    assert learned == [] and not kept.new and bytes_of(again) == bytes_of(first)
    put(shop, 35); Monitor("shop").capture(); Monitor("shop").assess()
    assert learned == [name(34)]; learned.clear()
    before = (shop/"data/shop/.past-archived").read_bytes()
    with open_(shop) as a: judge_archived(a, "shop", name(20), shop)   # an old one: the past of the newest stays
    assert len(learned) == 20 and (shop/"data/shop/.past-archived").read_bytes() == before

def test_a_long_past_is_learned_when_it_is_captured(shop, monkeypatch, capsys):
    "In pieces that are written down: who is interrupted goes on there. The first verdict then learns nothing more."
    (shop/"data/archive.db").unlink(); monkeypatch.setattr(monitor, "LONG", 35); learned = watch(monkeypatch)
    assert main(["capture", "shop"]) == 0 and "learning from 35 updates" in capsys.readouterr().err and learned == [name(d) for d in range(34)]
    learned.clear(); first = Monitor("shop").assess()
    assert learned == [] and bytes_of(first) == bytes_of(walk(shop, 34))
    (shop/"data/shop/.past-archived").unlink(); monkeypatch.setattr(monitor, "STEP", 4); monkeypatch.setattr(monitor, "REST", 2)
    real, count = monitor.learn, []
    def interrupted(p, j, answer=None):
        count.append(1)
        if len(count) == 30: raise KeyboardInterrupt
        return real(p, j, answer)
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt): m.setattr(monitor, "learn", interrupted); Monitor("shop").assess()
    learned.clear()
    assert bytes_of(Monitor("shop").assess()) == bytes_of(first) and learned == [name(d) for d in range(24, 34)]

def test_no_file_is_loaded_that_the_archive_does_not_vouch_for(shop, monkeypatch):
    "Changed, cut, sound in itself but of somebody else, or of another archive: not even opened."
    with open_(shop) as a: first = judge_archived(a, "shop", root=shop)[0]
    file, opened, real = shop/"data/shop/.past-archived", [], from_bytes
    monkeypatch.setattr(monitor, "from_bytes", lambda raw, rules: opened.append(raw) or real(raw, rules))
    good = file.read_bytes()
    with open_(shop) as a:
        judged = Judge(a, "shop", shop); judged(34); rules = judged.past.rules
    assert opened == [good]; opened.clear()
    for bad in (good[:-1], b"", good[:200]+bytes([good[200] ^ 1])+good[201:], to_bytes(Past(rules), "x"), b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR."):
        file.write_bytes(bad)
        with open_(shop) as a: assert bytes_of(judge_archived(a, "shop", root=shop)[0]) == bytes_of(first)
        assert opened == [] and file.read_bytes() == good
    with open_(shop) as a, a.write() as w:                              # a record of another stamp does not help
        w.add("model", dataset_id=1, made_at=datetime.now(timezone.utc), kind="past", stamp="of something else", learned=34, sha256=hashlib.sha256(good).hexdigest(), size=1)
    with open_(shop) as a: assert bytes_of(judge_archived(a, "shop", root=shop)[0]) == bytes_of(first) and opened == []
    file.unlink(); assert not (shop/"pwned").exists()
    with Archive(f"sqlite:///{shop}/other.db") as b:
        capture("shop", shop, b); file.write_bytes(good)
        assert bytes_of(Judge(b, "shop", shop)(34)) == bytes_of(first) and opened == []

def test_labels_reach_the_past(shop, monkeypatch):
    "A fault is taken out of it, what is ignored stays as it was, what is expected counts at once."
    m = Monitor("shop"); m.assess(); learned = watch(monkeypatch)
    with open_(shop) as a:
        label(a, "shop", name(33), "ignored", "ann")
        Judge(a, "shop", shop)(34); assert learned == []
        label(a, "shop", name(33), "fault", "ann")
        judged = Judge(a, "shop", shop); got = judged(34)
        assert learned == [name(d) for d in range(33)] and judged.past.n == 33
    assert bytes_of(got) == bytes_of(walk(shop, 34, np.arange(35) == 33)) != bytes_of(walk(shop, 34))
    with open_(shop) as a: label(a, "shop", name(33), "expected", "ann"); assert Judge(a, "shop", shop)(34).p_value != walk(shop, 34).p_value # open, it would not count yet

def test_a_late_update_makes_another_past(shop, monkeypatch):
    Monitor("shop").assess(); learned = watch(monkeypatch)
    shutil.copy(shop/f"in/{name(10)}.csv", shop/f"in/{name(10)}T12.csv"); Monitor("shop").capture()
    got = Monitor("shop").assess()
    assert len(learned) == 35
    with open_(shop) as a: h = a.history("shop"); listed = a.current("shop", LISTED)
    assert len(h) == 36 and bytes_of(got) == bytes_of(walk(shop, 35))
    with open_(shop) as a:
        some = a.part(listed, [0, 11, 12])
        assert some.ids == [h.ids[i] for i in (0, 11, 12)] and some.table.tobytes() == h.table[[0, 11, 12]].tobytes() and some.values.tobytes() == h.values[[0, 11, 12]].tobytes()
        assert len(a.part(listed, [])) == 0

def test_another_champion_walks_through_the_archive(shop):
    (shop/"params.yaml").write_text(PARAMS.replace("champion: ensemble", "champion: knn_z").replace(f"detectors: {MEMBERS}", "detectors: [max_new, next_new, knn_z]"))
    got = Monitor("shop").assess(name(33))
    assert got.verdict == "unhealthy" and bytes_of(got) == bytes_of(walk(shop, 33)) and not (shop/"data/shop/.past-archived").exists()
    with open_(shop) as a: assert a.select("SELECT model_version FROM assessment")[0]["model_version"].startswith("knn_z ")

def test_the_first_minute(tmp_path, monkeypatch):
    "Nothing captured yet: the monitor captures; too little history is said with the number that is missing."
    for k in [k for k in os.environ if k.startswith("DSMON_")]: monkeypatch.delenv(k)
    monkeypatch.chdir(tmp_path); (tmp_path/"in").mkdir(); (tmp_path/"params.yaml").write_text(PARAMS)
    for d in range(3): put(tmp_path, d)
    assert archive_at(tmp_path) is None
    got = Monitor("shop").assess()
    p = load_params(tmp_path).backtest
    assert (got.verdict, got.needed) == ("unknown", p.warmup+p.min_calibration+1-3)
    assert Monitor("shop").incidents() == [] and len(Monitor("shop").history()) == 3
    with open_(tmp_path) as a: assert a.select("SELECT verdict, needed FROM assessment") == [dict(verdict="unknown", needed=got.needed)] and not captured(a, "other")
    with pytest.raises(UsageError, match="params.yaml"): Monitor("other").assess()
    with pytest.raises(UsageError, match="has no update 'x' in the archive"): Monitor("shop").assess("x")

def test_parameters_are_checked_when_they_change(shop):
    file = shop/"data/shop/.parameters.json"; file.unlink()
    assert parameters("shop", shop, keep=False).dataset.season == 7 and not file.exists()
    assert parameters("shop", shop).dataset.season == 7 and file.exists()
    for odd in ("", "[]", "{\"of\": 1}"): file.write_text(odd); assert parameters("shop", shop).dataset.season == 7
    old = parameters("shop", shop).model
    (shop/"params.yaml").write_text(PARAMS.replace("season: 7", "season: 5"))
    got = parameters("shop", shop)
    assert got.dataset.season == 5 and got.model != old
    (shop/"params.yaml").write_text(PARAMS.replace("season: 7", "season: many"))
    with pytest.raises(UsageError): parameters("shop", shop)

def dsmon(root, *args, then="0", code="from dsmon_research.cli import main; import sys; code = main({!r}); print({}); raise SystemExit(code)"):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DSMON_")} | QUIET | dict(DSMON_ROOT=str(root))
    return subprocess.run([str(BIN/"python"), "-c", code.format(list(args), then)], capture_output=True, text=True, env=env)

def test_from_the_command_line_nothing_heavy_and_no_source(shop):
    first = dsmon(shop, "assess", "shop", "--json"); assert first.returncode == 0, first.stderr
    (shop/"in").rename(shop/"gone")                                    # a healthy verdict does not need the source
    then = f"sorted({HEAVY!r} & set(sys.modules))"
    again = dsmon(shop, "assess", "shop", then=then)
    assert again.returncode == 0 and again.stdout.splitlines()[-1] == "[]", again.stdout+again.stderr
    got = json.loads(first.stdout.removesuffix("0\n"))
    assert got["verdict"] == "healthy" and got["recorded"] == dict(assessment=1, new=True, incident=None, what="")
    bad = dsmon(shop, "assess", "shop", "--update", name(33))          # and an unhealthy one can do without the rows
    assert bad.returncode == 3 and "incident 1 opened" in bad.stdout and "city" in bad.stdout, bad.stdout+bad.stderr
    same = dsmon(shop, "assess", "shop", "--update", name(33), "--json")   # a known verdict names its incident too
    assert same.returncode == 3 and json.loads(same.stdout.removesuffix("0\n"))["recorded"] == dict(assessment=2, new=False, incident=1, what="")
    assert dsmon(shop, "assess", "shop", "--update", "never").returncode == 2
    with open_(shop) as a: assert verify(a) and a.scalar("SELECT count(*) FROM assessment") == 2

def test_four_at_once_are_one(shop):
    procs = [subprocess.Popen([str(BIN/"dsmon"), "assess", "shop", "--update", name(33), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [p.communicate(timeout=300) for p in procs]
    assert [p.returncode for p in procs] == [3]*4, said
    with open_(shop) as a: assert a.scalar("SELECT count(*) FROM assessment") == 1 and len(incidents(a)) == 1 and verify(a)
    assert sum(json.loads(out)["recorded"]["new"] for out, _ in said) == 1

def test_a_killed_assess_leaves_a_past_that_is_vouched_for(shop, monkeypatch):
    "Between the record and the file: yesterday's file has its record."
    Monitor("shop").assess(); put(shop, 35); Monitor("shop").capture()
    def dies(*_): raise KeyboardInterrupt
    with monkeypatch.context() as m:
        m.setattr(monitor, "atomic_write", dies)
        with pytest.raises(KeyboardInterrupt): Monitor("shop").assess()
    learned = watch(monkeypatch)
    got = Monitor("shop").assess()
    assert learned == [name(34)] and bytes_of(got) == bytes_of(walk(shop, 35))

def test_a_folder_that_cannot_be_written_costs_no_verdict(shop, monkeypatch):
    "What was learned and the checked parameters are caches: without them it is slower, and said."
    want = bytes_of(walk(shop, 34)); (shop/"data/shop/.parameters.json").unlink()
    def full(*_): raise OSError(28, "No space left on device")
    from dsmon_research import capture as c
    with monkeypatch.context() as m:
        m.setattr(monitor, "atomic_write", full); m.setattr(c, "atomic_write", full)
        with pytest.warns(UserWarning, match="No space left on device: the verdict stands"): got = Monitor("shop").assess()
    assert bytes_of(got) == want and not list((shop/"data/shop").glob(".p*"))
    learned = watch(monkeypatch); Monitor("shop").assess()
    assert len(learned) == 34 and {f.name for f in (shop/"data/shop").glob(".p*")} == {".parameters.json", ".past-archived"}

def test_expected_after_close_adapt(shop):
    "Closing with `adapt` keeps its updates in the past, with `keep` takes them out."
    Monitor("shop").assess(name(33))
    with open_(shop) as a:
        close(a, 1, True, "ann"); assert not Judge(a, "shop", shop).fault.any()
        label(a, "shop", name(33), "fault", "ann"); assert Judge(a, "shop", shop).fault.sum() == 1

def test_replay_shows_what_labels_change(shop, capsys):
    for n in (33, 34): Monitor("shop").assess(name(n))
    with open_(shop) as a: label(a, "shop", name(33), "fault", "ann")
    assert main(["incidents", "replay", "shop", "--json"]) == 0
    alerts = {r["update"]: r for r in json.loads(capsys.readouterr().out)["alerts"]}
    assert alerts[name(BAD)]["label"] == "fault" and alerts[name(BAD)]["after"] == "unhealthy"


def test_a_file_that_was_never_captured_is_not_passed_over(shop, capsys):
    put(shop, 35)
    assert main(["assess", "shop", "--json"]) in (0, 3)
    out = capsys.readouterr()
    assert json.loads(out.out)["update"] == name(35) and "1 new at the source" in out.err
    put(shop, 36)
    assert Monitor("shop").assess().update == name(36)
    assert main(["assess", "shop", "--update", name(34), "--json"]) in (0, 3) and json.loads(capsys.readouterr().out)["update"] == name(34)

def test_an_alert_called_expected_is_part_of_what_is_normal(shop):
    "Open alerts wait, answered ones do not: the same bad day again is less strange once the owner said that such days happen."
    put(shop, 35); put(shop, 36)
    shutil.copy(shop/"in"/f"{name(33)}.csv", shop/"in"/f"{name(36)}.csv"); capture("shop", shop)
    with open_(shop) as a: n = len(a.current("shop", LISTED)); before = Judge(a, "shop", shop, keep=False)(n-1); bad = judge_archived(a, "shop", name(33), shop)[0]
    assert bad.verdict == "unhealthy"
    with open_(shop) as a: label(a, "shop", name(33), "expected", "ann")
    with open_(shop) as a: after = Judge(a, "shop", shop, keep=False)(n-1)
    assert after.p_value >= before.p_value
