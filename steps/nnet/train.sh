#!/usr/bin/env bash
# Trains a network on frame alignments by cross-entropy, with several workers under torchrun. A run that was stopped or
# killed goes on from its last checkpoint when it is started again, with the same or another number of workers; one that is
# done returns at once. See utils/torchrun.py for what the options about workers and hosts mean.
#
# Several hosts that share the experiment directory: the same command on each, with --num-hosts H --rendezvous HOST:PORT; or,
# through Slurm, once, with --num-hosts H and --cmd "utils/slurm.py ..." (cmd.sh), where a preempted job is requeued and goes
# on. --num-workers counts those of each host.
# SIGTERM, SIGINT or SIGHUP to this script: the workers save at their next synchronisation and end. Exit status: 0 done,
# 143 stopped in that way, 1 anything else.
set -euo pipefail
. ./path.sh

stage=0
cmd=utils/run.py
nnet_config=conf/lstm.yaml
num_workers=          # of each host; default: its GPUs, else 2
num_hosts=1           # or MIN:MAX, to go on with fewer when some are lost (with --max-restarts)
rendezvous=           # HOST:PORT, one of the hosts and a free port there
host_rank=            # of this host: 0 on that of the rendezvous; needed where it goes by several names
max_restarts=0        # how often a worker that dies makes all go on from the last checkpoint
valid_alignments=     # default: those of <ali-dir>

. utils/parse_options.sh
. utils/stoppable_job.sh

if [ $# -lt 4 ]; then
  echo "Usage: $0 [options] <ali-dir> <train-data> <valid-data> <exp-dir> [<key>=<value> ...]" >&2
  echo "e.g.: $0 --nnet-config conf/lstm.yaml --num-workers 2 exp/tri1_ali data/train data/valid exp/lstm num_epochs=4" >&2
  echo "Options: --nnet-config FILE.yaml --num-workers N --valid-alignments DIR --cmd --stage" >&2
  echo "         --num-hosts H|MIN:MAX --rendezvous HOST:PORT --host-rank R --max-restarts N" >&2
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
number() {  # number OPTION VALUE SMALLEST: a whole number from SMALLEST; nothing is one too
  case "$2" in
    *[!0-9]*) ;;
    *) if [ -z "$2" ] || [ "$2" -ge "$3" ]; then return; fi ;;
  esac
  echo "$0: ERROR: $1 takes a number from $3, not '$2'" >&2
  exit 1
}
number --num-workers "$num_workers" 1
number --host-rank "$host_rank" 0
number --max-restarts "$max_restarts" 0
number --num-hosts "${num_hosts%%:*}" 1
number --num-hosts "${num_hosts##*:}" 1

launch=()
log=$dir/log/train.log
if [ "$num_hosts" != 1 ] && [ -z "$rendezvous" ]; then
  case "$cmd" in
    *slurm.py*) cmd="$cmd --num-hosts $num_hosts" ;;  # one job for all hosts
    *) echo "$0: ERROR: --num-hosts $num_hosts needs --rendezvous HOST:PORT, or utils/slurm.py as train_cmd" >&2; exit 1 ;;
  esac
elif [ -n "$rendezvous" ]; then
  launch+=(--num-hosts "$num_hosts" --rendezvous "$rendezvous" ${host_rank:+--host-rank "$host_rank"})
  log=$dir/log/train.host${host_rank:-.$(uname -n)}.log
fi

if [ "$stage" -le 0 ]; then
  # `exec` makes the launcher the job itself, so that $cmd waits until it has ended the workers.
  # shellcheck disable=SC2086  # $cmd has options; --valid-alignments may be left out
  stoppable_job "$dir" "$log" \
    $cmd "$log" exec utils/torchrun.py ${num_workers:+--num-workers $num_workers} --max-restarts "$max_restarts" "${launch[@]}" \
    train-nnet --config "$nnet_config" ${valid_alignments:+--valid-alignments $valid_alignments} \
    "$ali" "$train" "$valid" "$dir" "$@"
fi
finish_network "$ali" "$dir" "$log"
