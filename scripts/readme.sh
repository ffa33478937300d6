#!/usr/bin/env bash
# README.md from nbs/index.ipynb: code left out, pictures beside it in docs/readme/.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf docs/readme
jupyter nbconvert --log-level WARN --to markdown --output-dir . --output README --NbConvertApp.output_files_dir=docs/readme \
  --RegexRemovePreprocessor.patterns='^\s*#\|\s*hide\s' --TemplateExporter.exclude_input=True nbs/index.ipynb
sed -i 's/!\[png\]/![Flights: every detector as a dot with its interval, share of injected faults caught within the alert budget]/' README.md
