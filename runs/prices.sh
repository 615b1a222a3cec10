#!/usr/bin/env bash
# The prices that ship: genai-prices' table of the newest release, read once into src/trimtab/plan/catalog/prices.csv.
#
#   runs/prices.sh [RELEASE]      default: the newest one
#
# Cost: nothing, a minute, and a package index. genai-prices (MIT) would add pydantic and an HTTP client to every install
# for the sake of this table: so it is put into a folder that is thrown away. Look at `git diff` before you commit it.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-.venv/bin/python}

"$python" -m venv "$folder"
"$folder/bin/pip" install --quiet "genai-prices${1:+==$1}" msgspec
PYTHONPATH=src "$folder/bin/python" -m trimtab.plan.snapshot
