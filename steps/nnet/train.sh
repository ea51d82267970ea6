#!/usr/bin/env bash
# Trains a network on frame alignments by cross-entropy, with several workers under torchrun. A run that was stopped or
# killed goes on from its last checkpoint when it is started again; one that is done returns at once.
set -euo pipefail
. ./path.sh

stage=0
cmd=utils/run.py
nnet_config=conf/lstm.yaml
num_workers=          # default: the GPUs, else 2
valid_alignments=     # default: those of <ali-dir>

. utils/parse_options.sh

if [ $# -lt 4 ]; then
  echo "Usage: $0 [options] <ali-dir> <train-data> <valid-data> <exp-dir> [<key>=<value> ...]" >&2
  echo "e.g.: $0 --nnet-config conf/lstm.yaml --num-workers 2 exp/tri1_ali data/train data/valid exp/lstm num_epochs=4" >&2
  echo "Options: --nnet-config FILE.yaml --num-workers N --valid-alignments DIR --cmd --stage" >&2
  exit 1
fi
ali=$1
train=$2
valid=$3
dir=$4
shift 4

for f in "$nnet_config" "$ali/final.mdl" "$train/feats.scp" "$valid/feats.scp"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
if [ -z "$num_workers" ]; then
  num_workers=$(python -c 'import torch; print(torch.cuda.device_count() or 2)')
fi
case "$num_workers" in
  ''|*[!0-9]*|0) echo "$0: ERROR: --num-workers takes a number from 1, not '$num_workers'" >&2; exit 1 ;;
esac
mkdir -p "$dir/log"
threads=$(($(nproc) / num_workers))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}  # torchrun would set 1

if [ -f "$dir/done" ]; then
  echo "$0: $dir: training is done already; remove the directory to train again" >&2
elif [ "$stage" -le 0 ]; then
  # shellcheck disable=SC2086  # the option may be left out
  if ! $cmd "$dir/log/train.log" torchrun --standalone --nproc-per-node "$num_workers" -m asrtool.cli train-nnet \
    --config "$nnet_config" ${valid_alignments:+--valid-alignments $valid_alignments} "$ali" "$train" "$valid" "$dir" "$@"; then
    grep -h 'ERROR:' "$dir/log/train.log" | sort -u >&2 || true
    exit 1
  fi
fi
cp "$ali/final.mdl" "$dir/.final.mdl.tmp" && mv "$dir/.final.mdl.tmp" "$dir/final.mdl"  # which pdf a transition-id has, for decoding
compgen -G "$dir/final_*.pt" >/dev/null || { echo "$0: ERROR: $dir: no final model; see $dir/log/train.log" >&2; exit 1; }
echo "$0: done: $(cd "$dir" && echo final_*.pt) in $dir" >&2
