#!/usr/bin/env bash
# Trains a network as steps/nnet/train.sh would with N workers, in one process and one thread, and models the time that N real
# workers would take: <exp-dir>/simulation.json. For studies of N = 8..64 without a cluster. A run that was stopped goes on when
# it is started again. Exit status: 0 done, 143 stopped by SIGTERM, 1 anything else.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
nnet_config=conf/lstm.yaml
num_workers=8
simulate_opts=        # of asrtool simulate-parallel: --link-mbit, --latency-ms, --workers-per-host, --seconds-per-frame, ...
valid_alignments=     # default: those of <ali-dir>

. utils/parse_options.sh
. utils/stoppable_job.sh

if [ $# -lt 4 ]; then
  echo "Usage: $0 [options] <ali-dir> <train-data> <valid-data> <exp-dir> [<key>=<value> ...]" >&2
  echo "e.g.: $0 --num-workers 16 --simulate-opts '--link-mbit 1000 --workers-per-host 4' exp/tri1_ali data/train data/valid" \
    "exp/lstm_n16 parallel.sync_frames=7500" >&2
  echo "Options: --nnet-config FILE.yaml --num-workers N --simulate-opts '...' --valid-alignments DIR --cmd" >&2
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
log=$dir/log/train.log
# shellcheck disable=SC2086  # several options, or none
stoppable_job "$dir" "$log" \
  $cmd "$log" exec asrtool simulate-parallel --config "$nnet_config" --num-workers "$num_workers" \
  ${valid_alignments:+--valid-alignments $valid_alignments} $simulate_opts "$ali" "$train" "$valid" "$dir" "$@"
{ grep -h 'workers would have taken' "$log" || true; } | tail -n 1 >&2
finish_network "$ali" "$dir" "$log"
