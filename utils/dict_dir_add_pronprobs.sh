#!/usr/bin/env bash
# Makes of a dictionary directory one with the probabilities of its pronunciations (lexiconp.txt) and, with the counts of silence,
# with those of silence beside each (lexiconp_silprob.txt, silprob.txt), which utils/prepare_lang.sh puts into L.fst. The counts are
# those of steps/get_prons.sh; each pronunciation counts once more than there.
#
# Usage: utils/dict_dir_add_pronprobs.sh [options] <dict-dir> <pron-counts> [<sil-counts> <bigram-counts>] <out-dict-dir>
#  e.g.: utils/dict_dir_add_pronprobs.sh data/local/dict exp/tri3/{pron,sil,pron_bigram}_counts_nowb.txt data/local/dict_prons

set -euo pipefail

max_normalize=true  # a word's likeliest pronunciation gets probability 1
. utils/parse_options.sh

if [ $# -ne 3 ] && [ $# -ne 5 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
. ./path.sh

asrtool add-pron-probs --max-normalize "$max_normalize" "$@"
