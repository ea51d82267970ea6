#!/usr/bin/env bash
# Trains an n-gram model by interpolated modified Kneser-Ney and writes it as ARPA; prints the perplexity of held-out text.
#
# Usage: steps/train_lm.sh [options] <text> [<more-text> ...] <arpa>
#  e.g.: steps/train_lm.sh --order 5 --vocab data/lang/words.txt --dev-text data/valid/text data/train/text data/local/lm/lm5.arpa.gz

set -euo pipefail

order=3
vocab=               # the model's words: a list or a lang directory's words.txt (default: the words of the text)
unknown_word=        # stands for words outside the vocabulary (default: n-grams with them are left out)
utterance_ids=true   # lines start with an utterance id, as a data directory's text
dev_text=            # in the same form
stage=0              # 0 train, 1 perplexity
. utils/parse_options.sh

if [ $# -lt 2 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
. ./path.sh
arpa=${!#}

if [ "$stage" -le 0 ]; then
  asrtool train-lm --order "$order" ${vocab:+--vocab "$vocab"} ${unknown_word:+--unknown-word "$unknown_word"} \
    --utterance-ids "$utterance_ids" "$@"
fi
if [ "$stage" -le 1 ] && [ -n "$dev_text" ]; then
  asrtool perplexity --utterance-ids "$utterance_ids" "$arpa" "$dev_text"
fi
