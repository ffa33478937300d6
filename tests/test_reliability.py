"Sources against clocks, hostile names, stray paths, addresses that must not be asked, planted secrets, and the net."
import csv, gzip, io, json, os, random, re, shutil, sqlite3, subprocess, sys, tarfile, tempfile, threading, time, zipfile
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa, pyarrow.parquet as pq
import pytest

from conftest import ROOT
from dsmon_research import collect, extracts as ex, gitfile, logs, portal, propose, sqltable, tarball, trigger, web as w
from dsmon_research.archive import Archive, export, verify
from dsmon_research.capture import capture
from dsmon_research.config import SourceError, UsageError

SOAK = bool(os.environ.get("DSMON_SOAK"))


def project(folder, source, empty=b"", key="[]"):
    text = (ROOT/"params.yaml").read_text()
    (folder/"params.yaml").write_text(text[:text.index("\ndatasets:")]+f"\ndatasets:\n  d: {{source: '{source}', key: {key}}}\n")
    if empty: (folder/"data").mkdir(exist_ok=True); (folder/"data"/"archive.db").write_bytes(empty)
    return folder


# 5: arrival

def history_of(folder): # what the archive says in the end, apart from when it was seen
    from dsmon_research.history import digest
    with Archive(root=folder) as a:
        h = a.history("d")
        return [(i, str(t), digest(h, n)) for n, (i, t) in enumerate(zip(h.ids, h.times))], len(a.select('SELECT id FROM "update"')), bool(verify(a))


def test_permutations_of_arrival_give_one_archive(tmp_path, monkeypatch, empty_archive):
    "Updates that come late, twice, out of order and with a revision between them: always the state of those who came in order."
    day = lambda d: datetime(2026, 1, d, tzinfo=timezone.utc)
    tables = [pa.table(dict(k=list(range(40+3*n)), v=[(7*i+n) % 11/4 for i in range(40+3*n)])) for n in range(7)]
    made = [collect.Update(f"2026-01-0{n+1}", day(n+1), lambda t=t: t, "", 1, f"c{n}") for n, t in enumerate(tables[:6])]
    again = collect.Update("2026-01-03", day(3), lambda: tables[6], "", 1, "c6")              # the third day, corrected
    there = []
    monkeypatch.setitem(collect.SOURCES, "made", lambda *_: sorted(there, key=lambda u: u.time))
    def arrive(order, rng, name):
        folder = tmp_path/name; folder.mkdir(); project(folder, "made:x", empty_archive, "[k]"); there.clear()
        for step in order:
            there[:] = [u for u in there if u.id != step.id]+[step]
            for _ in range(rng.choice((0, 1, 1, 2)) if step is not made[2] else 1): capture("d", folder)     # not looked at, looked at, twice
        capture("d", folder)
        last = capture("d", folder)
        assert (last.new, last.revision, last.compared) == ([], [], 0)
        return history_of(folder)
    want = arrive([*made, again], random.Random(0), "in-order")
    assert want[1] == 7 and want[2]
    orders, rng = set(), random.Random(1)
    while len(orders) < (1000 if SOAK else 15):
        order = rng.sample(range(7), 7)
        if order.index(6) > order.index(2): orders.add(tuple(order))
    for n, order in enumerate(sorted(orders)):
        assert arrive([(*made, again)[i] for i in order], random.Random(n), f"{n}") == want, order
    print(f"\n{len(orders)} orders of arrival, 0 that differ")


# 7: clocks

ZONES = ("America/Chicago", "Europe/Rome", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia", "UTC")

@pytest.mark.parametrize("zone", ZONES)
def test_every_quarter_of_an_hour_of_two_years_is_read_in_its_zone(zone):
    "A log's local times: each that exists gives its instant, of a doubled hour the first one, of an hour that is not there the instant that the clocks would have shown."
    z, t, bad = ZoneInfo(zone), datetime(2025, 1, 1, tzinfo=timezone.utc), []
    seen = set()
    while t < datetime(2027, 1, 1, tzinfo=timezone.utc):
        local = t.astimezone(z)
        text = local.strftime("%Y-%m-%d %H:%M:%S")
        got = logs.line_time(text, z)
        if got.tzinfo != timezone.utc or (got != t and text not in seen): bad.append((text, got))
        if logs.line_time(local.isoformat(), z) != t: bad.append(local)        # with its offset nothing is doubtful
        seen.add(text); t += timedelta(minutes=15)
    assert not bad, bad[:3]


def test_gap_and_fold():
    z = ZoneInfo("America/Chicago")
    utc = lambda *a: datetime(*a, tzinfo=timezone.utc)
    assert logs.line_time("2026-03-08 02:30:00", z) == utc(2026, 3, 8, 8, 30)                  # does not exist: the clock went from 2 to 3
    assert logs.line_time("2026-11-01 01:30:00", z) == utc(2026, 11, 1, 6, 30)                 # exists twice: the first
    assert logs.line_time("2026-11-01 01:30:00-06:00", z) == utc(2026, 11, 1, 7, 30)
    assert logs.line_time("2026-11-01T01:30:00Z", z) == utc(2026, 11, 1, 1, 30)


def test_the_zone_of_the_machine_changes_nothing(tmp_path):
    "The same files, log, table and archive under four zones of the process: one content of the archive."
    (tmp_path/"in").mkdir()
    (tmp_path/"in"/"x_2026-03-29T02-30.csv").write_text("t,v\n2026-03-29 02:30,1\n")
    (tmp_path/"in"/"x_2026-10-25T02-30.csv").write_text("t,v\n2026-10-25 02:30,2\n")
    (tmp_path/"s.log").write_text("2026-03-29 02:30:00 rows update summary {Rows Deleted=0, Rows Updated=1, Rows Created=2}\n2026-10-25 02:30:00 rows update summary {Rows Deleted=0, Rows Updated=1, Rows Created=3}\n")
    with sqlite3.connect(tmp_path/"x.db") as con: con.execute("CREATE TABLE t (day TEXT, v INT)"); con.executemany("INSERT INTO t VALUES (?, ?)", [("2026-03-29", 1), ("2026-10-25", 2), ("2026-10-26", 3)])
    con.close()
    text = (ROOT/"params.yaml").read_text()
    (tmp_path/"params.yaml").write_text(text[:text.index("\ndatasets:")]+"\ndatasets:\n  f: {source: 'files:in/*.csv'}\n  c: {source: 'files:in/*.csv#date=column:t'}\n  l: {source: 'log:s.log?zone=Europe/Rome'}\n  q: {source: 'sql:sqlite:///x.db#t?watermark=day'}\n")
    code = "import sys\nfrom dsmon_research.capture import capture\nfrom dsmon_research.archive import Archive\nfor n in 'fclq': capture(n)\nimport json\nwith Archive() as a: print(json.dumps([(d['name'], u['source_version'], str(u['published_at']), u['content_hash'][:12]) for d in a.select('SELECT name FROM dataset ORDER BY name') for u in a.current(d['name'])]))"
    said = set()
    for tz in ("UTC", "Pacific/Auckland", "America/St_Johns", "Europe/Rome"):
        shutil.rmtree(tmp_path/"data", ignore_errors=True)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ | dict(TZ=tz, DSMON_ROOT=str(tmp_path)))
        assert done.returncode == 0, done.stderr[-500:]
        said.add(done.stdout)
    assert len(said) == 1
    got = {(d, v): t for d, v, t, _ in json.loads(said.pop())}
    assert got["f", "x_2026-03-29T02-30"] == "2026-03-29 02:30:00+00:00" and got["l", "2026-10-25T00:30:00Z"] == "2026-10-25 00:30:00+00:00" and len(got) == 8


# 9: names

def payloads(n=200):
    "Names as somebody who means harm, or a spreadsheet, would give them."
    base = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg/onload=alert(1)>", "'; DROP TABLE \"update\"; --", "\" OR 1=1 --", "Robert\"); DROP TABLE t;--", "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1:A9)", "\t=1",
            "a\nb", "a\r\nb", "a\u2028b", "\u202egnp.exe", "\u2066isolated\u2069", "\u200bzero", "e\u0301", "é", "Ünïcödé", "日本語", "مرحبا", "שלום", "🙂", "\U0001f1ee\U0001f1f9", "a"*300, "`code`", "**bold**", "[pay](http://evil.example)", "![x](http://evil.example/x.png)",
            "{{7*7}}", "${jndi:ldap://x}", "%s%s%n", "{0.__class__}", "$\\frac{1}{2}$", "\\u0041", "a\\b", "../../etc/passwd", "..%2f..%2f", "C:\\x", "con", "NUL", "~", "-rf", "--help", "*", "?", "[x]", "a,b", "a;b", "a|b", "a\"b", "a'b", "null", "None", "NaN", "true", "0", "1e309", "0x1", "01", " ", "  a  ", ".", "·", "name·2", "#date=mtime", "?what=rows", "a#b", "&amp;", "&lt;b&gt;", "<!-- x -->", "]]>", "\x1b[31mred\x1b[0m", "\x07bell", "\x7f", "\u0085", "ﬀ", "İ", "ß", "ǆ"]
    rng, out = random.Random(3), dict.fromkeys(base)
    while len(out) < n: out[rng.choice(base)+rng.choice(base)] = None
    return list(out)[:n]


def test_two_hundred_names_are_inert_everywhere(tmp_path, empty_archive):
    names = payloads()
    (tmp_path/"in").mkdir()
    table = pa.table({n: [n, "x"] for n in names})
    pq.write_table(table, tmp_path/"in"/"2026-01-01.parquet")
    cell = lambda v: '"'+v.replace('"', '""')+'"'
    (tmp_path/"in"/"2026-01-02.csv").write_bytes(("\n".join([",".join(map(cell, names)), ",".join(map(cell, names)), ",".join(map(cell, names))])+"\n").encode())
    (tmp_path/"in"/"2026-01-03.jsonl").write_text(json.dumps({n: n for n in names})+"\n")
    with gzip.open(tmp_path/"in"/"2026-01-04.tsv.gz", "wt", newline="") as f: f.write("\t".join(map(cell, names))+"\n"+"\t".join(map(cell, names))+"\n")
    project(tmp_path, "files:in/*", empty_archive)
    got = capture("d", tmp_path)
    assert got.new == [f"2026-01-0{n}" for n in (1, 2, 3, 4)], got.text()
    with Archive(root=tmp_path) as a:
        h = a.history("d")
        assert set(names) <= set(h.columns), [n for n in names if n not in h.columns][:5]
        kept = [c["name"] for c in a.select("SELECT name FROM column_profile WHERE update_id = 2 ORDER BY position")]
        assert kept == names                                                     # as published, to the letter
        assert {t["name"] for t in a.select("SELECT name FROM sqlite_master WHERE type = 'table'")} >= {"update", "ledger"} and verify(a)
        with export(a, tmp_path/"all.csv", "d").open(newline="", encoding="utf-8") as f: cells = [c for row in csv.reader(f) for c in row]
        assert len(cells) > 1000 and not [c for c in cells if c[:1] in ("=", "+", "@", "\t", "\r", "\n") or (c[:1] == "-" and not re.fullmatch(r"-[\d.e+-]+", c))]
    p = propose.propose(f"files:{tmp_path}/in/*.csv")
    assert tuple(names) == p.columns
    for html in (got._repr_html_(), p._repr_html_()): assert not re.search(r"<(?!/?pre>)", html)
    from dsmon_research.contract import run_event
    event = json.loads(json.dumps(run_event(dict(dataset="d", update=names[0], verdict="unhealthy", p_value=0., reasons=[dict(column=n, metric="null_share") for n in names]))))
    assert [x["column"] for x in event["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"][1:]] == names


def test_names_from_outside_never_reach_sql_html_or_a_terminal_as_they_are(tmp_path, capsys):
    from dsmon_research.cli import main
    for n in payloads():
        if "\0" in n or not n.strip(): continue
        assert re.fullmatch(r'"(?:[^"]|"")*"(\."(?:[^"]|"")*")*', sqltable.quoted(n)) and trigger.Trigger(n[:200], "d").channel.isidentifier()
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", n):
            with pytest.raises(UsageError): propose.check_name(n)
        at = ex.save_extract(tmp_path/"x", pa.table({"a": ["1"]}), n, datetime.now(timezone.utc), n, n, 1)
        assert at.parent == tmp_path/"x" and re.fullmatch(r"[A-Za-z0-9%._~-]+", at.name)
        capsys.readouterr()
        main(["capture", n]) if n[0] != "-" else None
        assert not [c for c in capsys.readouterr().err.rstrip("\n") if not c.isprintable()]
    got = portal.Watched("x", failed={n: n for n in payloads()})
    assert got.to_dict()["failed"] == {n: n for n in payloads()}


# 11: paths

STRAY = ["..", "../x", "a/../../x", "....//x", "/etc/passwd", "//etc/passwd", "/./x", "%2e%2e/x", "%2e%2e%2fx", "..%2fx", "..%c0%afx", "..\\x", "C:\\x", "\\\\host\\x", "~/x", "~root/x", "x/./../../y", ".", "./..", "a/..", "x\0y", "\0", "a"*300, "a/"*200+"x", "con/../..", "$HOME/x", "`id`", "; rm x", "..;/x", ".. /x", "\u2025/x", "\uff0e\uff0e/x", "file:///etc/passwd", "x\n../y"]

def everything(folder): return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_hundred_stray_paths_stay_inside(tmp_path):
    "Ids, members, cache names, links: whatever they are called, what is written lies below the place for it, and nothing else is read."
    outside, root, n = tmp_path/"outside", tmp_path/"project", 0
    outside.mkdir(); root.mkdir(); (root/"params.yaml").write_text("datasets: {}"); (tmp_path/"project-x").mkdir()
    (outside/"secret.csv").write_text("a\ncanary-outside\n")
    before = everything(outside)
    for s in STRAY: # ids and origins of extracts
        at = ex.save_extract(ex.extract_folder(f"sql:{s}", root), pa.table({"a": ["1"]}), s, datetime.now(timezone.utc), s, s, 1)
        assert at.resolve().is_relative_to((root/"data"/"extracts").resolve()) and ex.extracts(at.parent)[0].id == s; n += 1
    for s in STRAY: # members of an archive
        if "\0" in s: continue
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as t:
            info = tarfile.TarInfo(s+"/m.csv"); info.size = 4; t.addfile(info, io.BytesIO(b"a\n1\n"))
            link = tarfile.TarInfo("link.csv"); link.type, link.linkname = tarfile.SYMTYPE, str(outside/"secret.csv"); t.addfile(link)
        (root/"t.tar").write_bytes(sink.getvalue())
        got = tarball.source_updates("t.tar", None, root)
        assert [u.read().to_pydict() for u in got] == [dict(a=["1"])]; n += 1
        z = io.BytesIO()
        with zipfile.ZipFile(z, "w") as f: f.writestr(s+"/m.csv", "a\n1\n")
        (root/"x.zip").write_bytes(z.getvalue())
        assert next(collect.updates("files:x.zip", None, root)).read().to_pydict() == dict(a=["1"]); n += 1
    subprocess.run(["git", "init", "-q", str(root/"repo")], check=True)
    for s in STRAY: # paths into a repository
        with pytest.raises((UsageError, SourceError)): gitfile.source_updates(f"repo#{s}", None, root)
        n += 1
    (root/"repo"/"a.csv").symlink_to(outside/"secret.csv")
    subprocess.run(["git", "-C", str(root/"repo"), "add", "-A"], check=True)
    subprocess.run(["git", "-C", str(root/"repo"), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"], check=True)
    with pytest.raises(SourceError): gitfile.source_updates("repo#a.csv", None, root)              # a link in a repository is not followed
    assert n >= 100 and everything(outside) == before and everything(tmp_path/"project-x") == []
    assert not [p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and b"canary-outside" in p.read_bytes()]
    print(f"\n{n} stray paths, all inside")


# 12: addresses

INNER = """127.0.0.1 127.1.2.3 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
::1 :: fe80::1 fe80::1%eth0 fc00::1 fd12:3456::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2001::1 2002:7f00:1::1 2001:db8::1 100::1 localhost 2130706433 0x7f000001 0177.0.0.1 127.1""".split()

@pytest.mark.parametrize("address", INNER)
def test_no_inner_address_is_public(address, monkeypatch):
    assert not w.is_public(address)
    monkeypatch.delenv("DSMON_PRIVATE_HOSTS", raising=False); monkeypatch.delenv("DSMON_HOSTS", raising=False)
    monkeypatch.setattr(w.socket, "getaddrinfo", lambda host, port, **_: [(2, 1, 6, "", (address, port))])
    with pytest.raises(SourceError, match="an address inside"): w.addresses("data.example.org", 443)


@pytest.mark.parametrize("url", ["http://data.example.org/x", "https://evil.example/x", "https://data.example.org.evil.example/x", "https://data.example.org@evil.example/x", "https://evil.example\\@data.example.org/x", "https://data.example.org:8443/x", "ftp://data.example.org/x", "file:///etc/passwd",
                                 "gopher://data.example.org/x", "https://DATA.example.org%2eevil.example/x", "https://[::1]/x", "https://127.0.0.1/x", "//evil.example/x", "https:///x", "https://data.example.org:x/", "javascript:alert(1)", "https://user:pw@data.example.org/x", "https://d\u0430ta.example.org/x"])
def test_no_other_place_is_asked(url, monkeypatch):
    monkeypatch.delenv("DSMON_PRIVATE_HOSTS", raising=False); monkeypatch.delenv("DSMON_HOSTS", raising=False)
    with pytest.raises(SourceError): w.check_place(url, frozenset({"data.example.org"}))
    assert w.check_place("https://data.example.org/x", frozenset({"data.example.org"}))


# 13: secrets

def test_planted_secrets_are_nowhere(tmp_path, monkeypatch, capsys):
    "A token, a login and a password by reference: not in params.yaml, archive, extracts, messages, events, standard output or a traceback."
    import traceback
    from dsmon_research import standin
    from dsmon_research.cli import main
    canary = {"APP": "canary-token-5c1", "LOGIN": "ann:canary-login-8d2", "PGPASS_X": "canary/pg%40 9e3"}
    for k, v in canary.items(): monkeypatch.setenv(k, v)
    monkeypatch.setenv("DSMON_ROOT", str(tmp_path)); project(tmp_path, "example:flights")
    traces = []
    with standin.Portal(rows=60, token=canary["APP"]) as p:
        monkeypatch.setenv("DSMON_PRIVATE_HOSTS", p.place)
        source = f"socrata:{p.place}/0000-data?api=3&rate=1000&token=env:APP&login=env:LOGIN"
        for args in (["init", "web", "--source", source], ["capture", "web"], ["assess", "web", "--openlineage", str(tmp_path/"e.json")], ["portal", p.place, "--token", "env:APP", "--login", "env:LOGIN", "--rate", "1000", "--json"]): main(args)
        p.script[:] = ["404"]*9
        main(["capture", "web"])
        try: list(collect.updates(source, None, tmp_path))
        except SourceError as e: traces.append("".join(traceback.format_exception(e)))
    for uri in ("sql:postgresql://ann:env:PGPASS_X@127.0.0.1:1/x#t", "sql:postgresql://ann:env:PGPASS_X@127.0.0.1:1/x#SELECT 1"):
        main(["init", "pg", "--source", uri])
        try: list(collect.updates(uri, None, tmp_path))
        except SourceError as e: traces.append("".join(traceback.format_exception(e)))
        assert main(["listen", "web", "--table", "t", "--url", uri.partition(":")[2].partition("#")[0], "--timeout", "1"]) == 5
    out, err = capsys.readouterr()
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    words = [x for v in canary.values() for x in (v, v.partition(":")[2] or v, "canary")]
    assert len(files) >= 5 and (tmp_path/"e.json").is_file() and len(traces) == 3
    assert not [f for f in files if any(x.encode() in f.read_bytes() for x in words)]
    assert not [x for x in words if x in out+err+"".join(traces)]


# 17: the net

def test_a_run_opens_no_connection_that_nothing_names(tmp_path):
    "Every verb of a scheduled day on local files, with an audit hook on the socket: nobody is looked up, nobody is called."
    (tmp_path/"in").mkdir()
    for d in range(1, 29): (tmp_path/"in"/f"2026-02-{d:02d}.csv").write_text("k,v\n"+"".join(f"{i},{(7*i+d) % 13}\n" for i in range(60+d % 7)))
    project(tmp_path, "files:in/*.csv")
    hook = ("import sys, os\nfound = []\ndef hear(event, args):\n    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto', 'urllib.Request') and not (event == 'socket.connect' and isinstance(args[1], (str, bytes))): found.append((event, str(args)))\nsys.addaudithook(hear)\n"
            "from dsmon_research.cli import main\ncodes = [main(a.split()) for a in ('capture d', 'assess d --openlineage e.json', 'run d', 'incidents d', 'archive verify', 'archive export d --out x.csv', 'watch d --times 1', 'profile in/2026-02-01.csv', 'init e --source files:in/*.csv')]\nprint('CODES', codes, 'FOUND', found)")
    done = subprocess.run([sys.executable, "-c", hook], capture_output=True, text=True, cwd=tmp_path, env=os.environ | dict(DSMON_ROOT=str(tmp_path)))
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert last.startswith("CODES [") and last.endswith("FOUND []"), (last, done.stderr[-500:])
    assert not set(json.loads(re.search(r"CODES (\[.*?\])", last)[1]))-{0, 3, 4}, (last, done.stderr[-500:])


# the listener, with a database that dies

@pytest.mark.xdist_group("postgres")
def test_the_listener_outlives_its_backend(tmp_path):
    pgserver, psycopg = pytest.importorskip("pgserver"), pytest.importorskip("psycopg")
    project(tmp_path, "files:in/*.csv")
    server = pgserver.get_server(tempfile.mkdtemp(prefix="dsmon-pg"), cleanup_mode="delete")
    try:
        url, t, runs, said = server.get_uri(), trigger.Trigger("load_log", "d"), [], []
        def insert(n): # again while the server starts
            until = time.monotonic()+60
            while True:
                try:
                    with psycopg.connect(url, autocommit=True) as con: return con.execute("INSERT INTO load_log (n) VALUES (%s)", (n,))
                except psycopg.OperationalError:
                    if time.monotonic() > until: raise
                    time.sleep(.2)
        def wait_for(what, seconds=60):
            until = time.monotonic()+seconds
            while not what():
                assert time.monotonic() < until and ear.is_alive(), (runs, said)
                time.sleep(.05)
        with psycopg.connect(url, autocommit=True) as con: con.execute("CREATE TABLE load_log (id serial, n int)")
        trigger.change(t, url)
        insert(1)
        def do(name, root):
            with psycopg.connect(url, autocommit=True) as con: runs.append(con.execute("SELECT max(n) FROM load_log").fetchone()[0])
            return 0, "ran"
        got = []
        ear = threading.Thread(target=lambda: got.append(trigger.listen(t, url, tmp_path, 4, 120., said.append, do)), daemon=True); ear.start()
        wait_for(lambda: runs == [1])
        insert(2); wait_for(lambda: runs == [1, 2])                              # a signal
        backend = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        def ears(): # the listener's own backend, when those of others are gone
            with psycopg.connect(url, autocommit=True) as con: return [p for p, in con.execute(backend)]
        wait_for(lambda: len(ears()) == 1)
        with psycopg.connect(url, autocommit=True) as con:
            con.execute("ALTER TABLE load_log DISABLE TRIGGER ALL"); con.execute("INSERT INTO load_log (n) VALUES (3)"); con.execute("ALTER TABLE load_log ENABLE TRIGGER ALL")     # a row without a signal
            assert con.execute("SELECT pg_terminate_backend(%s)", (con.execute(backend).fetchone()[0],)).fetchone()[0]
        wait_for(lambda: runs == [1, 2, 3])
        wait_for(lambda: len(ears()) == 1)
        os.kill(ears()[0], 9)                                                          # the whole server starts again
        wait_for(lambda: sum("connected again" in s for s in said) >= 2)         # it may be let in once more before the server goes down
        insert(4)
        ear.join(60)
        assert got == [[0]*4] and runs == [1, 2, 3, 4] and sum("again in 1 s" in s for s in said) >= 2, said
    finally: server.cleanup()
