# shellcheck shell=bash
# Sourced by steps that train: a job that saves its state and ends when the step is told to stop, and what it leaves.

# stoppable COMMAND...: runs COMMAND in the background, so that a signal to the script (SIGTERM, SIGINT, SIGHUP) reaches it at once, as
# SIGTERM, and waits for it to end. Returns its status; $stopped says whether there was a signal.
stoppable() {
  local job status=0
  stopped=false
  "$@" &
  job=$!
  trap 'stopped=true; kill -TERM "$job" 2>/dev/null || true' TERM INT HUP
  wait "$job" || status=$?
  if $stopped; then  # the first wait ended with the signal
    status=0
    wait "$job" || status=$?
  fi
  trap - TERM INT HUP
  return "$status"
}

# stoppable_job DIR LOG COMMAND...: a training by COMMAND, which ends by making DIR/done. Earlier messages in LOG stay in LOG's
# *.before.log. Exits with 143 when it was stopped, with 1 and the log's errors when it has failed.
stoppable_job() {
  local dir=$1 log=$2 status=0
  shift 2
  mkdir -p "$(dirname "$log")"
  if [ -f "$dir/done" ]; then
    echo "$0: $dir: training is done already; remove the directory to train again" >&2
    return
  fi
  if [ -f "$log" ]; then  # of a run that was stopped or killed
    cat "$log" >>"${log%.log}.before.log" || true
  fi
  stoppable "$@" || status=$?
  if $stopped && [ ! -f "$dir/done" ]; then
    echo "$0: $dir: stopped on request; start again to go on from the last checkpoint" >&2
    exit 143
  fi
  if [ "$status" -ne 0 ]; then
    grep -h 'ERROR:' "$log" | sort -u >&2 || true
    echo "$0: $dir: training has not ended; see $log; start again to go on from the last checkpoint" >&2
    exit 1
  fi
}

# finish_network ALI DIR LOG: puts beside the final models which pdf a transition-id has, for decoding; the rest is for
# steps/nnet/align.sh.
finish_network() {
  local f
  for f in final.mdl tree phones.txt; do
    if [ -f "$1/$f" ]; then cp "$1/$f" "$2/.$f.tmp" && mv "$2/.$f.tmp" "$2/$f"; fi
  done
  compgen -G "$2/final_*.pt" >/dev/null || { echo "$0: ERROR: $2: no final model; see $3" >&2; exit 1; }
  echo "$0: done: $(cd "$2" && echo final_*.pt) in $2" >&2
}
