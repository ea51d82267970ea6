#!/usr/bin/env bash
# Compares parallel training algorithms on the synthetic Mandarin corpus, on the triphones' alignments (run.sh up to stage 6, align):
# steps/nnet/compare_parallel.sh with this corpus's directories. LM weights are found on validation data, CER is that of the test set.
#
# Usage: local/compare_parallel.sh [--dir DIR] [options of steps/nnet/compare_parallel.sh]
#  e.g.: local/compare_parallel.sh --num-workers 8 --networks "lstm dnn"    # results in exp/compare
set -euo pipefail
tune_utts=200          # of the validation set, for LM weight and penalty; as in run.sh
# shellcheck source=../utils/recipe_study.sh
. "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe_study.sh"
# shellcheck source=../cmd.sh
. ./cmd.sh

if [ -d "$dir/data/fbank/valid" ] && [ ! -d "$dir/data/fbank/valid_subset" ]; then  # run.sh makes it after the networks
  asrtool subset-data-dir --even "$tune_utts" "$dir/data/fbank/valid" "$dir/data/fbank/valid_subset"
fi
steps/nnet/compare_parallel.sh --cmd "$train_cmd" --decode-cmd "$decode_cmd" --recorded-command "$command_line" --commit "$commit" \
  --title "mini_mandarin (synthetic speech): parallel training algorithms" --metric cer --graph "$dir/exp/tri/graph" \
  --valid-alignments "$dir/exp/tri_ali_valid" --dev-data "$dir/data/fbank/valid_subset" --test-data "$dir/data/fbank/test" "$@" \
  "$dir/exp/tri_ali_train" "$dir/data/fbank/train" "$dir/data/fbank/valid" "$dir/exp/compare"
