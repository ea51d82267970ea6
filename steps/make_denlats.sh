#!/usr/bin/env bash
# Makes denominator lattices of the training data with a GMM: as steps/nnet/make_denlats.sh, which see, with a network.
set -euo pipefail
. ./path.sh

nj=4                  # threads
cmd=utils/run.py
graph=                # graph directory; default: one with n-grams of the data's transcripts is made in <denlats-dir>/dengraph
order=1               # of these
acwt=0.1
beam=13.0
lattice_beam=7.0
max_active=5000
sub_split=1           # Kaldi's option is taken and changes nothing
max_failed=0.1        # share of utterances that may have no lattice

. utils/parse_options.sh
. utils/denlats.sh

if [ $# != 4 ]; then
  echo "Usage: $0 [options] <data-dir> <lang-dir> <src-dir> <denlats-dir>" >&2
  echo "e.g.: $0 --nj 2 data/train data/lang exp/tri exp/tri_denlats" >&2
  echo "Options: --nj --cmd --graph DIR --order N --acwt --beam --lattice-beam --max-active --max-failed" >&2
  exit 1
fi
data=$1
lang=$2
src=$3
dir=$4
: "$sub_split"

for f in "$data/feats.scp" "$data/text" "$lang/words.txt" "$lang/oov.txt" "$src/final.mdl" "$src/tree"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"
denominator_graph "$data" "$lang" "$src"
$cmd --num-threads "$nj" "$dir/log/decode.log" asrtool decode-gmm --nj "$nj" --acoustic-scale "$acwt" --beam "$beam" \
  --lattice-beam "$lattice_beam" --max-active "$max_active" --max-failed "$max_failed" --determinize-lattice false \
  "$src/final.mdl" "$graph" "$data" "$dir"
summarise_denlats "$data" "$lang"
