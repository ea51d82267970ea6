#!/usr/bin/env bash
# Trains triphone GMMs on spliced features after LDA and MLLT, on the alignments of another model; a killed run goes on after
# its last iteration.
set -euo pipefail
. ./path.sh

nj=4                 # threads; the results do not depend on it
cmd=utils/run.py
num_iters=35
max_iter_inc=25      # last iteration that adds Gaussians
boost_silence=1.0    # factor on silence likelihoods in alignment
realign_iters=""     # default: 10 20 30
beam=10
retry_beam=40
power=0.25           # Gaussians go by occupancy to this power
cluster_thresh=-1    # for merging leaves of the tree
cmvn_opts=           # e.g. "--norm-vars=true"
splice_opts=         # e.g. "--left-context=3 --right-context=3"; default: 4 frames to each side
context_opts=        # e.g. "--context-width=2 --central-position=1" for left biphones; default: triphones
dim=40               # after LDA
mllt_iters="2 4 6 12"  # iterations that estimate MLLT
randprune=4.0        # random pruning of the statistics of LDA and MLLT; 0: none
use_lda_mat=         # a transform of spliced features to begin with, instead of LDA
scale_opts="--transition-scale 1.0 --acoustic-scale 0.1 --self-loop-scale 0.1"
max_failed=0.25      # share of utterances that may fail to align
memory_limit=2048    # MiB of features to keep in memory; beyond it they are read again in each iteration
seed=0
use_gpu=auto         # or yes, no: where likelihoods and statistics are computed

. utils/parse_options.sh

if [ $# != 6 ]; then
  echo "Usage: $0 [options] <num-leaves> <tot-gauss> <data-dir> <lang-dir> <alignment-dir> <exp-dir>" >&2
  echo "e.g.: $0 --nj 2 --boost-silence 1.25 2000 12000 data/train data/lang exp/tri1_ali exp/tri2b" >&2
  echo "Options: --nj --cmd --num-iters --max-iter-inc --boost-silence --realign-iters --beam --retry-beam --power" >&2
  echo "  --cluster-thresh --cmvn-opts --splice-opts --context-opts --dim --mllt-iters --randprune --use-lda-mat --scale-opts" >&2
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
$cmd --num-threads "$nj" "$dir/log/train_lda_mllt.log" asrtool train-lda-mllt --nj "$nj" --num-iters "$num_iters" \
  --max-iter-inc "$max_iter_inc" --boost-silence "$boost_silence" --realign-iters "$realign_iters" --beam "$beam" \
  --retry-beam "$retry_beam" --power "$power" --cluster-thresh "$cluster_thresh" \
  "--cmvn-opts=$cmvn_opts" "--splice-opts=$splice_opts" "--context-opts=$context_opts" --dim "$dim" \
  --mllt-iters "$mllt_iters" --randprune "$randprune" ${use_lda_mat:+--use-lda-mat "$use_lda_mat"} \
  $scale_opts --max-failed "$max_failed" --memory-limit "$memory_limit" --seed "$seed" --use-gpu "$use_gpu" \
  "$num_leaves" "$totgauss" "$data" "$lang" "$alidir" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
