#!/bin/sh
# The study of README.md from end to end: three rounds are chosen on held-out rows, and then each reads dev, once.
# Ended and started again it goes on where it was. DATA is the folder with the official files; ASKBACK the command.
set -eu
cd "$(dirname "$0")/../.."
DATA=${DATA:-../shared/data/strategyqa}
ASKBACK=${ASKBACK:-.venv/bin/askback}
ROUNDS="strategyqa-smollm2 strategyqa-smollm2-round2 strategyqa-smollm2-round3"

[ -f "$DATA/train.jsonl" ] || { echo "DATA: $DATA has no train.jsonl; give the folder with the official files, as DATA=DIR make results" >&2; exit 2; }

stage() { # COMMAND ROUND
    started=$(date +%s)
    echo "== askback $1, $2"
    $ASKBACK "$1" "configs/$2.toml" --data "$DATA" --id "$2"
    echo "== askback $1, $2: $(($(date +%s) - started)) s"
}

for round in $ROUNDS; do stage choose "$round"; done
for round in $ROUNDS; do stage run "$round"; done
