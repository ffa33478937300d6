"The sensitivity statement: counts and answers by hand, blind and perfect monitors, runs that were killed, no look into the future, hostile names."
import json, os, shutil, subprocess, sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import BIN, ROOT, run
from dsmon_research import sensitivity as sn
from dsmon_research.config import UsageError, paths, rng
from dsmon_research.stages import run_stage

NASTY = '</td><script>alert(1)</script><img src=x onerror=alert(2)>`{{7*7}}\u202e'
PARAMS = """\
seed: 7
inject: {faults: {}}
backtest: {detectors: [max_z, topk_z, pca, forest], members: [max_z, topk_z, pca]}
sensitivity: {updates: 4, magnitudes: [0.001, 0.05, 0.3, 1.0]}
datasets:
  shop: {source: 'files:in/*.csv', key: [order], season: 7}
"""


def day(i, n, name="price"):
    g = rng(7, "sensitivity", i)
    city = g.choice(["Rome", "Turin", "Bari", "Genoa"], n, p=[.5, .25, .15, .1])
    price = g.gamma(3, 9, n).round(2)
    return f"order,city,{name},shop\n"+"".join(f"{i*1000+k},{city[k]},{price[k]},1\n" for k in range(n))


def build(root, days=60, params=PARAMS, name="price"):
    (root/"in").mkdir(parents=True); (root/"params.yaml").write_text(params)
    for i in range(days): (root/"in"/f"orders_{np.datetime64('2026-01-05')+i}.csv").write_text(day(i, int(rng(7, "rows", i).poisson(120 if i%7 < 5 else 80)), name))
    return measured(root)


def measured(root):
    for stage in ("collect", "profile"): run_stage(stage, "shop", root)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory): return build(tmp_path_factory.mktemp("sensitivity")/"p")


@pytest.fixture
def shop(made, tmp_path): return shutil.copytree(made, tmp_path/"p")


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    "A run that nobody disturbed: its project and its statement."
    root = shutil.copytree(made, tmp_path_factory.mktemp("whole")/"p")
    return root, sn.sensitivity("shop", root, workers=1)


def judged(s): return [c for c in s.cells if c.why is None]
def statement(root): return paths("shop", root).sensitivity.read_bytes()


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 8)), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_the_fitted_line_never_falls_and_loses_nothing(pairs):
    caught, n = np.array([a for a, _ in pairs]), np.array([a+b+1 for a, b in pairs])
    fit = sn.monotone(caught, n)
    assert (np.diff(fit) >= -1e-9).all() and fit@n == pytest.approx(caught.sum())
    if (np.diff(caught/n) >= 0).all(): assert np.allclose(fit, caught/n)


@pytest.mark.parametrize("caught, answer", [
    ([0, 0, 12, 12], (.1, 1.)), ([12]*4, (.01, 1.)), ([0]*4, (None, None)),
    ([0, 12, 10, 12], (.05, 1.)),           # one unlucky size is pooled with its neighbour
    ([0, 11, 10, 12], (1., 1.)),            # 21 of 24 are not enough
    ([12, 12, 12, 0], (.01, .1)),           # surely invisible in all rows, plain in a part
    ([12, 12, 12, 9], (.01, 1.)),           # 9 of 12 may be chance
    ([3, 5, 8, 9], (None, None))])
def test_the_answer_by_hand(caught, answer):
    assert sn.caught_range([.01, .05, .1, 1.], np.array(caught), np.full(4, 12)) == answer


def test_counts_are_those_of_the_p_values(whole):
    root, got = whole
    w = sn.prepare("shop", root)
    rows = [r for f in w.folder.glob("*.parquet") for r in pq.read_table(f).to_pylist()]
    assert len(got.updates) == 4 and sum(len(c.sizes) for c in got.cells) > 60
    for c in judged(got):
        for m, n, caught in zip(c.sizes, c.n, c.caught):
            p = [r["p"] for r in rows if (r["column"], r["kind"], r["size"]) == (c.column, c.kind, m) and r["p"] is not None]
            assert (n, caught) == (len(p), sum(x <= got.alpha for x in p)), (c, m)
    assert got == sn.read_sensitivity("shop", root)
    frame = got.to_frame()
    assert ((frame.low <= frame.power) & (frame.power <= frame.high)).all() and len(frame) == sum(len(c.sizes) for c in got.cells)


def test_what_cannot_be_made_has_a_reason(whole):
    at = {(c.column, c.kind): c for c in whole[1].cells}
    assert at["shop", "constant"].why and at["shop", "constant"].sizes == () and not at["shop", "constant"].missed
    assert ("price", "typos") not in at and ("city", "sign_flip") not in at           # no such fault in such a column
    assert at[None, "repeated_update"].sizes == at["city", "missing_column"].sizes == (1.,)
    assert all(m != .001 for c in at.values() for m in c.sizes)                       # less than a row
    assert {c for c, k in at if k == "missing"} == {"order", "city", "price", "shop"}


def pretend(monkeypatch, p):
    def champion(w, truth, params, alpha): return SimpleNamespace(p=np.full(len(truth.bad), .7), probe_p=np.full(len(truth.at), p))
    monkeypatch.setattr(sn, "champion", champion)


def test_a_blind_monitor_is_called_blind(shop, monkeypatch):
    pretend(monkeypatch, .9)
    got = sn.sensitivity("shop", shop, workers=1)
    assert all(c.blind for c in judged(got)) and {sn.short(c) for c in judged(got)} == {"×"}
    assert "no share of missing cells would be caught reliably in any column; invisible at every size tried:" in got.sentence
    assert all(set(sn.answers([c])) == {"never"} for c in judged(got))


def test_a_perfect_monitor_sees_the_smallest_size(shop, monkeypatch):
    pretend(monkeypatch, .001)
    got = sn.sensitivity("shop", shop, workers=1)
    assert all((c.smallest, c.largest) == (c.sizes[0], c.sizes[-1]) for c in judged(got))
    assert got.sentence == "At 1 false alert a month, 5 % of missing cells in any column would be caught; nothing that was tried stays invisible."


KILL = """\
import os, sys
from dsmon_research import sensitivity as sn
write, left = sn.write_piece, [2]
def dies(*args):
    got = write(*args); left[0] -= 1
    if not left[0]: os._exit(9)
    return got
sn.write_piece = dies
sn.sensitivity("shop", sys.argv[1], workers=1)
"""


def test_a_killed_run_goes_on_and_ends_the_same(shop, whole, monkeypatch):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", KILL, str(shop)], env=env, capture_output=True).returncode == 9
    folder = paths("shop", shop).pieces
    assert len(list(folder.iterdir())) == 2 and not paths("shop", shop).sensitivity.exists()
    kept = {f: f.stat().st_mtime_ns for f in folder.iterdir()}
    (folder/".torn.parquet.x").write_bytes(b"half"); (folder/"old.parquet").write_bytes(b"of another run")
    finished, finish = [], sn.finish
    monkeypatch.setattr(sn, "finish", lambda w, piece: finished.append(piece) or finish(w, piece))
    sn.sensitivity("shop", shop, workers=1)
    assert len(finished) == 2 and statement(shop) == statement(whole[0])
    assert {f: f.stat().st_mtime_ns for f in kept} == kept and not (folder/"old.parquet").exists()
    finished.clear(); sn.sensitivity("shop", shop, workers=1)
    assert not finished


def test_an_edit_takes_no_old_piece(shop, whole):
    old = {f.name for f in paths("shop", whole[0]).pieces.iterdir()}
    (shop/"params.yaml").write_text(PARAMS.replace("seed: 7", "seed: 8"))
    sn.sensitivity("shop", shop, workers=1)
    assert not old & {f.name for f in paths("shop", shop).pieces.iterdir()}


def test_two_processes_give_the_same_bytes(shop, whole):
    done = run(BIN/"dsmon", "sensitivity", "shop", "--json", cwd=shop, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert statement(shop) == statement(whole[0])
    got = json.loads(done.stdout)
    assert got["sentence"] == whole[1].sentence and len(got["cells"]) == len(whole[1].cells)
    assert all(lo <= p <= hi for c in got["cells"] for p, (lo, hi) in zip(c["power"], c["intervals"]))
    assert run(BIN/"dsmon", "sensitivity", "shop", cwd=shop, PYTHONPATH=str(ROOT)).stdout == whole[1].text()+"\n"


def pieces_until(root, last): # rows of every piece of updates up to `last`
    w = sn.prepare("shop", root)
    chosen = [t for t in sn.chosen_updates(w)[0] if t <= last]
    return chosen, [pq.read_table(sn.place(w, c)).to_pylist() for c in sn.pieces(w, chosen)]


def test_what_comes_later_changes_nothing(shop, whole):
    w = sn.prepare("shop", shop)
    last = sn.chosen_updates(w)[0][1]
    for f in sorted((shop/"in").iterdir())[last+1:]: f.write_text("order,city,price,shop\n"+"".join(f"{-k},zz{k},{1e6*k},9\n" for k in range(7)))
    measured(shop); sn.sensitivity("shop", shop, workers=1)
    (chosen, rows), (before, was) = (pieces_until(r, last) for r in (shop, whole[0]))
    assert chosen == before and len(chosen) == 2 and rows == was
    assert statement(shop) != statement(whole[0])                                     # the garbage did arrive


def test_hostile_names_are_text(tmp_path, monkeypatch):
    quoted = '"'+NASTY.replace('"', '""')+'"'
    root = build(tmp_path/"p", 40, PARAMS.replace("key: [order], ", ""), quoted)
    pretend(monkeypatch, .9)
    got = sn.sensitivity("shop", root, workers=1)
    assert NASTY in {c.column for c in got.cells}
    from test_report import tags
    page = got._repr_html_()
    assert set(tags(page).tags) <= {"p", "table", "tr", "th", "td", "small"} and "\u202e" not in page
    assert "\u202e" not in got.text() and got == sn.from_dict(json.loads(statement(root)))


def test_the_report_shows_it(tmp_path):
    import report_fixture as fx
    from dsmon_research import report as rp
    from test_report import tags
    root = fx.project(tmp_path/"p", ("taxi",), column=fx.NASTY, event=fx.NASTY)
    assert "Each fault was put into" not in rp.render_report(rp.load_report("taxi", root))
    fx.sensitivity_file(root, "taxi", fx.NASTY)
    page = rp.render_report(rp.load_report("taxi", root))
    assert "Each fault was put into 12 recent healthy updates" in page and "2 never and 1 only now and then" in page and "Where it is blind" in page
    assert not {"script", "img"} & set(tags(page).tags) and "\u202e" not in page


def test_too_little_history_says_so(tmp_path):
    root = build(tmp_path/"p", 20)
    done = run(BIN/"dsmon", "sensitivity", "shop", "--json", cwd=root, PYTHONPATH=str(ROOT))
    got = json.loads(done.stdout)
    assert done.returncode == 4 and got["cells"] == [] and got["needed"] == 9
    assert got["sentence"] == "At 1 false alert a month: nothing can be said yet, 9 more updates are needed before the first verdict."


def test_a_champion_that_knows_the_faults_is_not_asked(shop):
    (shop/"params.yaml").write_text(PARAMS.replace("pca]}", "pca], champion: forest}"))
    got = sn.sensitivity("shop", shop, workers=1)
    assert got.cells == () and "forest learns from injected faults" in got.sentence


def test_large_updates_are_not_varied(shop, monkeypatch):
    monkeypatch.setattr(sn, "LARGE", 50)
    got = sn.sensitivity("shop", shop, workers=1)
    assert got.cells and all("is not varied" in c.why for c in got.cells) and "no fault was judged" in got.sentence


def test_a_torn_statement_names_the_command(shop):
    with pytest.raises(UsageError, match="run `dsmon sensitivity shop`"): sn.read_sensitivity("shop", shop)
    file = paths("shop", shop).sensitivity
    file.parent.mkdir(); file.write_text('{"cells": [')
    with pytest.raises(UsageError, match="not whole"): sn.read_sensitivity("shop", shop)
