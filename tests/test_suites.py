"Rules and runs as Great Expectations knows them: there and back, counts that agree, and what an installed Great Expectations makes of them."
import json, os, subprocess, sys
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from dsmon_research.checks import Checks, Rule, from_suite, load_checks
from dsmon_research.cli import main
from dsmon_research.config import SourceError
from dsmon_research.suites import build_docs, result_of, suite_name, suite_of, write_docs

AT = datetime(2026, 11, 30, 6, tzinfo=timezone.utc)
EVIL = '<script>alert("x")</script>'
HOME = Path(__file__).parents[1]/"cache/bench/great_expectations/bin/python" # where `make bench-profile` keeps it

@pytest.fixture(scope="module")
def gx():
    python = os.environ.get("DSMON_GX_PYTHON") or (str(HOME) if HOME.is_file() else sys.executable if find_spec("great_expectations") else None)
    if python is None: pytest.skip("no Python with great_expectations: set DSMON_GX_PYTHON, or run `make bench-profile ARGS=--prepare`")
    return python

names = st.sampled_from(["a", "b c", 'q"uote', "{brace}", EVIL, "ü"])
limits = st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["2013-02-08", "2013-02-08T06:00:00Z"])
levels = st.sampled_from(["low", "medium", "high"])

@st.composite
def rules(draw):
    check, c, level = draw(st.sampled_from("present type not_null range length values pattern unique order depends same".split())), draw(names), draw(levels)
    other = draw(names.filter(lambda n: n != c))
    text = st.sampled_from(["x", "y'z", "{0}", EVIL])
    more = dict(present={}, not_null={}, same={}, type=dict(type=draw(st.sampled_from(["integer", "number", "time", "boolean"]))), range=dict(min=draw(limits), strict=draw(st.booleans())), length=dict(max=draw(st.integers(1, 9))),
                values=dict(values=draw(st.lists(text, min_size=1, max_size=3, unique=True))), pattern=dict(pattern=draw(st.sampled_from([r"[A-Z]{2}\d+", "a|b", r"^x$", "(?:a)|(?:b)", "a.*", r"\$"]))),
                unique=dict(columns=draw(st.sampled_from([[c], [c, other]]))), order=dict(columns=[c, other], strict=draw(st.booleans())), depends=dict(on=[other], pairs=draw(st.none() | st.just([["1", "2"], ["{x}", "'"]]))))[check]
    return Rule(check=check, criticality=level, **(dict(column=c) if check not in ("unique", "order") else {}), **more)

@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(rules(), max_size=6))
def test_there_and_back(given):
    suite = json.loads(json.dumps(suite_of(Checks(given), "s"), allow_nan=False))
    got = from_suite(suite)
    assert got.rules == tuple(given) and got.skipped == ()
    assert len({e["id"] for e in suite["expectations"]}) == len(given)

@pytest.mark.parametrize("regex,good,bad", [("N", ["N", "xN", "N\nx"], ["x"]), ("^N", ["Nx"], ["xN"]), ("N$", ["xN"], ["Nx"]), ("^a|b$", ["ax", "xb"], ["xax"]), ("^(?:a|b)$", ["a"], ["ab"]), ("^(?:a)|(?:b)$", ["ax", "xb"], ["xax"]), (r"^a\$", ["a$b"], ["a"])])
def test_regex_means_what_it_means_there(regex, good, bad): # `Series.str.contains`
    import re
    checks = from_suite(dict(expectations=[dict(type="expect_column_values_to_match_regex", kwargs=dict(column="c", regex=regex))]))
    values = [*good, *bad]
    assert [re.search(regex, v) is None for v in values] == [v in bad for v in values]
    assert checks.check(pa.table({"c": values})).mask.tolist() == [v in bad for v in values]

@pytest.mark.parametrize("kind,kwargs,why", [("expect_column_values_to_be_between", dict(min_value=0, max_value=1, strict_max=True), "write two"), ("expect_column_values_to_be_in_type_list", dict(type_list=["str", "int"]), "type"),
                                             ("expect_column_unique_value_count_to_be_between", dict(max_value=3), "no counterpart"), ("unexpected_rows_expectation", dict(unexpected_rows_query="SELECT * FROM {batch}"), "no counterpart"), ("expect_column_values_to_match_regex", {}, "lacks 'regex'")])
def test_what_has_no_counterpart_is_said(kind, kwargs, why):
    got = from_suite(dict(expectations=[dict(type=kind, kwargs=dict(column="c") | kwargs)]))
    assert not got.rules and len(got.skipped) == 1 and why in got.skipped[0]

def shop(n=200): return pa.table({"id": list(range(n)), "fare": [float(i % 50) for i in range(n)], "zone": ["AB"[i % 2] for i in range(n)], "low": [i % 5 for i in range(n)], "day": ["2026-01-01"]*n, "note": pa.array([None if i % 40 == 0 else i for i in range(n)])})
RULES = Checks([Rule(column="fare", check="range", min=0, max=49, criticality="high"), Rule(column="zone", check="values", values=["A", "B"]), Rule(column="zone", check="pattern", pattern="[A-Z]"), Rule(column="id", check="not_null"), Rule(columns=["id"], check="unique"),
                Rule(columns=["low", "id"], check="order"), Rule(column="day", check="same"), Rule(column="zone", check="length", max=1), Rule(column="fare", check="type", type="number"), Rule(column="id", check="type", type="integer"),
                Rule(column="id", check="present"), Rule(column="gone", check="present"), Rule(columns=["zone", "id"], check="unique")], "by hand")
def wrong(t, column, rows, value): return t.set_column(t.column_names.index(column), t.schema.field(column), pa.array([value if i in rows else v for i, v in enumerate(t[column].to_pylist())], t.schema.field(column).type))
SPOILT = [shop(), wrong(shop(), "fare", {3, 5}, -1.), wrong(shop(), "zone", {7}, "q"), wrong(shop(), "id", {9}, None), wrong(shop(), "low", {11, 12}, 999), wrong(shop(), "day", {1}, "2026-01-02"), wrong(shop(), "zone", {2}, "AA")]

def test_a_result_counts_what_the_rules_count():
    t = wrong(wrong(shop(), "fare", {3, 5}, -1.), "id", {9}, None)
    got, out = RULES.check(t), None
    out = result_of(RULES, "shop", "a.csv", "ab"*32, got, AT)
    failed = {r["expectation_config"]["type"]: r["result"] for r in out["results"] if not r["success"]}
    assert failed["expect_column_values_to_be_between"]["partial_unexpected_index_list"] == [3, 5] and failed["expect_column_values_to_be_between"]["partial_unexpected_counts"] == [dict(value=-1.0, count=2)]
    assert failed["expect_column_values_to_not_be_null"]["unexpected_count"] == 1 and failed["expect_column_to_exist"] == {} and len(failed) == len(got.findings)
    assert out["statistics"]["unsuccessful_expectations"] == len(failed) and out["meta"]["dsmon"]["bad"] == 200 and out["meta"]["dsmon"]["criticality"] == "high" and not out["success"]
    assert json.loads(json.dumps(out, allow_nan=False)) == out
    none = result_of(RULES, "shop", "b.csv", "cd"*32, None, AT, "b.csv: no table")
    assert not none["success"] and all(r["exception_info"]["raised_exception"] for r in none["results"]) and none["statistics"]["successful_expectations"] == 0
    assert result_of(Checks(RULES.rules[:4]), "s", "a.csv", "ab"*32, Checks(RULES.rules[:4]).check(shop()), AT)["success"]

def test_odd_cells_and_names(tmp_path):
    t = pa.table({EVIL: pa.array([float("nan"), float("inf"), 1.]), "d": pa.array([datetime(2026, 1, 1), None, datetime(1999, 1, 1)]), "l": [[1], [2], [3]]})
    checks = Checks([Rule(column=EVIL, check="range", max=2), Rule(column="d", check="range", min="2000-01-01"), Rule(column="gone", check="not_null")])
    f = write_docs(tmp_path, checks, "../../x y", "../"+EVIL, "ab"*32, checks.check(t), AT)
    got = json.loads(f.read_text())
    assert f.parent == tmp_path/"results" and [len(r["result"].get("partial_unexpected_list", [])) for r in got["results"]] == [1, 1, 0] and got["results"][0]["result"]["missing_count"] == 1
    assert suite_name("../../x y") == "______x_y" and load_checks(tmp_path/"suite.json").rules == checks.rules

def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path); monkeypatch.delenv("DSMON_GX_PYTHON", raising=False); monkeypatch.setenv("DSMON_ARCHIVE", f"sqlite:///{tmp_path}/a.db")
    (tmp_path/"raw").mkdir(); RULES.save(tmp_path/"rules.json"); RULES.save(tmp_path/"rules.yaml")
    assert load_checks("rules.json").rules == load_checks("rules.yaml").rules == RULES.rules
    for i, t in enumerate(SPOILT[:3]): pq.write_table(t, tmp_path/f"raw/{i}.parquet")
    (tmp_path/"raw/x.csv").write_text("\x1f\x8b no table")
    assert main("check raw/0.parquet raw/1.parquet --rules rules.json --datadocs docs".split()) == 3
    said = capsys.readouterr().out
    assert len(list((tmp_path/"docs/results").iterdir())) == 2 and ("build_docs.py" in said or "index.html" in said)
    assert main("ingest --raw raw --rules rules.yaml --datadocs runs".split()) == 3
    got = {json.loads(f.read_text())["meta"]["dsmon"]["file"]: json.loads(f.read_text()) for f in (tmp_path/"runs/results").iterdir()}
    assert sorted(got) == ["0.parquet", "1.parquet", "2.parquet", "x.csv"] and got["x.csv"]["meta"]["dsmon"]["error"]
    capsys.readouterr()
    assert main("check docs/suite.json --rules rules.yaml --datadocs docs --gx-python /no/such/python".split()) in (2, 5) and capsys.readouterr().err.count("\n") == 1
    assert main("ingest --raw raw --rules rules.yaml --datadocs raw".split()) == 2 and "folder of the job" in capsys.readouterr().err
    with pytest.raises(SourceError, match="No such file|not found"): build_docs(tmp_path/"docs", "/no/such/python")

def test_great_expectations_builds_the_site(gx, tmp_path):
    t = shop().append_column(EVIL, pa.array([EVIL]*200))
    checks = Checks((*RULES.rules, Rule(column=EVIL, check="values", values=["<b>"]), Rule(column=EVIL, check="pattern", pattern="<i>"), Rule(column=EVIL, check="depends", on=["zone"])), EVIL)
    for n, (result, error) in enumerate([(checks.check(t), ""), (checks.check(t.slice(0, 0)), ""), (None, f"{EVIL}: no table")]): write_docs(tmp_path, checks, "shop", f"{n}{EVIL}.csv", f"{n}"*64, result, AT, error)
    for _ in range(2): site = build_docs(tmp_path, gx) # a second time: the same pages
    pages = {p.name: p.read_text() for p in site.parent.rglob("*.html")}
    assert len(pages) == 3+2 and not any("<script>alert" in p for p in pages.values())
    assert all("alert(" in p for n, p in pages.items()) # the text itself is shown

_KEEP = """
import json, sys, great_expectations as gx
from pathlib import Path
at = Path(sys.argv[1]); suite = json.loads((at/"suite.json").read_text())
c = gx.get_context(mode="file", project_root_dir=at/"own"); c.suites.add(gx.ExpectationSuite(**suite))
c.suites.get(suite["name"])
"""
def test_great_expectations_keeps_the_suite(gx, tmp_path):
    checks = Checks((*RULES.rules, Rule(column="zone", check="depends", on=["low"], pairs=[["1", "{A}"]]), Rule(column="d", check="range", min="2000-01-01", criticality="low")))
    write_docs(tmp_path, checks, "shop", "a.csv", "ab"*32, checks.check(shop()), AT); (tmp_path/"own").mkdir()
    done = subprocess.run([gx, "-c", _KEEP, tmp_path], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "GX_ANALYTICS_ENABLED": "false"})
    assert done.returncode == 0, done.stderr[-500:]
    got = load_checks(tmp_path/"own/gx/expectations/shop.json") # as Great Expectations wrote it
    assert got.rules == checks.rules and not got.skipped

_RUN = """
import json, sys, pandas as pd, great_expectations as gx
from pathlib import Path
at = Path(sys.argv[1]); suite = json.loads((at/"suite.json").read_text())
c = gx.get_context(mode="ephemeral"); c.variables.progress_bars = {"globally": False}
batch = c.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
out = []
for f in sorted(at.glob("*.parquet")):
    got = batch.get_batch({"dataframe": pd.read_parquet(f, dtype_backend="numpy_nullable")}).validate(gx.ExpectationSuite(**suite), result_format="COMPLETE")
    by = {r.expectation_config.id: r for r in got.results}
    out.append([(by[e["id"]].success, by[e["id"]].result.get("unexpected_count"), by[e["id"]].exception_info.get("raised_exception", False)) for e in suite["expectations"]])
print(json.dumps(out))
"""
def test_great_expectations_says_the_same(gx, tmp_path):
    for i, t in enumerate(SPOILT): pq.write_table(t, tmp_path/f"{i}.parquet")
    (tmp_path/"suite.json").write_text(json.dumps(suite_of(RULES, "shop")))
    done = subprocess.run([gx, "-c", _RUN, tmp_path], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "GX_ANALYTICS_ENABLED": "false"})
    assert done.returncode == 0, done.stderr[-500:]
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    for t, said in zip(SPOILT, theirs):
        ours = result_of(RULES, "shop", "f", "ab"*32, RULES.check(t), AT)["results"]
        assert [(r["success"], r["result"].get("unexpected_count") if n is not None else None) for r, (_, n, _) in zip(ours, said)] == [(s, n) for s, n, _ in said] and not any(e for *_, e in said)
    assert sum(not s for table in theirs for s, *_ in table) >= 13 # each spoilt table breaks something beside the column that is gone
