#!/usr/bin/env bash
# Makes a lang directory (phones.txt, words.txt, topo, L.fst, L_disambig.fst, phones/) from a dictionary directory that holds
# lexicon.txt or lexiconp.txt, silence_phones.txt, nonsilence_phones.txt, optional_silence.txt and perhaps extra_questions.txt.
# With lexiconp_silprob.txt and silprob.txt (utils/dict_dir_add_pronprobs.sh) silence is as probable as each pronunciation says.
#
# Usage: utils/prepare_lang.sh [options] <dict-src-dir> <oov-dict-entry> <tmp-dir> <lang-dir>
#  e.g.: utils/prepare_lang.sh data/local/dict '<UNK>' data/local/lang data/lang

set -euo pipefail

position_dependent_phones=true  # phones are marked _B _E _I _S by their place in the word
num_sil_states=5
num_nonsil_states=3
sil_prob=0.5                    # probability of silence between words (with lexiconp_silprob.txt not used)
share_silence_phones=false      # all silence phones share their pdfs
. utils/parse_options.sh

if [ $# -ne 4 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
. ./path.sh

asrtool prepare-lang --position-dependent-phones "$position_dependent_phones" --num-sil-states "$num_sil_states" \
  --num-nonsil-states "$num_nonsil_states" --sil-prob "$sil_prob" --share-silence-phones "$share_silence_phones" \
  "$1" "$2" "$3" "$4"
asrtool validate-lang "$4"
