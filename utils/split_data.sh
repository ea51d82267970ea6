#!/usr/bin/env bash
# Splits a data directory into N parts by speaker, <data-dir>/splitN/1 .. N; with --per-utt true anywhere, splitNutt.
set -euo pipefail
. ./path.sh

per_utt=false

. utils/parse_options.sh

if [ $# -ne 2 ]; then
  echo "Usage: $0 [--per-utt true|false] <data-dir> <num-parts>" >&2
  echo "e.g.: $0 data/train 4" >&2
  exit 1
fi
exec asrtool split-data-dir --per-utt "$per_utt" --num-parts "$2" "$1"
