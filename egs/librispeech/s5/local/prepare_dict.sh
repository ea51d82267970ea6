#!/usr/bin/env bash
# The dictionary of LibriSpeech from the official lexicon and vocabulary; words of the vocabulary that the lexicon lacks are pronounced
# by a model that is trained on it (the official lexicon lacks none).
set -euo pipefail

cmd=utils/run.py
g2p_order=6             # of the longest n-grams of letters and phones
g2p_opts=               # further options of steps/train_g2p.sh
texts=                  # data directories' texts whose unknown words are counted

. ./path.sh
. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <lm-dir> <g2p-dir> <dict-dir>" >&2
  echo "e.g.: $0 /corpora/librispeech-lm exp/g2p data/local/dict_nosp" >&2
  echo "Options: --cmd --g2p-order --g2p-opts --texts 'data/train_clean_100/text ...'" >&2
  echo "<lm-dir> holds librispeech-lexicon.txt and librispeech-vocab.txt" >&2
  exit 1
fi
lexicon=$1/librispeech-lexicon.txt vocabulary=$1/librispeech-vocab.txt g2p=$2 dict=$3
without=$dict/words_without_pronunciation.txt

python local/prepare_dict.py "$lexicon" "$vocabulary" "$dict"
guessed=()
if [ -s "$without" ]; then
  cp "$without" "$dict/words_for_g2p.txt"
  # shellcheck disable=SC2086  # several options
  steps/train_g2p.sh --cmd "$cmd" --order "$g2p_order" $g2p_opts "$lexicon" "$g2p"
  steps/apply_g2p.sh --cmd "$cmd" --var-counts 1 "$dict/words_for_g2p.txt" "$g2p" "$g2p/words"
  guessed=(--g2p "$g2p/words/lexicon.lex")
fi
if [ -n "${guessed[*]}$texts" ]; then
  # shellcheck disable=SC2086  # several files
  python local/prepare_dict.py "${guessed[@]}" --texts $texts -- "$lexicon" "$vocabulary" "$dict"
fi
