#!/usr/bin/env bash
# What the planner ships beside its formulas: coefficients fitted on measured rows, and the table of weights.
#
#   runs/planner.sh [--data DIR]        DIR holds the planner's csv files (default ../shared/data/planner)
#
# Cost: nothing but about 5 minutes of one core. It writes src/trimtab/plan/catalog/{coefficients.json,weights.csv}, then
# scores what came out on rows whose device and model no fit had seen (benchmarks/results/planner.json).
set -euo pipefail
cd "$(dirname "$0")/.."

data=../shared/data/planner
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    *) echo "unknown option $1 (there is only --data DIR)" >&2; exit 2 ;;
  esac
done
[ -f "$data/speed_local.csv" ] || { echo "no $data/speed_local.csv: give --data DIR" >&2; exit 2; }
python=${PYTHON:-.venv/bin/python}

"$python" -m trimtab.plan.weights
"$python" -m trimtab.plan.fit --data "$data"
"$python" benchmarks/planner.py --data "$data"
