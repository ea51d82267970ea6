#!/usr/bin/env bash
# Data directories of speechocean762: train, dev and devtest from the official training half, by the speakers in
# local/spk_*.txt, and test from the official test half where the corpus has one.
set -euo pipefail

corpus=                 # the directory that holds speechocean762/

. ./path.sh
. utils/parse_options.sh

if [ $# != 1 ] || [ -z "$corpus" ]; then
  echo "Usage: $0 --corpus <dir> <data-dir>" >&2
  echo " e.g.: $0 --corpus /corpora data" >&2
  echo "<dir> holds speechocean762/{train,WAVE,resource} and, if it is to be scored, speechocean762/test" >&2
  exit 1
fi

exec python local/data_prep.py "$corpus" "$1"
