#!/usr/bin/env bash
# Compares parallel training algorithms on AISHELL-1, on what run.sh up to stage 12, network_data, has made:
# steps/nnet/compare_parallel.sh with this corpus's directories. LM weights are found on dev, CER is that of test.
#
# Usage: local/compare_parallel.sh [--dir DIR] [options of steps/nnet/compare_parallel.sh]
#  e.g.: local/compare_parallel.sh --num-workers "4 8" --networks "lstm dnn"    # results in exp/compare
set -euo pipefail
# shellcheck source=../utils/recipe_study.sh
. "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe_study.sh"
# shellcheck source=../cmd.sh
. ./cmd.sh
# shellcheck source=sets.sh
. local/sets.sh

steps/nnet/compare_parallel.sh --cmd "$train_cmd" --decode-cmd "$decode_cmd" --title "AISHELL-1: parallel training algorithms" \
  --recorded-command "$command_line" --commit "$commit" --metric cer --graph "$graph" --valid-alignments "$valid_ali" \
  --dev-data "$dir/data/fbank/$dev_set" --test-data "$dir/data/fbank/test" "$@" \
  "$ali" "$dir/data/fbank/$train_set" "$dir/data/fbank/$valid_set" "$dir/exp/compare"
