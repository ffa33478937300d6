#!/usr/bin/env bash
# Makes .venv from requirements.lock: Python 3.11 to 3.13, every package checked against its hash, this project editable on top.
# Skipped when lock, pyproject.toml and place are those of the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.stamp
now="$(pwd) $(cat requirements.lock pyproject.toml scripts/env.sh | sha256sum | cut -d' ' -f1)"
[[ -x .venv/bin/dsmon && -f $stamp && "$(cat $stamp)" == "$now" ]] && exit 0

# A name on PATH may be a shim that fails: the first that really runs, is new enough and can make environments is taken.
usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; }
python=
for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
  if usable "$candidate"; then python=$candidate; break; fi
done
[[ $python ]] || { echo "make env: no Python 3.11 to 3.13 with venv found (tried: ${PYTHON:-python3.11 python3.12 python3.13 python3 python}): install one, or name it with PYTHON=/path/to/python" >&2; exit 2; }

# An environment that was moved or copied, or whose Python is gone, points elsewhere: make it anew.
if [[ -d .venv ]] && ! { usable .venv/bin/python && [[ ! -f $stamp || "$(cut -d' ' -f1 $stamp)" == "$(pwd)" ]]; }; then rm -rf .venv; fi
rm -f $stamp
[[ -x .venv/bin/python ]] || { echo "make env: .venv with $("$python" -V)"; "$python" -m venv .venv; }

# uv's own pin and hashes are in the lock too.
if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
  sed -n '/^uv==/,/# via/p' requirements.lock > .venv/uv.txt
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
fi
export VIRTUAL_ENV="$PWD/.venv"
.venv/bin/python -m uv pip sync --require-hashes requirements.lock
.venv/bin/python -m uv pip install --quiet --no-deps --no-build-isolation -e .
echo "$now" > $stamp
echo "make env: .venv is ready ($(.venv/bin/python -V))"
