#!/usr/bin/env bash
# Makes the synthetic Mandarin voice-search corpus: espeak-ng (the package espeakng-loader) speaks sentences of the grammar
# in local/lists, rooms and noise are added. Killed and started again it goes on; the same seed gives the same bytes.
set -euo pipefail

hours=2.5               # of training speech; valid and test have 0.12 of it each, at least 0.02 h
seed=1
nj=2                    # processes; changes nothing in the result
train_speakers=40
held_out_speakers=6     # in valid and in test, each
lm_sentences=60000      # lines of further text for the language model
clean=false             # true: no rooms, and no noise but the microphone's

. ./path.sh
. utils/parse_options.sh

if [ $# != 1 ]; then
  echo "Usage: $0 [options] <corpus-dir>" >&2
  echo " e.g.: $0 --hours 2.5 --seed 1 --nj 2 corpus" >&2
  echo "Options: --hours --seed --nj --train-speakers --held-out-speakers --lm-sentences --clean" >&2
  exit 1
fi

exec python local/make_corpus.py --hours "$hours" --seed "$seed" --nj "$nj" --train-speakers "$train_speakers" \
  --held-out-speakers "$held_out_speakers" --lm-sentences "$lm_sentences" --clean "$clean" "$1"
