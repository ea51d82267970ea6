# shellcheck shell=bash disable=SC2034  # the scripts that source this share variables with it
# Sourced, before utils/parse_options.sh, by steps that train with several workers under utils/torchrun.py, which tells more of these
# options. Several hosts that share the experiment directory: the same command on each, with --num-hosts H --rendezvous HOST:PORT;
# or, through Slurm, once, with --num-hosts H and --cmd "utils/slurm.py ..." (cmd.sh), where a preempted job is requeued and
# goes on. --num-workers counts those of each host.
num_workers=          # of each host; default: its GPUs, else 2
num_hosts=1           # or MIN:MAX, to go on with fewer when some are lost (with --max-restarts)
rendezvous=           # HOST:PORT, one of the hosts and a free port there
host_rank=            # of this host: 0 on that of the rendezvous; needed where it goes by several names
max_restarts=0        # how often a worker that dies makes all go on from the last checkpoint
worker_usage="--num-workers N --num-hosts H|MIN:MAX --rendezvous HOST:PORT --host-rank R --max-restarts N"

. utils/stoppable_job.sh

number() {  # number OPTION VALUE SMALLEST: a whole number from SMALLEST; nothing is one too
  case "$2" in
    *[!0-9]*) ;;
    *) if [ -z "$2" ] || [ "$2" -ge "$3" ]; then return; fi ;;
  esac
  echo "$0: ERROR: $1 takes a number from $3, not '$2'" >&2
  exit 1
}

# check_workers DIR: checks the options above; sets $log, where a training into DIR writes its messages on this host, and $launch,
# the words to go before the training's own; adds to $cmd what a job for several hosts needs.
check_workers() {
  number --num-workers "$num_workers" 1
  number --host-rank "$host_rank" 0
  number --max-restarts "$max_restarts" 0
  number --num-hosts "${num_hosts%%:*}" 1
  number --num-hosts "${num_hosts##*:}" 1
  log=$1/log/train.log
  launch=(utils/torchrun.py ${num_workers:+--num-workers "$num_workers"} --max-restarts "$max_restarts")
  if [ "$num_hosts" != 1 ] && [ -z "$rendezvous" ]; then
    case "$cmd" in
      *slurm.py*) cmd="$cmd --num-hosts $num_hosts" ;;  # one job for all hosts
      *) echo "$0: ERROR: --num-hosts $num_hosts needs --rendezvous HOST:PORT, or utils/slurm.py as train_cmd" >&2; exit 1 ;;
    esac
  elif [ -n "$rendezvous" ]; then
    launch+=(--num-hosts "$num_hosts" --rendezvous "$rendezvous" ${host_rank:+--host-rank "$host_rank"})
    log=$1/log/train.host${host_rank:-.$(uname -n)}.log
  fi
}

# train_with_workers DIR WORDS...: runs the training WORDS, which ends by making DIR/done; see stoppable_job for how it ends.
train_with_workers() {
  local dir=$1
  shift
  # `exec` makes the launcher the job itself, so that $cmd waits until it has ended the workers.
  # shellcheck disable=SC2086  # $cmd has options
  stoppable_job "$dir" "$log" $cmd "$log" exec "${launch[@]}" "$@"
}
