#!/usr/bin/env bash
# Decodes a data directory with one network or several (the graph is loaded once).
set -euo pipefail
. ./path.sh

nj=4                  # threads
cmd=utils/run.py
transition_model=     # final.mdl of the alignments; default: beside the first model
acwt=0.1              # acoustic scale of the search
word_ins_penalty=0.0  # in the search; the scoring sweep has its own
beam=13.0
lattice_beam=6.0
max_active=7000
lattice=true          # false: the best path only, in hyp.txt
determinize_lattice=true  # false: all alignments of each word sequence, for sequence training
small_lm=             # with big_lm: the language model that the graph was made of, and a larger one that corrects its
big_lm=               # costs during the search; both as asrtool build-lm-binary makes them

. utils/parse_options.sh

if [ $# -lt 4 ] || [ $(($# % 2)) != 0 ]; then
  echo "Usage: $0 [options] <graph-dir> <data-dir> <model> <decode-dir> [<model> <decode-dir> ...]" >&2
  echo "e.g.: $0 --nj 2 exp/tri1/graph data/test exp/lstm/final_ema.pt exp/lstm/decode_ema_test" >&2
  echo "Options: --nj --cmd --transition-model --acwt --word-ins-penalty --beam --lattice-beam --max-active --lattice" >&2
  echo "  --determinize-lattice --small-lm --big-lm" >&2
  exit 1
fi
graph=$1
data=$2
shift 2
[ -n "$transition_model" ] || transition_model=$(dirname "$1")/final.mdl

for f in "$1" "$transition_model" "$graph/HCLG.fst" "$graph/words.txt" "$data/feats.scp"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$2/log"
$cmd --num-threads "$nj" "$2/log/decode.log" asrtool decode-nnet --nj "$nj" --transition-model "$transition_model" \
  --acoustic-scale "$acwt" --word-insertion-penalty "$word_ins_penalty" --beam "$beam" --lattice-beam "$lattice_beam" \
  --max-active "$max_active" --lattice "$lattice" --determinize-lattice "$determinize_lattice" \
  ${small_lm:+--small-lm "$small_lm"} ${big_lm:+--big-lm "$big_lm"} "$graph" "$data" "$@"
grep -h 'real-time factor' "$2/log/decode.log" >&2 || true
