#!/usr/bin/env bash
# Prints the path of a Chromium for the tests that look at reports; installs Debian's where there is none and we may.
set -euo pipefail
find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
find_browser && exit 0
apt=(apt-get)
[[ $(id -u) == 0 ]] || apt=(sudo -n apt-get)
if command -v apt-get >/dev/null && { [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null; }; then
  echo "browser: installing chromium" >&2
  export DEBIAN_FRONTEND=noninteractive
  "${apt[@]}" update -qq >&2
  "${apt[@]}" install -y -qq --no-install-recommends chromium >&2
  find_browser && exit 0
fi
echo "browser: no Chromium on PATH and no right to install one: install the package 'chromium', then run again" >&2
exit 1
