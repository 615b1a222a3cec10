#!/usr/bin/env bash
# The tagger of Thai names, which the encoder's vocabulary has no letters for; 0.4 MB in src/trimtab/encode/thai.
#
#   runs/thai.sh [--out DIR]
#
# Everything it is taught is drawn by rule from word lists (CC0) and names (MIT) of two pinned packages, and from
# sentences of our own. No GPU, 1 GB of memory beside the environment of runs/encoder.sh; 10 minutes of one core that others use too.
# Measured: see src/trimtab/encode/thai/CARD.md, and benchmarks/thai.py for how.
set -euo pipefail
cd "$(dirname "$0")/.."

out=src/trimtab/encode/thai
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    *) echo "unknown option $1 (there is only --out DIR)" >&2; exit 2 ;;
  esac
done
train=.venv-train/bin/python

echo "== 1/2 environment .venv-train"
[ -x "$train" ] || python3 -m venv .venv-train
echo '*' > .venv-train/.gitignore
"$train" -m pip install --quiet torch==2.13.0 numpy==2.4.6 msgspec==0.22.0 Faker==40.63.0
"$train" -m pip install --quiet --no-deps pythainlp==5.4.0
lists=$("$train" -c 'import importlib.util as u; print(u.find_spec("pythainlp").submodule_search_locations[0])')/corpus

echo "== 2/2 train, set the threshold, seal ($out)"
PYTHONPATH=src nice "$train" -W ignore -m trimtab.train.thai "$lists" "$out"
ls -l "$out"
