#!/usr/bin/env bash
# Sequence-discriminative training on mini_mandarin (Sak 2014, tables 1 to 3), on what run.sh up to stage 6, align, has made:
# steps/nnet/compare_sequence.sh with this corpus's directories.
#
# Usage: local/run_seq.sh [--dir DIR] [options of steps/nnet/compare_sequence.sh]
#  e.g.: local/run_seq.sh --tables "1 2" --seeds 1    # results in exp/seq
set -euo pipefail
tune_utts=200          # of the validation set, for LM weight and penalty; as in run.sh
# shellcheck source=../utils/recipe_study.sh
. "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe_study.sh"
# shellcheck source=../cmd.sh
. ./cmd.sh

if [ -d "$dir/data/fbank/valid" ] && [ ! -d "$dir/data/fbank/valid_subset" ]; then  # run.sh makes it after the networks
  asrtool subset-data-dir --even "$tune_utts" "$dir/data/fbank/valid" "$dir/data/fbank/valid_subset"
fi
steps/nnet/compare_sequence.sh --cmd "$train_cmd" --title "mini_mandarin (synthetic speech): sequence-discriminative training" \
  --recorded-command "$command_line" --commit "$commit" --metric cer --ce-epochs 4 --switch-epochs "1 2 4" \
  --valid-alignments "$dir/exp/tri_ali_valid" "$@" \
  "$dir/exp/tri_ali_train" "$dir/data/fbank/train" "$dir/data/fbank/valid" "$dir/data/lang" "$dir/exp/tri/graph" \
  "$dir/data/fbank/valid_subset" "$dir/data/fbank/test" "$dir/exp/seq"
