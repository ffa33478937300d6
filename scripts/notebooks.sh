#!/usr/bin/env bash
# Executes every notebook in place, each in its own folder, and leaves them clean and exported.
set -euo pipefail
cd "$(dirname "$0")/.."
find nbs -name '*.ipynb' -not -path '*/.*' -not -path 'nbs/reports/*' | sort | while read -r nb; do
  echo "$nb"
  jupyter nbconvert --log-level WARN --to notebook --execute --inplace --ExecutePreprocessor.timeout=900 "$nb" </dev/null
done
nbdev-clean
nbdev-export
