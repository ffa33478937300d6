#!/usr/bin/env bash
# dvc repro, then where the results are.
set -euo pipefail
cd "$(dirname "$0")/.."
private() { mkdir -p .dvc/tmp; chmod 700 .dvc/tmp; }   # DVC keeps pickled caches there: nobody else may write or read them
private
[[ -e .git ]] || dvc config --local core.no_scm true    # an unpacked archive instead of a clone
dvc repro ${STAGES:-}
private
dsmon mlflow-sync
cat <<END

  reports and leaderboard   reports/index.html
  one dataset's report      $(ls -d reports/*/index.html 2>/dev/null | tr '\n' ' ')
  numbers                   $(ls metrics/*.json | tr '\n' ' ')
  compare runs in MLflow    make mlflow
END
