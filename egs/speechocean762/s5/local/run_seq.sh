#!/usr/bin/env bash
# Sequence-discriminative training on speechocean762 (Sak 2014, tables 1 to 3), on what run.sh up to stage 7, align, has made:
# steps/nnet/compare_sequence.sh with this corpus's directories. LM weights are found on dev, WER is that of devtest.
#
# Usage: local/run_seq.sh [--dir DIR] [options of steps/nnet/compare_sequence.sh]
#  e.g.: local/run_seq.sh --tables "1 2 3 criteria parallel" --seeds "1 2 3"    # results in exp/seq
set -euo pipefail
# shellcheck source=../utils/recipe_study.sh
. "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe_study.sh"
# shellcheck source=../cmd.sh
. ./cmd.sh

steps/nnet/compare_sequence.sh --cmd "$train_cmd" --title "speechocean762: sequence-discriminative training" \
  --recorded-command "$command_line" --commit "$commit" --metric wer "$@" \
  "$dir/exp/tri_ali" "$dir/data/fbank/train_tr" "$dir/data/fbank/train_cv" "$dir/data/lang" "$dir/exp/tri/graph" \
  "$dir/data/fbank/dev" "$dir/data/fbank/devtest" "$dir/exp/seq"
