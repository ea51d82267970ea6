#!/usr/bin/env bash
# Trains triphone GMMs on features with an fMLLR transform for each speaker (speaker adaptive training), on the alignments,
# features and transforms, if any, of another model; a killed run goes on after its last iteration.
set -euo pipefail
. ./path.sh

nj=4                 # threads; the results do not depend on it
cmd=utils/run.py
num_iters=35
max_iter_inc=25      # last iteration that adds Gaussians
boost_silence=1.0    # factor on silence likelihoods in alignment
realign_iters=""     # default: 10 20 30
fmllr_iters="2 4 6 12"  # iterations that estimate the transforms anew
fmllr_update_type=full  # or diag, offset, none
fmllr_min_count=500  # speakers with fewer frames keep their features
silence_weight=0.0   # of silence in the estimation of transforms
beam=10
retry_beam=40
power=0.2            # Gaussians go by occupancy to this power
cluster_thresh=-1    # for merging leaves of the tree
context_opts=        # e.g. "--context-width=2 --central-position=1"
scale_opts="--transition-scale 1.0 --acoustic-scale 0.1 --self-loop-scale 0.1"
max_failed=0.25      # share of utterances that may fail to align
memory_limit=2048    # MiB of features to keep in memory; beyond it they are read again in each iteration
seed=0
use_gpu=auto         # or yes, no: where likelihoods and statistics are computed

. utils/parse_options.sh

if [ $# != 6 ]; then
  echo "Usage: $0 [options] <num-leaves> <tot-gauss> <data-dir> <lang-dir> <alignment-dir> <exp-dir>" >&2
  echo "e.g.: $0 --nj 2 2500 15000 data/train data/lang exp/tri2b_ali exp/tri3b" >&2
  echo "Options: --nj --cmd --num-iters --max-iter-inc --boost-silence --realign-iters --fmllr-iters --fmllr-update-type" >&2
  echo "  --fmllr-min-count --silence-weight --beam --retry-beam --power --cluster-thresh --context-opts --scale-opts" >&2
  echo "  --max-failed --memory-limit --seed --use-gpu" >&2
  exit 1
fi
num_leaves=$1
totgauss=$2
data=$3
lang=$4
alidir=$5
dir=$6

for f in "$data/feats.scp" "$data/text" "$lang/phones.txt" "$lang/phones/roots.int" "$alidir/final.mdl" "$alidir/num_jobs"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"

# shellcheck disable=SC2086  # scale_opts are several options
$cmd --num-threads "$nj" "$dir/log/train_sat.log" asrtool train-sat --nj "$nj" --num-iters "$num_iters" \
  --max-iter-inc "$max_iter_inc" --boost-silence "$boost_silence" --realign-iters "$realign_iters" \
  --fmllr-iters "$fmllr_iters" --fmllr-update-type "$fmllr_update_type" --fmllr-min-count "$fmllr_min_count" \
  --silence-weight "$silence_weight" --beam "$beam" --retry-beam "$retry_beam" --power "$power" \
  --cluster-thresh "$cluster_thresh" "--context-opts=$context_opts" $scale_opts --max-failed "$max_failed" \
  --memory-limit "$memory_limit" --seed "$seed" --use-gpu "$use_gpu" "$num_leaves" "$totgauss" "$data" "$lang" "$alidir" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
