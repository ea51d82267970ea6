#!/usr/bin/env bash
# Makes a lang directory of subword units from a model of asrtool train-subwords: a dictionary of the units in <dict-dir>, and
# a lexicon in which silence stands only between words. Language models for it are trained on text that went through
# asrtool apply-subwords; hypotheses become words again with steps/score.sh --normalise subwords.
#
# Usage: utils/prepare_lang_subword.sh [options] <subword-model> <dict-dir> <tmp-dir> <lang-dir>
#  e.g.: utils/prepare_lang_subword.sh exp/bpe/bpe.model data/local/dict_bpe data/local/lang_bpe data/lang_bpe

set -euo pipefail

pronunciations=grapheme         # the letters of a unit are its phones; or pinyin
mark_words=true                 # false: units are words, and silence may stand between any two (Mandarin without spaces)
oov_word='<UNK>'
position_dependent_phones=true
num_sil_states=5
num_nonsil_states=3
sil_prob=0.5
share_silence_phones=false
. utils/parse_options.sh

if [ $# -ne 4 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
. ./path.sh

mark=
if [ "$mark_words" = true ]; then
  mark=$'\xe2\x96\x81'  # U+2581, in any locale
fi
asrtool make-subword-dict --pronunciations "$pronunciations" --mark-words "$mark_words" --oov-word "$oov_word" "$1" "$2"
asrtool prepare-lang --position-dependent-phones "$position_dependent_phones" --num-sil-states "$num_sil_states" \
  --num-nonsil-states "$num_nonsil_states" --sil-prob "$sil_prob" --share-silence-phones "$share_silence_phones" \
  ${mark:+--word-mark "$mark"} "$2" "$oov_word" "$3" "$4"
asrtool validate-lang "$4"
