#!/usr/bin/env bash
# The dictionary of speechocean762 from the corpus's own lexicon: stress marks dropped (39 phones), SIL and SPN added.
set -euo pipefail

corpus=                 # the directory that holds speechocean762/

. ./path.sh
. utils/parse_options.sh

if [ $# != 1 ] || [ -z "$corpus" ]; then
  echo "Usage: $0 --corpus <dir> <dict-dir>" >&2
  echo " e.g.: $0 --corpus /corpora data/local/dict" >&2
  exit 1
fi

exec python local/prepare_dict.py "$corpus" "$1"
