#!/usr/bin/env bash
# Compares parallel training algorithms on speechocean762, on the triphones' alignments (run.sh up to stage 7, align):
# steps/nnet/compare_parallel.sh with this corpus's directories. LM weights are found on dev, WER is that of devtest.
#
# Usage: local/compare_parallel.sh [--dir DIR] [options of steps/nnet/compare_parallel.sh]
#  e.g.: local/compare_parallel.sh --num-workers 8 --networks "lstm dnn"    # results in exp/compare
set -euo pipefail
# shellcheck source=../utils/recipe_study.sh
. "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe_study.sh"
# shellcheck source=../cmd.sh
. ./cmd.sh

steps/nnet/compare_parallel.sh --cmd "$train_cmd" --decode-cmd "$decode_cmd" --title "speechocean762: parallel training algorithms" \
  --recorded-command "$command_line" --commit "$commit" --metric wer --graph "$dir/exp/tri/graph" \
  --dev-data "$dir/data/fbank/dev" --test-data "$dir/data/fbank/devtest" "$@" \
  "$dir/exp/tri_ali" "$dir/data/fbank/train_tr" "$dir/data/fbank/train_cv" "$dir/exp/compare"
