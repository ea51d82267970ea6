#!/usr/bin/env bash
# Sequence-discriminative training on speechocean762 (Sak 2014, tables 1 to 3), on what run.sh up to stage 6, align, has made:
# steps/nnet/compare_sequence.sh with this corpus's directories. LM weights are found on dev, WER is that of devtest.
#
# Usage: local/run_seq.sh [--dir DIR] [options of steps/nnet/compare_sequence.sh]
#  e.g.: local/run_seq.sh --tables "1 2 3 criteria parallel" --seeds "1 2 3"    # results in exp/seq
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command_line="egs/speechocean762/s5/local/run_seq.sh${*:+$(printf ' %q' "$@")}"
case "${1:-}" in --help|-h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
dir=$here              # where run.sh has made data/ and exp/
if [ "${1:-}" = --dir ]; then dir=$(realpath -m "$2"); shift 2; fi
cd "$here"
# shellcheck source=../path.sh
. ./path.sh
# shellcheck source=../cmd.sh
. ./cmd.sh

commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
steps/nnet/compare_sequence.sh --cmd "$train_cmd" --title "speechocean762: sequence-discriminative training" \
  --recorded-command "$command_line" --commit "$commit" --metric wer "$@" \
  "$dir/exp/tri_ali" "$dir/data/fbank/train_tr" "$dir/data/fbank/train_cv" "$dir/data/lang" "$dir/exp/tri/graph" \
  "$dir/data/fbank/dev" "$dir/data/fbank/devtest" "$dir/exp/seq"
