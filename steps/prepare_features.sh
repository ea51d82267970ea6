#!/usr/bin/env bash
# MFCC for GMMs and filterbanks for networks, each with CMVN statistics by speaker: <data-dir>/{mfcc,fbank}/<set> of each set.
# What is there and newer than its wav.scp, reco2speed, reco2vol and its settings is left alone.
set -euo pipefail
. ./path.sh

nj=4
cmd=utils/run.py
mfcc_config=conf/mfcc.conf
fbank_config=conf/fbank28.conf

. utils/parse_options.sh

if [ $# -lt 2 ]; then
  echo "Usage: $0 [options] <data-dir> <set> [<set> ...]" >&2
  echo "e.g.: $0 --nj 2 data train dev test" >&2
  echo "Options: --nj --cmd --mfcc-config --fbank-config" >&2
  exit 1
fi
data=$1
shift

for set in "$@"; do
  for kind in mfcc fbank; do
    dir=$data/$kind/$set
    config=$mfcc_config
    if [ $kind = fbank ]; then config=$fbank_config; fi
    utils/copy_data_dir.sh "$data/$set" "$dir"
    made=true
    for f in "$dir/wav.scp" "$dir/reco2speed" "$dir/reco2vol" "$config"; do
      if [ -f "$f" ] && ! [ "$dir/cmvn.scp" -nt "$f" ]; then made=false; fi
    done
    if $made; then continue; fi
    steps/make_$kind.sh --cmd "$cmd" --nj "$nj" "--$kind-config" "$config" "$dir"
    steps/compute_cmvn_stats.sh --cmd "$cmd" "$dir"
  done
done
