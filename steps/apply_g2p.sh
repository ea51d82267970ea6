#!/usr/bin/env bash
# Pronounces the words of a list with a model of steps/train_g2p.sh: <output-dir>/lexicon.lex has lines "word probability phones",
# and <output-dir>/missing_words.txt the words that got none.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
var_counts=3     # pronunciations of a word, at most
var_mass=0.9     # no more once they are so probable together
max_normalize=false  # true: a word's likeliest one gets probability 1, as in lexiconp.txt

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <word-list> <g2p-dir> <output-dir>" >&2
  echo "e.g.: $0 oov_words.txt exp/g2p exp/g2p/oov_lex" >&2
  echo "Options: --cmd --var-counts --var-mass --max-normalize" >&2
  exit 1
fi
words=$1
model=$2/g2p.arpa.gz
dir=$3

for f in "$words" "$model"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"

$cmd "$dir/log/apply.log" asrtool apply-g2p --nbest "$var_counts" --var-mass "$var_mass" --probabilities true \
  --max-normalize "$max_normalize" "$model" "$words" "$dir/lexicon.lex"
awk 'NR == FNR { found[$1] = 1; next } NF && !($1 in found) { print $1 }' "$dir/lexicon.lex" "$words" | sort -u > "$dir/missing_words.txt"
echo "$dir/lexicon.lex: $(wc -l < "$dir/lexicon.lex") pronunciations; $(wc -l < "$dir/missing_words.txt") words without one" >&2
