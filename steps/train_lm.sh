#!/usr/bin/env bash
# Trains an n-gram model, may mix it with others and prune it, and writes it as ARPA; prints the perplexity of held-out text.
# In this order: train, interpolate (weights by EM on the dev text), prune by entropy, perplexity. What the stages before the last
# model leave stays beside it: <name>_trained.arpa.gz, <name>_mixed.arpa.gz, <name>_histories.arpa.gz.
#
# Usage: steps/train_lm.sh [options] <text> [<more-text> ...] <arpa>
#  e.g.: steps/train_lm.sh --order 5 --vocab data/lang/words.txt --dev-text data/valid/text data/train/text data/local/lm/lm5.arpa.gz

set -euo pipefail

order=3
smoothing=kneser-ney # or katz
min_counts=1         # least occurrences of the n-grams of each order: "1 1 2" leaves trigrams out that occur once
gt_max="1 7"         # katz: the greatest counts of each order that are discounted
vocab=               # the model's words: a list or a lang directory's words.txt (default: the words of the text)
unknown_word=        # stands for words outside the vocabulary (default: n-grams with them are left out)
utterance_ids=true   # lines start with an utterance id, as a data directory's text
memory_gib=2         # for sorting
nj=1                 # processes and threads
dev_text=            # in the form of the text
interpolate=         # ARPA files to mix with the new model: "a.arpa.gz b.arpa.gz"
interpolate_weights= # "0.6 0.3 0.1", the new model's first (default: those that fit the dev text best)
prune=               # n-grams that lower the perplexity by less, relatively, are taken out: 1e-8
prune_histories=     # an ARPA file that gives the histories' probabilities (default: for kneser-ney a Katz model of the text)
stage=0              # 0 train, 1 interpolate, 2 prune, 3 perplexity
. utils/parse_options.sh

if [ $# -lt 2 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
. ./path.sh
arpa=${!#}
text=("${@:1:$#-1}")
name=${arpa%.gz}
name=${name%.arpa}
trained=$arpa
[ -z "$interpolate$prune" ] || trained=${name}_trained.arpa.gz
mixed=$trained
[ -z "$interpolate" ] || mixed=$arpa
[ -z "$interpolate" ] || [ -z "$prune" ] || mixed=${name}_mixed.arpa.gz

if [ -n "$interpolate" ] && [ -z "$interpolate_weights$dev_text" ]; then
  echo "$0: --interpolate needs --interpolate-weights or --dev-text" >&2
  exit 1
fi

train() {  # smoothing, ARPA file
  asrtool train-lm --order "$order" --smoothing "$1" --min-counts "$min_counts" --gt-max "$gt_max" ${vocab:+--vocab "$vocab"} \
    ${unknown_word:+--unknown-word "$unknown_word"} --utterance-ids "$utterance_ids" --memory-gib "$memory_gib" --nj "$nj" \
    "${text[@]}" "$2"
}

if [ "$stage" -le 0 ]; then
  train "$smoothing" "$trained"
fi
if [ "$stage" -le 1 ] && [ -n "$interpolate" ]; then
  if [ -n "$interpolate_weights" ]; then
    weights=(--weights "$interpolate_weights")
  else
    weights=(--dev-text "$dev_text" --utterance-ids "$utterance_ids")
  fi
  # shellcheck disable=SC2086  # a list of files
  asrtool interpolate-lm "${weights[@]}" "$trained" $interpolate "$mixed"
fi
if [ "$stage" -le 2 ] && [ -n "$prune" ]; then
  if [ -z "$prune_histories" ] && [ "$smoothing" = kneser-ney ]; then
    prune_histories=${name}_histories.arpa.gz
    train katz "$prune_histories"
  fi
  asrtool prune-lm --threshold "$prune" ${prune_histories:+--history-lm "$prune_histories"} "$mixed" "$arpa"
fi
if [ "$stage" -le 3 ] && [ -n "$dev_text" ]; then
  asrtool perplexity --utterance-ids "$utterance_ids" --top-oovs 10 "$arpa" "$dev_text"
fi
