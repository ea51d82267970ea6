#!/usr/bin/env bash
# sMBR training of a network on denominator lattices that were made before (steps/nnet/make_denlats.sh), with Kaldi's options and
# arguments; the lattices are scored anew with the present parameters. --criterion mpfe or mpe: by phones instead of states.
# Kaldi's script takes a step for every utterance; here a step is a minibatch of the settings, with the same rate for a frame.
# A run that was stopped goes on when it is started again. Lattices on the fly: steps/nnet/train_seq.sh.
set -euo pipefail
. ./path.sh

nnet_config=conf/smbr.yaml
criterion=smbr        # mpfe, mpe
one_silence_class=true

. utils/train_stored.sh
. utils/parse_options.sh
. utils/denlats.sh

if [ $# -lt 6 ]; then
  echo "Usage: $0 [options] <data> <lang> <src-dir-or-model> <ali-dir> <denlats-dir> <exp-dir> [<key>=<value> ...]" >&2
  echo "e.g.: $0 --num-iters 4 --regenerate 1 data/train data/lang exp/lstm exp/tri_ali exp/lstm_denlats exp/lstm_smbr" >&2
  echo "Options: --criterion smbr|mpfe|mpe --one-silence-class true|false $stored_usage" >&2
  echo "  $worker_usage" >&2
  exit 1
fi
case "$criterion" in
  smbr|mpfe|mpe) ;;
  *) echo "$0: ERROR: --criterion takes smbr, mpfe or mpe, not '$criterion'" >&2; exit 1 ;;
esac
check_stored "$1" "$2" "$3" "$4" "$5"
data=$1 lang=$2 ali=$4 denlats=$5 dir=$6
shift 6
train_stored "$data" "$lang" "$ali" "$denlats" "$dir" "sequence.criterion=$criterion" "sequence.one_silence_class=$one_silence_class" "$@"
