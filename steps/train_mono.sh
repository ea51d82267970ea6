#!/usr/bin/env bash
# Trains monophone GMMs from a flat start; a killed run goes on after its last iteration.
set -euo pipefail
. ./path.sh

nj=4                 # threads; the results do not depend on it
cmd=utils/run.py
num_iters=40
max_iter_inc=30      # last iteration that adds Gaussians
totgauss=1000        # Gaussians in the end
boost_silence=1.0    # factor on silence likelihoods in alignment
realign_iters=""     # default: 1 2 3 4 5 6 7 8 9 10 12 14 16 18 20 23 26 29 32 35 38
initial_beam=6
regular_beam=10
retry_beam=40
power=0.25           # Gaussians go by occupancy to this power
cmvn_opts=           # e.g. "--norm-vars=true"
delta_opts=          # e.g. "--delta-order=1"
scale_opts="--transition-scale 1.0 --acoustic-scale 0.1 --self-loop-scale 0.1"
max_failed=0.25      # share of utterances that may fail to align
memory_limit=2048    # MiB of features to keep in memory; beyond it they are read again in each iteration
seed=0
use_gpu=auto         # or yes, no: where likelihoods and statistics are computed

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <data-dir> <lang-dir> <exp-dir>" >&2
  echo "e.g.: $0 --nj 2 --boost-silence 1.25 data/train data/lang exp/mono" >&2
  echo "Options: --nj --cmd --num-iters --max-iter-inc --totgauss --boost-silence --realign-iters --initial-beam" >&2
  echo "  --regular-beam --retry-beam --power --cmvn-opts --delta-opts --scale-opts --max-failed --memory-limit --seed" >&2
  echo "  --use-gpu" >&2
  exit 1
fi
data=$1
lang=$2
dir=$3

for f in "$data/feats.scp" "$data/text" "$lang/phones.txt" "$lang/L.fst" "$lang/topo"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"

# shellcheck disable=SC2086  # scale_opts are several options
$cmd --num-threads "$nj" "$dir/log/train_mono.log" asrtool train-mono --nj "$nj" --num-iters "$num_iters" \
  --max-iter-inc "$max_iter_inc" --totgauss "$totgauss" --boost-silence "$boost_silence" --realign-iters "$realign_iters" \
  --initial-beam "$initial_beam" --regular-beam "$regular_beam" --retry-beam "$retry_beam" --power "$power" \
  "--cmvn-opts=$cmvn_opts" "--delta-opts=$delta_opts" $scale_opts --max-failed "$max_failed" \
  --memory-limit "$memory_limit" --seed "$seed" --use-gpu "$use_gpu" "$data" "$lang" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
