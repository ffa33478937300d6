# `make repro` and `make test` are all that a fresh machine needs; both make the environment `.venv` from the lock first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# one thread per process: the stages use two worker processes, and sums do not depend on the machine's cores
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export NUMEXPR_NUM_THREADS := 1
export TF_NUM_INTRAOP_THREADS := 1
export TF_NUM_INTEROP_THREADS := 1
# nothing is reported to anyone
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: help env lock repro test soak audit bench bench-profile notebooks readme mlflow lab clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## .venv from requirements.lock (skipped when nothing changed; PYTHON=... chooses the interpreter)
	@scripts/env.sh

lock: env ## requirements.lock again from pyproject.toml (keeps pins that still fit; UPGRADE=--upgrade renews them)
	@uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --generate-hashes --no-emit-index-url --no-header $(UPGRADE) --quiet -o requirements.lock
	@scripts/env.sh

repro: env ## run every stage whose inputs changed, then say where the results are
	@scripts/repro.sh

test: env ## hygiene, notebooks, tests
	@scripts/test.sh

soak: env ## the long tests: generated tables against the reference, updates against the alert budget, archive and ingestion under kills, replays and crowds, the sources on 500 bad days and in 1,000 orders of arrival, every public history
	@DSMON_EXAMPLES=10000 python -m pytest -q tests/test_profile.py -k nothing_is_lost
	@DSMON_SOAK=1 python -m pytest -q -n 2 tests/test_budget.py
	@DSMON_SOAK=1 python -m pytest -q tests/test_archive.py tests/test_incidents.py tests/test_messages.py tests/test_monitor.py tests/test_run.py tests/test_ingest.py tests/test_degenerate.py
	@DSMON_SOAK=1 python -m pytest -q -s tests/test_killed.py tests/test_report.py -k killed
	@DSMON_SOAK=1 python -m pytest -q -s tests/test_sources.py tests/test_reliability.py tests/test_histories.py

audit: env ## what is installed against the lock: versions, hashes, every file, exceptions with an end (ARGS=--advisories asks the package index for known vulnerabilities)
	@python scripts/audit.py $(ARGS)

bench: env ## DSMon-Bench and its study, from the public histories in DSMON_DATA (about an hour; ARGS="TRACK:DATASET ..." for some)
	@scripts/bench.sh $(ARGS)

bench-profile: env ## the profiler against its peers, each in its own environment (about half an hour; ARGS=--help for parts)
	@python benchmarks/profile/run.py $(ARGS)

notebooks: env ## execute every notebook in place (outputs kept), then clean and export
	@scripts/notebooks.sh

readme: env ## README.md from nbs/index.ipynb
	@scripts/readme.sh

mlflow: env ## bring MLflow up to date with metrics/ and open it on http://127.0.0.1:5000
	@dsmon mlflow-sync
	@mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri "$$(python -c 'from dsmon_research.config import settings; print(settings().tracking_uri)')"

lab: env ## JupyterLab in nbs/
	@jupyter lab --notebook-dir nbs

clean: ## remove the environment and caches; data, reports and mlruns stay
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
