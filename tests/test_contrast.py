"Today against the past: names the column and the rows, is silent where it cannot know, repeats itself, looks at nothing but the past."
import numpy as np
import pyarrow as pa
import pytest

from conftest import BIN, run
from dsmon_research.config import rng
from dsmon_research.contrast import contrast, references, rule

DAY = 86400.


def shop(day, n=400, spoilt=None):
    "A day of sales: amount follows quantity, every shop sells alike."
    g = rng(5, "contrast", day)
    quantity, shop_ = g.integers(1, 30, n), g.choice(["north", "south", "east", "west"], n)
    amount = quantity*7.5*(1+.05*g.standard_normal(n))
    bad = np.zeros(n, bool)
    if spoilt == "unit": bad = shop_ == "west"; amount = np.where(bad, amount*4, amount)
    if spoilt == "relation": bad = g.random(n) < .4; amount[bad] = g.permutation(amount[bad])
    if spoilt == "empty": bad = g.random(n) < .1
    names = [None if spoilt == "empty" and b else str(s) for s, b in zip(shop_, bad)]
    stamp = pa.array((day*DAY+g.integers(0, 86400, n)).astype(np.int64), pa.timestamp("s"))
    return pa.table(dict(day=np.full(n, day), quantity=quantity, amount=amount, shop=names, at=stamp)), bad


def look(spoilt=None, seed=0, n=400):
    table, bad = shop(40, n, spoilt)
    return table, bad, contrast(table, [shop(d, n)[0] for d in (39, 38, 37, 36, 35)], [d*DAY for d in (40, 39, 38, 37, 36, 35)], seed=seed)


@pytest.mark.parametrize("spoilt, column", [("unit", "amount"), ("empty", "shop"), ("relation", "amount")])
def test_names_column_and_rows(spoilt, column):
    table, bad, got = look(spoilt)
    assert got.clear and column in list(got.columns)[:2]
    hit = (got.rows & bad).sum()
    assert hit > .8*got.rows.sum() and hit > (.3 if spoilt == "relation" else .6)*bad.sum()
    if spoilt == "unit": assert list(got.columns)[0] == "amount" and rule(table, got.rows, ("amount",)) == "`shop` is west"


def test_healthy_day_has_few_culprits_and_no_rule():
    table, _, got = look()
    assert got.rows.mean() < .06 and got.auc < .65 and rule(table, got.rows, ()) == ""


def test_calendar_and_later_time_are_no_difference():
    _, _, got = look()
    assert max(got.columns.get("day", 0), got.columns.get("at", 0)) < .05


def test_repeats_itself():
    a, b = look("unit")[2], look("unit")[2]
    assert a.columns == b.columns and np.array_equal(a.score, b.score) and a.cut == b.cut


def test_large_updates_are_scored_in_full():
    table, bad, got = look("unit", n=4000)
    assert len(got.score) == 4000 and (got.rows & bad).sum() > .6*bad.sum()


def test_only_the_past_is_compared_with():
    healthy = np.ones(100, bool); healthy[[43, 49]] = False
    got = references(50, healthy, 7)
    assert max(got) < 50 and 43 not in got and 49 not in got and got[:3] == [36, 29, 22]
    later = healthy.copy(); later[50:] = False
    assert references(50, later, 7) == got


def test_new_and_missing_columns():
    table, _, _ = look()
    past = [shop(d)[0] for d in (39, 38, 37, 36)]
    times = [d*DAY for d in (40, 39, 38, 37, 36)]
    gone = contrast(table.drop_columns(["shop"]), past, times)
    extra = contrast(table.append_column("more", pa.array(["x"]*400)), past, times)
    assert list(gone.columns)[0] == "shop" and list(extra.columns)[0] == "more"


def test_too_little_is_none():
    table, _, _ = look()
    assert contrast(table, [table, table], [0, 1, 2]) is None
    assert contrast(table.slice(0, 5), [table]*5, [0]*6) is None


def test_import_without_sklearn():
    done = run(BIN/"python", "-c", "import dsmon_research.contrast, sys; print([m for m in ('sklearn', 'scipy', 'pandas') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout+done.stderr
