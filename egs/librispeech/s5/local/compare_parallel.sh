#!/usr/bin/env bash
# Compares parallel training algorithms on LibriSpeech (1703.05880: DNN and CLDNN), on data, alignments and a graph that exist:
# steps/nnet/compare_parallel.sh with the settings of conf/compare_parallel_librispeech.yaml.
#
# Usage: local/compare_parallel.sh --ali DIR --data DIR --graph DIR [--train NAME] [--valid NAME] [--dev NAME] [--test NAME] [--dir DIR]
#          [-- options of steps/nnet/compare_parallel.sh]
#  e.g.: local/compare_parallel.sh --ali exp/tri6b_ali --data data/fbank --graph exp/tri6b/graph_tgsmall --train train_960_tr \
#          --valid train_960_cv -- --num-workers "4 8" --networks cldnn
#
# --ali holds final.mdl and the alignments (ali.*.gz) of training and validation data: a Kaldi directory by way of
# steps/import_alignment.sh, or ours. --data holds the data directories, with 40 log-filterbank energies.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command_line="egs/librispeech/s5/local/compare_parallel.sh${*:+$(printf ' %q' "$@")}"

ali='' data='' graph=''
train=train_960_tr
valid=train_960_cv
dev=dev_clean
test=test_clean
dir=$here/exp/compare
own=()  # what stands before --
while [ $# -gt 0 ] && [ "$1" != -- ]; do own+=("$1"); shift; done
study=("${@:2}")
set -- "${own[@]}"
# shellcheck source=../utils/parse_options.sh
. "$here/utils/parse_options.sh"
if [ -z "$ali" ] || [ -z "$data" ] || [ -z "$graph" ]; then
  echo "$0: ERROR: give --ali, --data and --graph ($0 --help)" >&2; exit 1
fi
for name in ali data graph dir; do printf -v "$name" '%s' "$(realpath -m "${!name}")"; done
cd "$here"
# shellcheck source=../path.sh
. ./path.sh
# shellcheck source=../cmd.sh
. ./cmd.sh

commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
steps/nnet/compare_parallel.sh --cmd "$train_cmd" --decode-cmd "$decode_cmd" --title "LibriSpeech: parallel training algorithms" \
  --compare-config conf/compare_parallel_librispeech.yaml --recorded-command "$command_line" --commit "$commit" --metric wer \
  --graph "$graph" --dev-data "$data/$dev" --test-data "$data/$test" "${study[@]}" "$ali" "$data/$train" "$data/$valid" "$dir"
