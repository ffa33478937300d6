"Messages over real local servers: mail and web hook, down, refusing, killed in between; hostile words; secrets that stay secret."
import http.server, json, logging, os, shutil, socket, subprocess, sys, threading
from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header

import pytest
from aiosmtpd.controller import Controller

from conftest import ROOT
from dsmon_research.archive import Archive, now, verify
from dsmon_research.incidents import acknowledge, close, duration, incidents, record_assessment, wake
from dsmon_research.messages import LEASE, TRIES, Address, addresses, deliver, enqueue, outbox, post, retry
from dsmon_research.project import SourceError, UsageError
from incidents_fixture import arrive, fresh, play, verdict, version

CANARY = "canary-7f3a91"


@pytest.fixture(scope="session")
def template(tmp_path_factory): return fresh(tmp_path_factory.mktemp("template"))

@pytest.fixture
def a(template, tmp_path):
    with Archive(f"sqlite:///{shutil.copy2(template, tmp_path/'archive.db')}") as got:
        yield got
        assert verify(got), verify(got).text()

@pytest.fixture(autouse=True)
def no_address(monkeypatch):
    for k in [k for k in os.environ if k.startswith("DSMON_NOTIFY")]: monkeypatch.delenv(k)


class Hook(http.server.ThreadingHTTPServer):
    "A web hook that notes what it gets; `answers` are the codes it gives first."
    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got, self.answers, self.paths = [], [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()
    def url(self, path="hook"): return f"json://127.0.0.1:{self.server_port}/{path}"

class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        code = self.server.answers.pop(0) if self.server.answers else 200
        self.server.paths.append(self.path)
        if code == 200: self.server.got.append((self.headers["X-Dsmon-Key"], json.loads(raw)))
        self.send_response(code)
        if code == 302: self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.end_headers()
    do_GET = do_POST
    def log_message(self, *_): return None

@pytest.fixture
def hook():
    with Hook() as got:
        yield got
        got.shutdown()


class Mailbox:
    def __init__(self): self.mails, self.refuse = [], False
    async def handle_DATA(self, server, session, envelope):
        if self.refuse: return f"451 try later {CANARY}"
        self.mails.append((envelope, message_from_bytes(envelope.content)))
        return "250 taken"

@pytest.fixture
def mail():
    box = Mailbox()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    box.url = f"mailto://127.0.0.1:{port}/?from=dsmon@example.org&to=owner@example.org&mode=insecure"
    yield box
    server.stop()

def told(a, to, at=None, **more): enqueue(a, "shop", to, at); return deliver(a, "shop", to, at, **more)
def one(url): return [Address("TEST#1 json", url)]


def test_mail_and_hook_hear_of_it_once(a, mail, hook, monkeypatch):
    monkeypatch.setenv("DSMON_NOTIFY", f"{mail.url} {hook.url()}")
    to = addresses("shop")
    assert [x.channel for x in to] == ["DSMON_NOTIFY#1 mailto", "DSMON_NOTIFY#2 json"]
    play(a, "aaa")
    for _ in range(3): told(a, to)
    (envelope, m), = mail.mails
    subject = str(make_header(decode_header(m["Subject"])))
    assert subject == f"[unhealthy] shop {version(2)}: 'a' is empty in 57 % of rows (usually 0–4 %)" and envelope.rcpt_tos == ["owner@example.org"]
    text = m.get_payload(decode=True).decode() if not m.is_multipart() else m.get_payload()[0].get_payload(decode=True).decode()
    (key, payload), = hook.got
    assert payload["title"] == subject and key in payload["message"] and m["X-Dsmon-Key"] in text and m["X-Dsmon-Key"] != key
    for part in ("Criticality high", f"Unhealthy since {version(0)}, 3 updates", "1. 'a' is empty", "Report:", "dsmon incidents ack 1", "fault|expected|ignored"): assert part in text and part in payload["message"], part
    play(a, "aaa...", [3, 4, 5])
    for _ in range(2): told(a, to)
    assert payload["version"] and hook.got[1][1]["title"].startswith(f"[recovered] shop {version(5)}: healthy again after 3 unhealthy updates") and len(mail.mails) == len(hook.got) == 2
    assert {m["state"] for m in outbox(a)} == {"sent"}


def test_a_person_closes_it(a, hook):
    play(a, "a")
    told(a, one(hook.url()))
    close(a, 1, True, "ann", "new supplier")
    told(a, one(hook.url()))
    assert hook.got[1][1]["title"] == f"[closed] shop {version(0)}: threshold adapted: new supplier (ann), after 1 unhealthy update since {version(0)}"


def test_nobody_hears_of_what_was_over_before(a, hook):
    play(a, "a...")
    assert not told(a, one(hook.url())) and not hook.got


@pytest.mark.parametrize("answers, error", [([500], "not accepted, error 500"), ([404], "not accepted, error 404"), ([302], "not accepted, error 302")])
def test_refused_and_taken_later(a, hook, answers, error):
    hook.answers = answers
    play(a, "a"); at = now()
    first, = told(a, one(hook.url()), at)
    assert (first["state"], first["error"], first["tries"]) == ("pending", error, 1) and outbox(a)[0]["error"] == error
    assert not told(a, one(hook.url()), at+timedelta(minutes=4))
    assert told(a, one(hook.url()), at+timedelta(minutes=6))[0]["state"] == "sent" and set(hook.paths) == {"/hook"}   # a redirect leads nowhere


def test_server_down_and_up_again(a, mail, hook):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0)); closed = s.getsockname()[1]
    play(a, "a"); at = now()
    for scheme in ("json", "mailto"):
        error = post(f"{scheme}://127.0.0.1:{closed}/?from=a@example.org&to=b@example.org", "s", "b", "k")
        assert error.startswith("not accepted")
    told(a, one(f"json://127.0.0.1:{closed}/"), at)
    mail.refuse = True
    assert post(mail.url, "s", "b", "k").startswith("not accepted") and CANARY not in str(outbox(a))
    assert told(a, one(hook.url()), at+timedelta(hours=1))[0]["state"] == "sent"


def test_never_silently_dropped(a, hook):
    "Waits grow to six hours and no more; after the last try it is failed, and stays in the list."
    hook.answers = [500]*99
    play(a, "a"); at, waits = now(), []
    while (m := told(a, one(hook.url()), at)) and m[0]["state"] == "pending":
        nxt = outbox(a)[0]["next_try_at"]
        waits.append((nxt-at).total_seconds()/60); at = nxt
    assert len(hook.paths) == TRIES and waits[:4] == [5, 10, 20, 40] and max(waits) == 360 and m[0]["state"] == "failed"
    assert [(x["state"], x["tries"]) for x in outbox(a)] == [("failed", TRIES)] and not told(a, one(hook.url()), at+timedelta(days=99))


def test_what_failed_is_sent_once_more_when_somebody_asks(a, hook):
    "Failed or waiting: due at once, with all tries anew and the same key; sent and in work: left alone."
    play(a, "..x"); hook.answers = [503]*(TRIES+1)
    at, to = now(), one(hook.url())
    enqueue(a, "shop", to, at)
    for n in range(TRIES): deliver(a, "shop", to, at+timedelta(days=n))
    assert outbox(a)[0]["state"] == "failed"
    later = at+timedelta(days=30)
    assert len(retry(a, "shop", "ann", later)) == 1 and (outbox(a)[0]["state"], outbox(a)[0]["tries"]) == ("pending", 0) and "for ann" in outbox(a)[0]["error"]
    assert [(m["state"], m["tries"]) for m in deliver(a, "shop", to, later)] == [("pending", 1)]          # still down: it waits as usual
    assert deliver(a, "shop", to, later) == [] and retry(a, "shop", "ann", later)
    assert [m["state"] for m in deliver(a, "shop", to, later)] == ["sent"] and len(hook.got) == 1 and hook.got[0][0] == outbox(a)[0]["key"]
    assert retry(a, "shop", "ann", later) == [] and len(hook.got) == 1

def test_a_retry_leaves_what_another_sends(a, hook):
    play(a, "..x"); at, seen = now(), []
    enqueue(a, "shop", one(hook.url()), at)
    def slow(*_): seen.append(retry(a, "shop", "ann", at)); return ""
    assert [m["state"] for m in deliver(a, "shop", one(hook.url()), at, slow)] == ["sent"] and seen == [[]]
    def dies(*_): raise KeyboardInterrupt
    play(a, "   ...x"); enqueue(a, "shop", one(hook.url()), at)
    with pytest.raises(KeyboardInterrupt): deliver(a, "shop", one(hook.url()), at, dies)
    assert retry(a, "shop", "ann", at+LEASE/2) == [] and retry(a, "shop", "ann", at+2*LEASE)


def test_address_that_is_gone_is_said(a, hook):
    play(a, "a")
    enqueue(a, "shop", one(hook.url()))
    got, = deliver(a, "shop", [])
    assert (got["state"], got["error"]) == ("pending", "there is no such address any more")


def test_note_waits_for_the_alert(a, hook):
    hook.answers = [500]
    play(a, "a"); at = now()
    told(a, one(hook.url()), at)
    play(a, "a...", [1, 2, 3])
    assert not told(a, one(hook.url()), at+timedelta(minutes=1))
    told(a, one(hook.url()), at+timedelta(minutes=6))
    assert [p["title"][:11] for _, p in hook.got] == ["[unhealthy]", "[recovered]"]


def test_muted_then_reminded(a, hook):
    play(a, "a"); at = now()
    acknowledge(a, 1, duration("2d"), "ann", at=at)
    assert not told(a, one(hook.url()), at)
    wake(a, at+timedelta(days=3))
    assert [m["subject"][:9] for m in told(a, one(hook.url()), at+timedelta(days=3))] == ["[unhealth", "[still un"]
    acknowledge(a, 1, duration("2d"), "ann", at=at+timedelta(days=3))
    wake(a, at+timedelta(days=6)); told(a, one(hook.url()), at+timedelta(days=6))
    assert [p["title"].partition("]")[0] for _, p in hook.got] == ["[unhealthy", "[still unhealthy", "[still unhealthy"]


KILLED = """
import os, sys
from dsmon_research.archive import Archive
from dsmon_research.messages import Address, deliver, post
def dies(*message):
    if sys.argv[3] == "after": post(*message)
    os._exit(9)
with Archive(sys.argv[1]) as a: deliver(a, "shop", [Address("TEST#1 json", sys.argv[2])], send=dies)
"""

@pytest.mark.parametrize("when, times", [("before", 1), ("after", 2)])
def test_killed_between_sending_and_noting(a, hook, when, times):
    "At least once, under one key; nobody else sends while the first may still be at it."
    play(a, "a"); enqueue(a, "shop", one(hook.url()))
    a.close()
    done = subprocess.run([sys.executable, "-c", KILLED, a.url, hook.url(), when], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert outbox(a)[0]["state"] == "pending" and not told(a, one(hook.url()))
    assert told(a, one(hook.url()), now()+LEASE+timedelta(seconds=1))[0]["state"] == "sent"
    assert len(hook.got) == times and len({k for k, _ in hook.got}) == 1


def test_two_at_once_send_it_once(a, hook):
    play(a, "a..b"); enqueue(a, "shop", one(hook.url()))
    def work():
        with Archive(a.url) as b: deliver(b, "shop", one(hook.url()))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert sorted(p["title"][:11] for _, p in hook.got) == ["[unhealthy]"]*2 and {m["state"] for m in outbox(a)} == {"sent"}


HOSTILE = ["x\r\nBcc: evil@example.org\r\n\r\nbody", "<script>alert(1)</script><img src=http://evil.example/x>", "[pay](http://evil.example) @everyone", "\u202egnp.exe\x00\x1b[31m", "ü"*3000, "=cmd|' /C calc'!A0"]

@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_cells_are_inert(a, mail, hook, text):
    arrive(a, 0)
    record_assessment(a, "shop", version(0), verdict(0, "a", text=text))
    to = [Address("TEST#1 mailto", mail.url), Address("TEST#2 json", hook.url())]
    told(a, to); close(a, 1, False, text, text); told(a, to)
    assert len(mail.mails) == len(hook.got) == 2
    for envelope, m in mail.mails:
        assert envelope.rcpt_tos == ["owner@example.org"] and m["Bcc"] is None and m["To"].count("@") == 1
        subject = str(make_header(decode_header(m["Subject"])))
        assert "\n" not in subject.strip() and len(subject) < 260
        raw = b"".join(p.get_payload(decode=True) or b"" for p in m.walk())
        assert b"<script" not in raw and b"<img" not in raw and b"http://evil" not in raw
    for _, p in hook.got: assert not set(p["title"]+p["message"]) & set("<>@\x00\x1b\u202e\r") and "http://evil" not in p["message"]


def test_an_address_is_shown_nowhere(a, hook, mail, monkeypatch, caplog, capfd):
    "A canary in every address, every log at its loudest: it is in no log, output, error, file or message."
    root = logging.getLogger(); before = root.level
    root.setLevel(logging.DEBUG)
    monkeypatch.setenv("DSMON_NOTIFY", f"{hook.url(CANARY)}?token={CANARY} {mail.url.replace('mailto://', f'mailto://{CANARY}:{CANARY}@')} json://user:{CANARY}@127.0.0.1:9/{CANARY} slack://{CANARY}/b/c")
    said = []
    try:
        hook.answers = [500]
        play(a, "a"); at = now()
        try: addresses("shop")
        except UsageError as e: said.append(str(e)); monkeypatch.setenv("DSMON_NOTIFY", os.environ["DSMON_NOTIFY"].rpartition(" ")[0])
        to = addresses("shop")
        for hours in range(3): said.append(told(a, to, at+timedelta(hours=hours)))
        said += [to, [vars(i) for i in incidents(a)], outbox(a)]
    finally: root.setLevel(before)
    assert hook.got and hook.paths[0].startswith(f"/{CANARY}")      # it was really used
    out = capfd.readouterr()
    a.close()
    stored = b"".join(f.read_bytes() for f in [__import__("pathlib").Path(a.url.removeprefix("sqlite:///"))])
    for where in (str(said), caplog.text, out.out, out.err, str([p for _, p in hook.got]), stored.decode("latin-1")): assert CANARY not in where


@pytest.mark.parametrize("url", [CANARY, f"{CANARY}://x", f"nosuch://{CANARY}@host", f"keyring:{CANARY}", "mailto://"])
def test_wrong_address_is_one_error_without_it(monkeypatch, url):
    monkeypatch.setenv("DSMON_NOTIFY_SHOP", f"json://127.0.0.1:9/ {url}")
    with pytest.raises(UsageError, match="DSMON_NOTIFY_SHOP, address 2") as e: addresses("shop")
    shown = "".join(__import__("traceback").format_exception(e.value))
    assert CANARY not in shown


def test_own_address_wins(monkeypatch):
    monkeypatch.setenv("DSMON_NOTIFY", "json://all.example/")
    monkeypatch.setenv("DSMON_NOTIFY_MY_SHOP", "json://own.example/")
    assert [x.url for x in addresses("my-shop")] == ["json://own.example/"] and [x.url for x in addresses("other")] == ["json://all.example/"]
    monkeypatch.delenv("DSMON_NOTIFY")
    assert addresses("other") == []


def test_key_ring(monkeypatch):
    import keyring, keyring.backend, keyring.errors

    class Ring(keyring.backend.KeyringBackend):
        priority = 1
        def get_password(self, service, user):
            if user == "locked": raise keyring.errors.KeyringLocked(CANARY)
            return f"json://127.0.0.1:9/{CANARY}" if user == "ann" else None
        def set_password(self, *_): raise NotImplementedError
        def delete_password(self, *_): raise NotImplementedError
    was = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        monkeypatch.setenv("DSMON_NOTIFY", "keyring:dsmon/ann")
        got, = addresses("shop")
        assert got.url.endswith(CANARY) and CANARY not in repr(got)
        for user, kind in (("bob", UsageError), ("locked", SourceError)):
            monkeypatch.setenv("DSMON_NOTIFY", f"keyring:dsmon/{user}")
            with pytest.raises(kind, match="DSMON_NOTIFY, address 1") as e: addresses("shop")
            assert CANARY not in str(e.value)
    finally: keyring.set_keyring(was)
