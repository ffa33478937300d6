#!/usr/bin/env bash
# Hygiene, notebooks, tests: all are run even if one fails; the summary comes last.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp -d); trap 'rm -rf "$log"' EXIT
failed=0; summary=""

step() {  # name, command ...
  local name=$1 begin=$SECONDS word=ok; shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$log/last" || { word=FAILED; failed=1; }
  summary+=$(printf '  %-10s %-7s %4d s' "$name" "$word" $((SECONDS-begin)))$'\n'
}

browser=$(scripts/browser.sh) || failed=1
export DSMON_BROWSER=${browser:-} PYTHONWARNINGS=${PYTHONWARNINGS:-}
step hygiene   python -m pytest -q tests/test_repo.py
step notebooks nbdev-test --n-workers 2
step tests     python -m pytest -q -n 2 --dist loadgroup --ignore tests/test_repo.py
closing=$(grep -E '[0-9]+ (passed|failed|error)' "$log/last" | tail -n 1)

printf '\n%s\n%s\n' "$summary" "${closing:-no test ran}"
[[ $closing ]] || failed=1
exit $failed
