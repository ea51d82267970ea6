#!/usr/bin/env bash
# Decodes a data directory with a GMM adapted to each speaker by fMLLR transforms, and scores it where it has a text; the model is
# in the directory above <decode-dir>. A first pass without transforms goes to <decode-dir>.si.
set -euo pipefail
. ./path.sh

nj=4                 # threads
cmd=utils/run.py
first_beam=10.0      # of the pass without transforms
first_max_active=2000
alignment_model=     # of the pass without transforms; default: final.alimdl, or final.mdl where there is none
adapt_model=         # of transforms and search; default: final.mdl
final_model=         # of the lattices' final costs; default: final.mdl
si_dir=              # decoding without transforms, of the same tree, to start from
acwt=0.083333        # acoustic scale of search and posteriors
beam=13.0
lattice_beam=6.0
max_active=7000
use_gpu=auto         # or yes, no: where likelihoods and statistics are computed
silence_weight=0.01  # of silence in the estimation of transforms
fmllr_update_type=full  # or diag, offset, none
fmllr_min_count=500  # speakers with fewer frames keep their features
determinize_lattice=true  # false: all alignments of each word sequence
small_lm=            # with big_lm: the language model that the graph was made of, and a larger one that corrects its
big_lm=              # costs during the search; both as asrtool build-lm-binary makes them
skip_scoring=false
scoring_opts=        # options of steps/score.sh

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <graph-dir> <data-dir> <decode-dir>" >&2
  echo "e.g.: $0 --nj 2 exp/tri3b/graph data/test exp/tri3b/decode_test" >&2
  echo "Options: --nj --cmd --first-beam --first-max-active --alignment-model --adapt-model --final-model --si-dir --acwt" >&2
  echo "  --beam --lattice-beam --max-active --silence-weight --fmllr-update-type --fmllr-min-count --determinize-lattice" >&2
  echo "  --small-lm --big-lm --skip-scoring --scoring-opts --use-gpu" >&2
  exit 1
fi
graph=$1
data=$2
dir=${3%/}
srcdir=$(dirname "$dir")
if [ -z "$alignment_model" ]; then
  alignment_model=$srcdir/final.mdl
  [ ! -f "$srcdir/final.alimdl" ] || alignment_model=$srcdir/final.alimdl
fi
[ -n "$adapt_model" ] || adapt_model=$srcdir/final.mdl
[ -n "$final_model" ] || final_model=$srcdir/final.mdl

for f in "$alignment_model" "$adapt_model" "$final_model" "$graph/HCLG.fst" "$graph/words.txt" "$graph/phones/silence.csl" \
  "$data/feats.scp"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
lm_opts=(${small_lm:+--small-lm "$small_lm"} ${big_lm:+--big-lm "$big_lm"})
mkdir -p "$dir/log"
if [ -z "$si_dir" ]; then
  si_dir=$dir.si
  steps/decode.sh --nj "$nj" --cmd "$cmd" --acwt "$acwt" --beam "$first_beam" --max-active "$first_max_active" \
    --model "$alignment_model" "${lm_opts[@]}" --skip-scoring "$skip_scoring" --scoring-opts "$scoring_opts" \
    --use-gpu "$use_gpu" "$graph" "$data" "$si_dir"
fi
[ -f "$si_dir/lat.1.gz" ] || { echo "$0: ERROR: $si_dir/lat.1.gz: no such file" >&2; exit 1; }

$cmd --num-threads "$nj" "$dir/log/decode.log" asrtool decode-fmllr --nj "$nj" --si-dir "$si_dir" \
  --alignment-model "$alignment_model" --adapt-model "$adapt_model" --final-model "$final_model" \
  --acoustic-scale "$acwt" --beam "$beam" --lattice-beam "$lattice_beam" --max-active "$max_active" \
  --silence-weight "$silence_weight" --fmllr-update-type "$fmllr_update_type" --fmllr-min-count "$fmllr_min_count" \
  --determinize-lattice "$determinize_lattice" --use-gpu "$use_gpu" "${lm_opts[@]}" "$srcdir" "$graph" "$data" "$dir"
if ! $skip_scoring && [ -f "$data/text" ]; then
  # shellcheck disable=SC2086  # several options
  steps/score.sh --cmd "$cmd" $scoring_opts "$data" "$graph" "$dir"
fi
