#!/usr/bin/env bash
# Computes features of a data directory: feats.scp, utt2num_frames, utt2dur, frame_shift. Called by make_mfcc.sh and make_fbank.sh.
set -euo pipefail
. ./path.sh

kind=                 # mfcc or fbank
nj=4
cmd=utils/run.py
stage=0
# shellcheck disable=SC2034  # read through config_name
mfcc_config=conf/mfcc.conf
# shellcheck disable=SC2034
fbank_config=conf/fbank28.conf
compression_method=2  # Kaldi's number; 0 writes uncompressed archives
device=cpu
max_failed=0.1        # share of utterances that may fail

. utils/parse_options.sh
config_name=${kind}_config
config=${!config_name:?steps/make_features.sh: --kind must be mfcc or fbank}

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  echo "Usage: steps/make_$kind.sh [options] <data-dir> [<log-dir> [<feature-dir>]]" >&2
  echo "e.g.: steps/make_$kind.sh --nj 2 --$kind-config $config data/train exp/make_$kind/train $kind" >&2
  echo "Options: --nj --cmd --stage --$kind-config --compression-method --device cpu|cuda --max-failed" >&2
  exit 1
fi
data=$1
log=${2:-$data/log}
dir=${3:-$data/data}

for f in "$data/wav.scp" "$data/utt2spk" "$config"; do
  [ -f "$f" ] || { echo "steps/make_$kind.sh: ERROR: $f: no such file" >&2; exit 1; }
done
num_utts=$(wc -l <"$data/utt2spk")
[ "$nj" -le "$num_utts" ] || nj=$num_utts
mkdir -p "$log" "$dir"

if [ "$stage" -le 0 ]; then
  asrtool validate-data-dir --text false --feats false --wav false "$data"
fi
if [ "$stage" -le 1 ]; then
  $cmd JOB=1:"$nj" "$log/make_$kind.JOB.log" asrtool make-features --nj "$nj" --job JOB --config "$config" \
    --compression-method "$compression_method" --device "$device" --max-failed "$max_failed" "$kind" "$data" "$dir"
fi
if [ "$stage" -le 2 ]; then
  asrtool make-features --nj "$nj" --collect true --config "$config" "$kind" "$data" "$dir"
fi
