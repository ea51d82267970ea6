#!/usr/bin/env bash
# Data directories train, valid and test from the corpus that local/make_corpus.sh made, the texts for the language model
# (<data-dir>/local/lm/{train,valid,test}.txt) and the list of words (<data-dir>/local/words.txt).
set -euo pipefail

. ./path.sh
. utils/parse_options.sh

if [ $# != 2 ]; then
  echo "Usage: $0 <corpus-dir> <data-dir>" >&2
  echo " e.g.: $0 corpus data" >&2
  exit 1
fi

exec python local/prepare_data.py "$1" "$2"
