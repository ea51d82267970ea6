#!/usr/bin/env bash
# MMI training of a network on denominator lattices that were made before (steps/nnet/make_denlats.sh), with Kaldi's options and
# arguments; the lattices are scored anew with the present parameters. --boost 0.1: boosted MMI.
# Kaldi's script takes a step for every utterance; here a step is a minibatch of the settings, with the same rate for a frame.
# A run that was stopped goes on when it is started again. Lattices on the fly: steps/nnet/train_seq.sh.
set -euo pipefail
. ./path.sh

nnet_config=conf/mmi.yaml
drop_frames=true      # frames whose numerator pdf has no posterior in the lattice give no gradient
boost=0.0             # of paths, by their frames in error

. utils/train_stored.sh
. utils/parse_options.sh
. utils/denlats.sh

if [ $# -lt 6 ]; then
  echo "Usage: $0 [options] <data> <lang> <src-dir-or-model> <ali-dir> <denlats-dir> <exp-dir> [<key>=<value> ...]" >&2
  echo "e.g.: $0 --boost 0.1 --num-iters 4 data/train data/lang exp/lstm exp/tri_ali exp/lstm_denlats exp/lstm_bmmi" >&2
  echo "Options: --drop-frames true|false --boost B $stored_usage" >&2
  echo "  $worker_usage" >&2
  exit 1
fi
check_stored "$1" "$2" "$3" "$4" "$5"
data=$1 lang=$2 ali=$4 denlats=$5 dir=$6
shift 6
train_stored "$data" "$lang" "$ali" "$denlats" "$dir" sequence.criterion=mmi "sequence.boost=$boost" \
  "sequence.frame_rejection=$drop_frames" "$@"
