"Verdicts become incidents: grouping, order of arrival, states, labels; on SQLite, and once on PostgreSQL."
import itertools, os, random, shutil, tempfile, threading, warnings
from datetime import timedelta

import numpy as np
import pytest

from dsmon_research.archive import UNHEALTHY_TODAY, Archive, now, verify
from dsmon_research.incidents import STEPS, acknowledge, close, criticality, duration, feedback, healthy_past, incident, incidents, inert, label, record_assessment, unjudged, wake
from dsmon_research.messages import Address, enqueue
from dsmon_research.project import UsageError
from incidents_fixture import arrive, fresh, play, verdict, version


@pytest.fixture(scope="session")
def template(tmp_path_factory): return fresh(tmp_path_factory.mktemp("template"))

@pytest.fixture
def a(template, tmp_path):
    with Archive(f"sqlite:///{shutil.copy2(template, tmp_path/'archive.db')}") as got:
        yield got
        assert verify(got), verify(got).text()


def groups(a): return [[int(v[5:7])*28-84+int(v[8:])-1 for v in sorted(set(i.updates))] for i in incidents(a, closed=True)]
def entries(a): return a.scalar("SELECT max(id) FROM ledger")


SCRIPTS = {"a": [[0]], "aaa": [[0, 1, 2]], "ab": [[0, 1]], "a.a": [[0, 2]], "a.b": [[0], [2]], "a..a": [[0, 3]], "a...a": [[0], [4]], "a?a": [[0, 2]], "a?b": [[0, 2]], "...": [],
           "??": [], "a.b.a": [[0, 4], [2]], "a..a..a": [[0, 3, 6]], ".a.": [[1]], "abc...b": [[0, 1, 2], [6]]}


@pytest.mark.parametrize("script", SCRIPTS)
def test_grouping(a, script):
    play(a, script)
    assert groups(a) == SCRIPTS[script]


def test_state_follows_the_updates(a):
    assert play(a, "aa.a...") == ["opened", "joined", "monitoring", "reopened", "monitoring", "", "closed"]
    got = incident(a, 1)
    assert [e["to_state"] for e in got.events] == ["open", "open", "monitoring", "open", "monitoring", "closed"] and {e["who"] for e in got.events} == {"dsmon"}


def test_the_same_verdict_twice_is_one(a):
    play(a, "a.aa...a")
    before = entries(a), groups(a)
    assert not any(record_assessment(a, "shop", version(n), verdict(n, c)).new for n, c in enumerate("a.aa...a"))
    assert (entries(a), groups(a)) == before
    assert record_assessment(a, "shop", version(0), verdict(0, "a"), "another model").new     # another model may have its say
    assert groups(a) == before[1]


TURNS = 1000 if os.environ.get("DSMON_SOAK") else 10
ALERTS = "..aaa...bb.ccc....a.."


def test_order_of_arrival_gives_no_extra_alert(template, tmp_path):
    "Late, twice, in any order: each unhealthy update is in one incident, no incident more, no message more than in order."
    to, rng, wanted, fewer = [Address("TEST#1 json", "json://nowhere")], random.Random(5), 4, 0
    for turn in range(TURNS):
        order = list(range(len(ALERTS)))
        if turn: rng.shuffle(order)
        order += rng.choices(order, k=6)                     # some come again
        told = 0
        with Archive(f"sqlite:///{shutil.copy2(template, tmp_path/f'{turn}.db')}") as b:
            for n in order:
                play(b, ALERTS, [n])
                told += sum(s.startswith("[unhealthy]") for s in enqueue(b, "shop", to))
            got = groups(b)
            assert sorted(itertools.chain(*got)) == [n for n, c in enumerate(ALERTS) if c != "."], f"turn {turn}, {order}: {got}"
            assert told <= wanted and len(got) <= wanted, f"turn {turn}, {order}: {got}"
            assert b.scalar("SELECT count(*) FROM assessment") == len(ALERTS) and b.scalar('SELECT count(*) FROM "update"') == len(ALERTS)
            before = entries(b)
            assert not any(play(b, ALERTS, order)) and not enqueue(b, "shop", to) and entries(b) == before
        if not turn: assert (told, len(got)) == (wanted, wanted)
        fewer += len(got) < wanted
    print(f"{fewer} of {TURNS-1} orders saw fewer incidents: what lay between came later")


def test_late_update_beside_a_closed_incident_wakes_nobody(a):
    play(a, "a ...")
    play(a, "a....", [1])                                    # keeps it closed
    assert incident(a, 1).state == "closed"
    b = play(a, "ba...", [0])                                # the version is known: nothing new
    assert b == [""]
    with pytest.raises(UsageError, match="no update"): record_assessment(a, "shop", "never", verdict(0, "a"))


def test_late_unhealthy_day_joins_its_closed_neighbour(a):
    play(a, "a ...")
    assert incident(a, 1).state == "closed"
    assert play(a, "aa...", [1]) == ["joined"]
    assert incident(a, 1).state == "closed" and groups(a) == [[0, 1]]


def test_after_a_person_closed_it_the_next_bad_day_is_news(a):
    play(a, "a")
    close(a, 1, False, "ann")
    assert play(a, "aa", [1]) == ["opened"] and len(incidents(a)) == 1


def test_published_anew(a):
    play(a, "..a")
    arrive(a, 2, "mended")
    assert unjudged(a, "shop") == [2]
    assert record_assessment(a, "shop", version(2), verdict(2, ".")).what == "monitoring"
    arrive(a, 2, "broken again")
    assert record_assessment(a, "shop", version(2), verdict(2, "a")).what == "reopened"
    assert groups(a) == [[2]]


def test_first_run_judges_the_newest_only(a):
    for n in range(5): arrive(a, n)
    assert unjudged(a, "shop") == [4]
    record_assessment(a, "shop", version(4), verdict(4, "."))
    for n in (6, 5): arrive(a, n)
    assert unjudged(a, "shop") == [5, 6]


def test_illegal_steps_are_one_clear_error(a):
    play(a, "a.")
    at = entries(a)
    with pytest.raises(UsageError, match="incident 1 is monitoring: it cannot become acknowledged, but open or closed"): acknowledge(a, 1, duration("3d"), "ann")
    with pytest.raises(UsageError, match="there is no incident 7"): close(a, 7, True, "ann")
    assert entries(a) == at
    close(a, 1, True, "ann", "a new supplier")
    for do in (lambda: acknowledge(a, 1, duration("3d"), "ann"), lambda: close(a, 1, False, "ann")):
        with pytest.raises(UsageError, match="incident 1 is closed"): do()
    assert set(STEPS) == {t for s in STEPS.values() for t in s}


@pytest.mark.parametrize("text", ["", "3", "d", "-3d", "0d", "3 days", "9999w", "1e3d", "３d\n", None])
def test_duration_says_what_it_wants(text):
    with pytest.raises(UsageError, match="--for"): duration(text)


def test_audit_trail(a):
    play(a, "a")
    at = now()
    acknowledge(a, 1, duration("12h"), "ann", "on it", at)
    acknowledge(a, 1, duration("2d"), "bob", "takes longer", at+timedelta(hours=1))
    got = incident(a, 1)
    assert got.muted_until == at+timedelta(hours=49)
    assert [(e["who"], e["from_state"], e["to_state"]) for e in got.events[1:]] == [("ann", "open", "acknowledged"), ("bob", "acknowledged", "acknowledged")]
    assert got.events[-1]["note"].endswith("UTC: takes longer") and got.events[1]["happened_at"] == at
    assert not wake(a, at+timedelta(hours=48)) and incident(a, 1).state == "acknowledged"
    assert [i.id for i in wake(a, at+timedelta(hours=50))] == [1] and incident(a, 1).state == "open"
    close(a, 1, False, "ann", "loaded anew")
    assert incident(a, 1).events[-1]["note"] == "threshold kept: loaded anew"
    assert str(got.to_dict()) and got.text().count("\n") == 3 and len(got.to_frame()) == 3


def test_what_joins_leaves_the_mute(a):
    "Acknowledged for three days: the next bad day joins in silence, and only the end of the three days opens it again."
    play(a, "a"); at = now()
    acknowledge(a, 1, duration("3d"), "ann", "on it", at)
    assert play(a, "aaa", [1, 2]) == ["joined", "joined"]
    i = incident(a, 1)
    assert (i.state, i.muted_until, i.events[-1]["until_at"]) == ("acknowledged", at+timedelta(days=3), None)
    assert not wake(a, at+timedelta(days=2)) and [j.id for j in wake(a, at+timedelta(days=3, minutes=1))] == [1]
    assert incident(a, 1).muted_until is None


def test_labels_last_wins_and_history_is_kept(a):
    play(a, "..aa.")
    label(a, "shop", version(2), "ignored", "bob", "why not")
    label(a, "shop", version(2), "fault", "ann", "no: a fault")
    label(a, "shop", version(3), "expected", "ann")
    f = feedback(a, "shop")
    assert np.flatnonzero(f.fault).tolist() == [2] and np.flatnonzero(f.expected).tolist() == [3] and not f.ignored.any()
    assert a.scalar("SELECT count(*) FROM label") == 3 and a.scalar("SELECT count(*) FROM label WHERE incident_id = 1") == 3
    assert f.truth().bad.tolist() == f.fault.tolist() and f.truth().at.size == 0
    h = a.history("shop")
    assert healthy_past(h, f.fault, 3).ids == [version(n) for n in (0, 1, 3)] and healthy_past(h, f.fault, 2).ids[-1] == version(2)
    arrive(a, 2, "mended")                                   # the label was for the content that was wrong
    assert not feedback(a, "shop").fault.any()
    with pytest.raises(UsageError, match="say fault, expected or ignored"): label(a, "shop", version(2), "guilty", "ann")


@pytest.mark.parametrize("adapt, word", [(False, "fault"), (True, "expected")])
def test_closing_says_how_to_read_the_past(a, adapt, word):
    play(a, ".aaa")
    label(a, "shop", version(1), "ignored", "bob")
    close(a, 1, adapt, "ann")
    f = feedback(a, "shop")
    assert np.flatnonzero(getattr(f, word)).tolist() == [2, 3] and np.flatnonzero(f.ignored).tolist() == [1]


def test_many_at_once(a):
    "Four writers record the same past: one verdict an update, one incident a cause."
    script, failed = "..aa.b...c", []
    for n in range(len(script)): arrive(a, n)

    def work():
        try:
            with Archive(a.url) as b:
                for n, c in enumerate(script): record_assessment(b, "shop", version(n), verdict(n, c))
        except Exception as e: failed.append(e)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert not failed and a.scalar("SELECT count(*) FROM assessment") == len(script) and groups(a) == [[2, 3], [5], [9]]


def test_criticality_has_a_rule():
    one = verdict(0, "a")
    assert criticality(one)[0] == "high"                     # rare, and more than half of the rows
    from dataclasses import replace
    few = replace(one, reasons=[one.reasons[0] | dict(observed=.1)])
    assert criticality(few)[0] == "medium" and criticality(replace(few, p_value=.02))[0] == "low"
    four = [one.reasons[0] | dict(column=c, observed=.1) for c in "abcd"]
    assert criticality(replace(one, p_value=.02, reasons=four))[0] == "medium"
    assert criticality(replace(one, reasons=[]))[0] == "medium"


HOSTILE = ["x\r\nBcc: evil@example.org", "<script>alert(1)</script>", "[pay](http://evil.example)", "\u202egnp.exe", "a"*5000, "'; DROP TABLE incident; --", "=1+1", "@everyone", "\x00\x1b[31m", "\ud800", "`code`", ""]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(a, text):
    arrive(a, 0)
    got = record_assessment(a, "shop", version(0), verdict(0, "a", text=text or " "))
    title = incident(a, got.incident.id).title
    assert not set(title) & set("<>@[]`\r\n\x00\x1b\u202e") and "://" not in title and len(title) <= 230
    label(a, "shop", version(0), "fault", text or "x", text)
    close(a, 1, False, text or "x", text)
    page = incident(a, 1)
    assert "<script" not in page._repr_html_() and page.text().count("\n") == 2 and title == inert(title)


def test_which_are_unhealthy_today_and_why(a):
    play(a, "..aa")
    row, = a.select(UNHEALTHY_TODAY)
    assert (row["dataset"], row["update_shown"], row["why"]) == ("shop", version(3), "`a` is empty in 57 % of rows (usually 0–4 %)") and str(row["since"])[:19] == str(incident(a, 1).opened_at)[:19]


@pytest.mark.xdist_group("postgres")
def test_the_same_on_postgresql():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgserver
    made = pgserver.get_server(tempfile.mkdtemp(prefix="dsmon-pg"), cleanup_mode="delete")
    try:
        with Archive(f"postgresql://postgres@/postgres?host={made.get_postmaster_info().socket_dir}") as a:
            play(a, "aa.b", [0, 2, 1, 3])
            assert groups(a) == [[0, 1], [3]]
            acknowledge(a, 2, duration("3d"), "ann", "on it")
            label(a, "shop", version(0), "fault", "ann")
            assert feedback(a, "shop").fault.tolist() == [True, False, False, False]
            to = [Address("TEST#1 json", "json://nowhere")]
            assert len(enqueue(a, "shop", to)) == 1 and not enqueue(a, "shop", to)
            from dsmon_research.messages import deliver, outbox
            got = []
            assert [m["state"] for m in deliver(a, "shop", to, send=lambda *m: got.append(m) or "")] == ["sent"] and len(got) == 1
            assert outbox(a)[0]["state"] == "sent" and verify(a)
            assert {r["dataset"] for r in a.select(UNHEALTHY_TODAY)} == {"shop"}
    finally: made.cleanup()


def test_operations_page_has_the_query_that_runs(a):
    "The SELECTs of docs/operations.md and of the front page, as they stand there."
    import re
    from conftest import ROOT
    from dsmon_research.messages import outbox
    today, late = re.findall(r"```sql\n(.+?)```", (ROOT/"docs/operations.md").read_text(), re.S)
    front, = re.findall(r"```sql\n(.+?)```", (ROOT/"README.md").read_text(), re.S)
    assert front.split() == today.split(), "the front page has the same"
    play(a, "..aa")
    enqueue(a, "shop", [Address("TEST#1 json", "json://nowhere")])
    assert today.split() == UNHEALTHY_TODAY.split() and [r["dataset"] for r in a.select(today)] == ["shop"]
    assert [r["subject"] for r in a.select(late)] == [m["subject"] for m in outbox(a)]
