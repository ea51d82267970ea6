#!/usr/bin/env bash
# Trains a model that pronounces words which the lexicon lacks: <dir>/g2p.arpa.gz, for steps/apply_g2p.sh. <dir>/log/train.log says
# how well a model of nine tenths of the words pronounces the others.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
order=6          # of the longest n-grams of letter-phone pieces
iters=12         # of the alignment of letters and phones
held_out=0.1     # share of the words to test on; the model is trained on all

. utils/parse_options.sh

if [ $# != 2 ]; then
  echo "Usage: $0 [options] <dict-dir|lexicon> <dir>" >&2
  echo "e.g.: $0 data/local/dict exp/g2p" >&2
  echo "Options: --cmd --order --iters --held-out" >&2
  exit 1
fi
lexicon=$1
dir=$2

[ -e "$lexicon" ] || { echo "$0: ERROR: $lexicon: no such dictionary directory or lexicon" >&2; exit 1; }
mkdir -p "$dir/log"

$cmd "$dir/log/train.log" asrtool train-g2p --order "$order" --num-iters "$iters" --held-out "$held_out" "$lexicon" "$dir/g2p.arpa.gz"
sed -n 's/^held out: /held-out words: /p' "$dir/log/train.log" >&2
