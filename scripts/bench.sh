#!/usr/bin/env bash
# DSMon-Bench: each TRACK:DATASET given (default: all that end within an hour) into metrics/bench, then the study that reads them.
set -euo pipefail
cd "$(dirname "$0")/.."
sets=("$@")
[[ $# -gt 0 ]] || sets=(A:fbposts_edbt2021 A:flights_edbt2021_rebuilt A:online_retail_by_day B:weather B:flights C:daiad_water C:italy_regioni_latest C:chicago_vaccinations D:weather D:flights M:flights M:weather M:online_retail_by_day)
out=$(mktemp -d); trap 'rm -rf "$out"' EXIT
mkdir -p metrics/bench
for s in "${sets[@]}"; do
  echo "$s"
  dsmon bench --track "${s%%:*}" --dataset "${s#*:}" --out "$out/one.json" > "$out/text"
  python -c "import json, sys; from dsmon_research.study import keep; print(keep(json.load(open(sys.argv[1]))))" "$out/one.json"
done
jupyter nbconvert --log-level WARN --to notebook --execute --inplace --ExecutePreprocessor.timeout=900 nbs/13c_study.ipynb </dev/null
nbdev-clean
