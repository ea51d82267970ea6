#!/usr/bin/env bash
# Computes log mel filterbank features of a data directory: feats.scp, utt2num_frames, utt2dur, frame_shift.
set -euo pipefail
. ./path.sh

nj=4
cmd=utils/run.py
stage=0
fbank_config=conf/fbank28.conf
compression_method=2  # Kaldi's number; 0 writes uncompressed archives
device=cpu
max_failed=0.1        # share of utterances that may fail

. utils/parse_options.sh

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  echo "Usage: $0 [options] <data-dir> [<log-dir> [<feature-dir>]]" >&2
  echo "e.g.: $0 --nj 2 --fbank-config conf/fbank28.conf data/train exp/make_fbank/train fbank" >&2
  echo "Options: --nj --cmd --stage --fbank-config --compression-method --device cpu|cuda --max-failed" >&2
  exit 1
fi
data=$1
log=${2:-$data/log}
dir=${3:-$data/data}

for f in "$data/wav.scp" "$data/utt2spk" "$fbank_config"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
num_utts=$(wc -l <"$data/utt2spk")
[ "$nj" -le "$num_utts" ] || nj=$num_utts
mkdir -p "$log" "$dir"

if [ "$stage" -le 0 ]; then
  asrtool validate-data-dir --text false --feats false --wav false "$data"
fi
if [ "$stage" -le 1 ]; then
  $cmd JOB=1:"$nj" "$log/make_fbank.JOB.log" asrtool make-features --nj "$nj" --job JOB --config "$fbank_config" \
    --compression-method "$compression_method" --device "$device" --max-failed "$max_failed" fbank "$data" "$dir"
fi
if [ "$stage" -le 2 ]; then
  asrtool make-features --nj "$nj" --collect true --config "$fbank_config" fbank "$data" "$dir"
fi
