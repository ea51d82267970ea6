#!/usr/bin/env bash
# MFCC for GMMs and filterbanks for networks, each with CMVN statistics by speaker: <data-dir>/{mfcc,fbank}/<set> of each set.
set -euo pipefail
. ./path.sh

nj=4
cmd=utils/run.py
fbank_config=conf/fbank28.conf

. utils/parse_options.sh

if [ $# -lt 2 ]; then
  echo "Usage: $0 [options] <data-dir> <set> [<set> ...]" >&2
  echo "e.g.: $0 --nj 2 data train dev test" >&2
  echo "Options: --nj --cmd --fbank-config" >&2
  exit 1
fi
data=$1
shift

for set in "$@"; do
  for kind in mfcc fbank; do
    utils/copy_data_dir.sh "$data/$set" "$data/$kind/$set"
    steps/make_$kind.sh --cmd "$cmd" --nj "$nj" --fbank-config "$fbank_config" "$data/$kind/$set"
    steps/compute_cmvn_stats.sh --cmd "$cmd" "$data/$kind/$set"
  done
done
