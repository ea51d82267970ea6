#!/usr/bin/env bash
# Aligns a data directory with a trained GMM, adapted to each speaker by an fMLLR transform: once without, then with transforms,
# which are written too (trans.1).
set -euo pipefail
. ./path.sh

nj=4                 # threads; the results do not depend on it
cmd=utils/run.py
beam=10
retry_beam=40
boost_silence=1.0    # factor on silence likelihoods
fmllr_update_type=full  # or diag, offset, none
fmllr_min_count=500  # speakers with fewer frames keep their features
silence_weight=0.0   # of silence in the estimation of transforms
scale_opts="--transition-scale 1.0 --acoustic-scale 0.1 --self-loop-scale 0.1"
max_failed=0.25      # share of utterances that may fail to align
memory_limit=2048    # MiB
use_gpu=auto         # or yes, no: where likelihoods and statistics are computed

. utils/parse_options.sh

if [ $# != 4 ]; then
  echo "Usage: $0 [options] <data-dir> <lang-dir> <src-dir> <align-dir>" >&2
  echo "e.g.: $0 --nj 2 data/train data/lang exp/tri3b exp/tri3b_ali" >&2
  echo "Options: --nj --cmd --beam --retry-beam --boost-silence --fmllr-update-type --fmllr-min-count --silence-weight" >&2
  echo "  --scale-opts --max-failed --memory-limit --use-gpu" >&2
  exit 1
fi
data=$1
lang=$2
srcdir=$3
dir=$4

for f in "$data/feats.scp" "$data/text" "$lang/phones.txt" "$lang/L.fst" "$srcdir/final.mdl" "$srcdir/tree"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"

# shellcheck disable=SC2086  # scale_opts are several options
$cmd --num-threads "$nj" "$dir/log/align.log" asrtool align-fmllr --nj "$nj" --beam "$beam" --retry-beam "$retry_beam" \
  --boost-silence "$boost_silence" --fmllr-update-type "$fmllr_update_type" --fmllr-min-count "$fmllr_min_count" \
  --silence-weight "$silence_weight" $scale_opts --max-failed "$max_failed" --memory-limit "$memory_limit" \
  --use-gpu "$use_gpu" "$data" "$lang" "$srcdir" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
