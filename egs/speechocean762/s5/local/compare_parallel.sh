#!/usr/bin/env bash
# Compares parallel training algorithms on speechocean762, on the triphones' alignments (run.sh up to stage 6, align):
# steps/nnet/compare_parallel.sh with this corpus's directories. LM weights are found on dev, WER is that of devtest.
#
# Usage: local/compare_parallel.sh [--dir DIR] [options of steps/nnet/compare_parallel.sh]
#  e.g.: local/compare_parallel.sh --num-workers 8 --networks "lstm dnn"    # results in exp/compare
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command_line="egs/speechocean762/s5/local/compare_parallel.sh${*:+$(printf ' %q' "$@")}"
case "${1:-}" in --help|-h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
dir=$here              # where run.sh has made data/ and exp/
if [ "${1:-}" = --dir ]; then dir=$(realpath -m "$2"); shift 2; fi
cd "$here"
# shellcheck source=../path.sh
. ./path.sh
# shellcheck source=../cmd.sh
. ./cmd.sh

commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
steps/nnet/compare_parallel.sh --cmd "$train_cmd" --decode-cmd "$decode_cmd" --title "speechocean762: parallel training algorithms" \
  --recorded-command "$command_line" --commit "$commit" --metric wer --graph "$dir/exp/tri/graph" \
  --dev-data "$dir/data/fbank/dev" --test-data "$dir/data/fbank/devtest" "$@" \
  "$dir/exp/tri_ali" "$dir/data/fbank/train_tr" "$dir/data/fbank/train_cv" "$dir/exp/compare"
