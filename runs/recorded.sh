#!/usr/bin/env bash
# A small record of real answers: 40 GSM8K questions as GPT-4o mini and Llama 3.1 8B answered them, from ZeroEval.
#
#   runs/recorded.sh [--data DIR]        DIR holds routing/zeroeval_gsm_math_crux.parquet (default ../shared/data)
#
# The source is Apache-2.0 (WildEval/ZeroEval); pyarrow is only needed here, so it lives in an environment of its own.
# Cost: nothing but 20 s, most of it to install pyarrow. It writes tests/data/recorded_gsm8k.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."

data=../shared/data
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    *) echo "unknown option $1 (there is only --data DIR)" >&2; exit 2 ;;
  esac
done
table=$data/routing/zeroeval_gsm_math_crux.parquet
[ -f "$table" ] || { echo "no $table: give --data DIR" >&2; exit 2; }

venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet pyarrow

mkdir -p tests/data
"$venv/bin/python" - "$table" tests/data/recorded_gsm8k.jsonl <<'PYTHON'
"""The first 40 GSM8K questions, by their ids, that both models answered; the text is the model's own, whole."""
import json
import sys

import pyarrow.parquet as parquet

MODELS = {"gpt-4o-mini-2024-07-18": "gpt-4o-mini", "Meta-Llama-3.1-8B-Instruct": "llama-3.1-8b-instruct"}
table, out = sys.argv[1:]
rows = [row for row in parquet.read_table(table).to_pylist() if row["task"] == "gsm"]
rows = sorted(rows, key=lambda row: int(row["qid"].rsplit("#", 1)[1]))
kept = [row for row in rows if all(row[f"text:{model}"] for model in MODELS)][:40]
with open(out, "w", encoding="utf-8") as file:
    for row in kept:
        for model, name in MODELS.items():
            line = {
                "question": row["question"], "answer": row[f"text:{model}"], "model": name,
                "ok": row[f"ok:{model}"], "source": f"WildEval/ZeroEval {row['qid']}",
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
print(f"{2 * len(kept)} lines in {out}")
PYTHON
