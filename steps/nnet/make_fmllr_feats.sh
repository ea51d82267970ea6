#!/usr/bin/env bash
# Makes a data directory of a GMM's features (CMVN, splicing or differences, LDA and MLLT), each speaker's transformed by fMLLR:
# input for networks. Its CMVN statistics are to be computed then.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
transform_dir=       # with trans.*: an alignment or a decoding of these data; without it features are not transformed
max_failed=0.1       # share of utterances that may fail

. utils/parse_options.sh

if [ $# != 5 ]; then
  echo "Usage: $0 [options] <tgt-data-dir> <src-data-dir> <gmm-dir> <log-dir> <fmllr-feat-dir>" >&2
  echo "e.g.: $0 --transform-dir exp/tri3b_ali data-fmllr/train data/train exp/tri3b data-fmllr/train/log data-fmllr/train/data" >&2
  echo "Options: --cmd --transform-dir --max-failed" >&2
  exit 1
fi
data=$1
srcdata=$2
gmmdir=$3
logdir=$4
feadir=$5

for f in "$srcdata/feats.scp" "$gmmdir/final.mdl" ${transform_dir:+"$transform_dir/trans.1"}; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$logdir"
$cmd "$logdir/make_fmllr_feats.log" asrtool make-fmllr-feats --max-failed "$max_failed" \
  ${transform_dir:+--transform-dir "$transform_dir"} "$data" "$srcdata" "$gmmdir" "$feadir"
echo "$0: $data; now run steps/compute_cmvn_stats.sh $data" >&2
