#!/usr/bin/env bash
# Sequence-discriminative training on AISHELL-1 (Sak 2014, tables 1 to 3), on what run.sh up to stage 12, network_data, has made:
# steps/nnet/compare_sequence.sh with the 40-bin filterbanks of this corpus, and the LSTMP of the paper.
#
# Usage: local/run_seq.sh [--dir DIR] [options of steps/nnet/compare_sequence.sh]
#  e.g.: local/run_seq.sh --tables "1 2 3 criteria parallel" --seeds "1 2 3"    # results in exp/seq
set -euo pipefail
# shellcheck source=../utils/recipe_study.sh
. "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe_study.sh"
# shellcheck source=../cmd.sh
. ./cmd.sh
# shellcheck source=sets.sh
. local/sets.sh

steps/nnet/compare_sequence.sh --cmd "$train_cmd" --title "AISHELL-1: sequence-discriminative training" --metric cer \
  --network-config conf/lstmp.yaml --smbr-config conf/smbr.yaml --mmi-config conf/mmi.yaml --ce-epochs 4 --switch-epochs "1 2 4" \
  --recorded-command "$command_line" --commit "$commit" --valid-alignments "$valid_ali" "$@" \
  "$ali" "$dir/data/fbank40/$train_set" "$dir/data/fbank40/$valid_set" "$dir/data/lang" "$graph" \
  "$dir/data/fbank40/$dev_set" "$dir/data/fbank40/test" "$dir/exp/seq"
