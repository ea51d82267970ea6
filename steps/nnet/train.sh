#!/usr/bin/env bash
# Trains a network on frame alignments by cross-entropy, with several workers under torchrun. A run that was stopped or
# killed goes on from its last checkpoint when it is started again; one that is done returns at once.
# SIGTERM, SIGINT or SIGHUP to this script: the workers save at their next synchronisation and end. Exit status: 0 done,
# 143 stopped in that way, 1 anything else.
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
  if [ -f "$dir/log/train.log" ]; then  # of a run that was stopped or killed: its messages stay
    cat "$dir/log/train.log" >>"$dir/log/train.before.log" || true
  fi
  # In the background, so that a signal to this script reaches the workers at once: they save and stop. `exec` makes torchrun
  # the job itself, so that $cmd waits until it has ended the workers; they have two minutes to save.
  # shellcheck disable=SC2086  # the option may be left out
  $cmd "$dir/log/train.log" exec torchrun --standalone --shutdown-timeout 120 --nproc-per-node "$num_workers" \
    -m asrtool.cli train-nnet --config "$nnet_config" ${valid_alignments:+--valid-alignments $valid_alignments} \
    "$ali" "$train" "$valid" "$dir" "$@" &
  job=$!
  stopped=false
  trap 'stopped=true; kill -TERM "$job" 2>/dev/null || true' TERM INT HUP
  status=0
  wait "$job" || status=$?
  if $stopped; then  # the first wait ended with the signal
    status=0
    wait "$job" || status=$?
  fi
  trap - TERM INT HUP
  if $stopped && [ ! -f "$dir/done" ]; then
    echo "$0: $dir: stopped on request; start again to go on from the last checkpoint" >&2
    exit 143
  fi
  if [ "$status" -ne 0 ]; then
    grep -h 'ERROR:' "$dir/log/train.log" | sort -u >&2 || true
    echo "$0: $dir: training has not ended; see $dir/log/train.log; start again to go on from the last checkpoint" >&2
    exit 1
  fi
fi
for f in final.mdl tree phones.txt; do  # which pdf a transition-id has, for decoding; the rest for steps/nnet/align.sh
  if [ -f "$ali/$f" ]; then cp "$ali/$f" "$dir/.$f.tmp" && mv "$dir/.$f.tmp" "$dir/$f"; fi
done
compgen -G "$dir/final_*.pt" >/dev/null || { echo "$0: ERROR: $dir: no final model; see $dir/log/train.log" >&2; exit 1; }
echo "$0: done: $(cd "$dir" && echo final_*.pt) in $dir" >&2
