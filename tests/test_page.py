"The page behind a message: what the archive says, before anybody is told; a page that cannot be written costs no verdict and no message."
import json, re

import numpy as np
import pytest

from dsmon_research import page, run as runs
from dsmon_research.archive import Archive
from dsmon_research.cli import main
from dsmon_research.incidents import incidents
from dsmon_research.page import load_archived, page_file, write_page
from dsmon_research.project import SourceError, UsageError
from dsmon_research.run import run
from test_run import BAD, csv, hook, name, past, project, put, shop, state  # noqa: F401 (fixtures)


def test_the_page_is_there_before_the_message(shop, hook, monkeypatch): # noqa: F811
    "What it shows is what the archive has: history, reasons, ranges, rows; and how to answer."
    put(shop, 32); run(["shop"], shop); put(shop, BAD)
    there, real = [], runs.deliver
    monkeypatch.setattr(runs, "deliver", lambda *a, **k: there.append(page_file("shop", shop).is_file()) or real(*a, **k))
    got, = run(["shop"], shop)
    assert (got.code, got.report, there) == (3, "reports/_watch/shop.html", [True]) and "  report: reports/_watch/shop.html" in got.text().splitlines()
    assert "Report: reports/_watch/shop.html in the project's folder" in hook.got[-1][1]["message"]
    text = page_file("shop", shop).read_text(encoding="utf-8")
    assert "Unhealthy" in text and name(BAD) in text and f"dsmon incidents label shop {name(BAD)} expected" in text and "canary" not in text and "Rows to look at" in text
    with Archive(root=shop) as a:
        data, said = load_archived(a, "shop", shop), a.select('SELECT u.source_version, s.p_value, s.verdict FROM assessment s JOIN "update" u ON u.id = s.update_id ORDER BY s.id')
        h = a.history("shop")
    d = data["history"]
    assert d["update"].tolist() == h.ids and d.rows.tolist() == h.metric(None, "rows").tolist() and d.p_value.dropna().tolist() == [r["p_value"] for r in said] and len(said) == 3
    assert d.alarm.dropna().tolist() == [r["verdict"] == "unhealthy" for r in said] and d.alarm.iloc[:31].isna().all() and data["verdict"]["rows"] == []
    why = data["verdict"]["reasons"][0]; b = data["bands"]; b = b[(b["column"] == why["column"]) & (b.metric == why["metric"])]
    assert (why["column"], why["metric"]) == ("city", "empty_share") or why["metric"] == "null_share"
    assert b.value.tolist() == h.metric("city", why["metric"]).tolist() and set(b.high) == {why["expected_high"]}
    assert data["columns"]["update"].nunique() == len(h) and data["columns"].loc[data["columns"]["update"] == name(BAD), "mean"].notna().any()
    assert data["reasons"].loc[data["reasons"]["update"] == name(BAD), "text"].tolist()[0] == why["text"]


def test_nothing_new_and_a_dry_run_write_nothing(shop, capsys): # noqa: F811
    file = page_file("shop", shop); put(shop, BAD); old = file.read_bytes()
    code, out = main(["run", "shop", "--dry-run"]), capsys.readouterr().out
    assert code == 3 and "report:" not in out, out
    assert file.read_bytes() == old and name(BAD) not in old.decode()
    assert main(["run", "shop"]) == 3 and file.read_bytes() != old
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert main(["run", "shop"]) == 0 and (file.read_bytes(), file.stat().st_mtime_ns) == before


@pytest.mark.parametrize("error, code, words", [(OSError(28, "No space left on device"), 5, "no report: .*No space left"), (SourceError("gone: look"), 5, "no report: gone: look"), (ValueError("a bug"), 1, "no report: ValueError: an error in this package")])
def test_a_page_that_cannot_be_written_costs_no_message(shop, hook, monkeypatch, capsys, error, code, words): # noqa: F811
    def fails(*_): raise error
    monkeypatch.setattr(runs, "write_page", fails); put(shop, BAD)
    got, = run(["shop"], shop)
    assert got.code == code and re.search(words, got.text()) and not got.report and "Traceback" not in got.text()
    assert len(hook.got) == 1 and got.verdicts[-1]["verdict"] == "unhealthy" and state(shop)[2] == [(hook.got[0][1]["title"], "sent")]
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


def test_of_what_nobody_judged_there_is_no_page(shop): # noqa: F811
    with Archive(root=shop) as a:
        write_page(a, "shop", shop)                       # its newest update was judged
        put(shop, 32)
        runs.capture("shop", shop, a)
        with pytest.raises(UsageError, match="`dsmon assess shop` judges its newest update"): write_page(a, "shop", shop)
        with pytest.raises(UsageError, match="gone"): write_page(a, "gone", shop)
    assert [f.name for f in (shop/"reports/_watch").iterdir()] == ["shop.html"]


def test_a_young_dataset_and_a_strange_name(project, capsys): # noqa: F811
    "Three updates, no verdict possible; columns and an update whose names would break a page, a query or a template."
    odd = "<script>alert(1)</script>{{7*7}}{name}"
    for d in range(3): (project/"in"/f"{{x}} {d}'.csv").write_text(csv(d).replace("city", odd).replace("price", "a'b"))
    assert main(["run", "shop", "--json"]) == 4
    said = json.loads(capsys.readouterr().out)["datasets"][0]
    text = (project/said["report"]).read_text(encoding="utf-8")
    assert "Cannot judge yet" in text and "<script>alert" not in text and "{{7*7}}" in text and "could be judged yet" in text
    with Archive(root=project) as a:
        from dsmon_research.report import render_report
        data = load_archived(a, "shop", project)
        data["verdict"] |= dict(verdict="unhealthy", once_in=1000, p_value=.001, reasons=[dict(rank=1, column=odd, metric="mean", observed=1., expected_low=2., expected_high=3., z=-4., text=f"`{odd}` has mean 1")])
        shown = render_report(data)
    assert "{x} 2" in shown and "<script>alert" not in shown and "incidents label shop" in shown and not incidents_of(project)

def incidents_of(root):
    with Archive(root=root) as a: return incidents(a, closed=True)


def test_only_the_last_updates_are_shown(shop, monkeypatch): # noqa: F811
    monkeypatch.setattr(page, "LAST", 5)
    with Archive(root=shop) as a: data = load_archived(a, "shop", shop); ids = a.history("shop").ids
    assert data["history"]["update"].tolist() == ids[-5:] == data["tables"]["update"].tolist() and data["columns"]["update"].nunique() == 5 and np.isfinite(data["alpha"])
