#!/usr/bin/env bash
# Decodes a data directory with a GMM and scores it where it has a text; the model is in the directory above <decode-dir>.
set -euo pipefail
. ./path.sh

nj=4                 # threads
cmd=utils/run.py
model=               # default: <decode-dir>/../final.mdl
acwt=0.083333        # acoustic scale of the search
beam=13.0
lattice_beam=6.0
max_active=7000
use_gpu=auto         # or yes, no: where likelihoods and statistics are computed
determinize_lattice=true  # false: all alignments of each word sequence, for sequence training
small_lm=            # with big_lm: the language model that the graph was made of, and a larger one that corrects its
big_lm=              # costs during the search; both as asrtool build-lm-binary makes them
skip_scoring=false
scoring_opts=        # options of steps/score.sh

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <graph-dir> <data-dir> <decode-dir>" >&2
  echo "e.g.: $0 --nj 2 exp/tri1/graph data/test exp/tri1/decode_test" >&2
  echo "Options: --nj --cmd --model --acwt --beam --lattice-beam --max-active --skip-scoring --scoring-opts" >&2
  echo "  --determinize-lattice --small-lm --big-lm --use-gpu" >&2
  exit 1
fi
graph=$1
data=$2
dir=$3
[ -n "$model" ] || model=$(dirname "$dir")/final.mdl

for f in "$model" "$graph/HCLG.fst" "$graph/words.txt" "$data/feats.scp"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"
$cmd --num-threads "$nj" "$dir/log/decode.log" asrtool decode-gmm --nj "$nj" --acoustic-scale "$acwt" --beam "$beam" \
  --lattice-beam "$lattice_beam" --max-active "$max_active" --determinize-lattice "$determinize_lattice" \
  --use-gpu "$use_gpu" ${small_lm:+--small-lm "$small_lm"} ${big_lm:+--big-lm "$big_lm"} "$model" "$graph" "$data" "$dir"
if ! $skip_scoring && [ -f "$data/text" ]; then
  # shellcheck disable=SC2086  # several options
  steps/score.sh --cmd "$cmd" $scoring_opts "$data" "$graph" "$dir"
fi
