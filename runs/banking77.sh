#!/usr/bin/env bash
# The banking skill: a head for 77 customer questions over the house encoder, calibrated, with an outside.
#
#   runs/banking77.sh [--data DIR]        DIR holds guard/intent_*.jsonl (default ../shared/data)
#
# Needs the project's own environment, no GPU, no torch, 1 GB of memory. Cost: nothing but time.
# On 2 shared CPU cores under load: 9 min with the 4 other splits, of which 2 min read 25,000 texts.
set -euo pipefail
cd "$(dirname "$0")/.."

data=../shared/data
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?--data needs a folder}; shift 2 ;;
    *) echo "unknown option $1 (there is only --data DIR)" >&2; exit 2 ;;
  esac
done
guard=$data/guard
[ -f "$guard/intent_banking77_train.jsonl" ] || { echo "no $guard/intent_banking77_train.jsonl: give --data DIR" >&2; exit 2; }
python=${PYTHON:-.venv/bin/python}

# CLINC150's banking and card intents, and exchange_rate, are banking questions: they can't stand for the outside.
# Those of them that no Banking77 intent covers are scored apart, as the hard kind of outside ("near").
ours=transfer,transactions,balance,freeze_account,pay_bill,bill_balance,bill_due,interest_rate,routing,min_payment
ours=$ours,order_checks,pin_change,report_fraud,account_blocked,spending_history,credit_score,report_lost_card
ours=$ours,credit_limit,rewards_balance,new_card,application_status,card_declined,international_fees,apr
ours=$ours,redeem_rewards,credit_limit_change,damaged_card,replacement_card_duration,improve_credit_score
ours=$ours,expiration_date,exchange_rate
near=credit_score,improve_credit_score,apr,rewards_balance,redeem_rewards,routing,order_checks,min_payment
near=$near,interest_rate,bill_balance,bill_due

# 80 % of each intent train the head; 10 % choose its penalty, its votes, its temperature and its limit, and then join in
# its weights; 10 % only score it.
PYTHONPATH=src "$python" -m trimtab.train.head src/trimtab/answer/skills/banking77 \
  --inside "$guard/intent_banking77_train.jsonl" \
  --outside "$guard/intent_clinc150_oos_train.jsonl" "$guard/intent_clinc150_train.jsonl" \
  --unseen oos="$guard/intent_clinc150_oos_val.jsonl" other="$guard/intent_clinc150_val.jsonl" \
  --ours "$ours" --near "$near" --seed 1 --splits 4 --by runs/banking77.sh --licence "CC BY 4.0" \
  --source \
  "Banking77, Casanueva et al. 2020, PolyAI task-specific-datasets, CC BY 4.0" \
  "CLINC150, Larson et al. 2019, clinc/oos-eval, CC BY 3.0"
