#!/usr/bin/env bash
# Trains a network on frame alignments by cross-entropy, with several workers under torchrun. A run that was stopped or
# killed goes on from its last checkpoint when it is started again, with the same or another number of workers; one that is
# done returns at once. See utils/train_workers.sh for the options about workers and hosts.
#
# SIGTERM, SIGINT or SIGHUP to this script: the workers save at their next synchronisation and end. Exit status: 0 done,
# 143 stopped in that way, 1 anything else.
set -euo pipefail
. ./path.sh

stage=0
cmd=utils/run.py
nnet_config=conf/lstm.yaml
valid_alignments=     # default: those of <ali-dir>

. utils/train_workers.sh
. utils/parse_options.sh

if [ $# -lt 4 ]; then
  echo "Usage: $0 [options] <ali-dir> <train-data> <valid-data> <exp-dir> [<key>=<value> ...]" >&2
  echo "e.g.: $0 --nnet-config conf/lstm.yaml --num-workers 2 exp/tri1_ali data/train data/valid exp/lstm num_epochs=4" >&2
  echo "Options: --nnet-config FILE.yaml --valid-alignments DIR --cmd --stage" >&2
  echo "         $worker_usage" >&2
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
check_workers "$dir"
if [ "$stage" -le 0 ]; then
  train_with_workers "$dir" train-nnet --config "$nnet_config" ${valid_alignments:+--valid-alignments "$valid_alignments"} \
    "$ali" "$train" "$valid" "$dir" "$@"
fi
finish_network "$ali" "$dir" "$log"
