#!/usr/bin/env bash
# Makes denominator lattices of the training data with a network, for sequence training with stored lattices
# (steps/nnet/train_mmi.sh, train_smbr.sh): state-level lattices over a graph with a weak language model of the transcripts.
# <denlats-dir> gets lat.N.gz in parts of 128 utterances, so that a run that was killed goes on after the last whole part;
# summary.json with the lattices' depth and how many there are; and the utterances that have no lattice (without_lattice) or
# not the words of their reference in it (without_reference).
set -euo pipefail
. ./path.sh

nj=4                  # threads
cmd=utils/run.py
graph=                # graph directory; default: one with n-grams of the data's transcripts is made in <denlats-dir>/dengraph
order=2               # of these
transition_model=     # final.mdl of the alignments; default: beside the model
acwt=0.1
beam=13.0
lattice_beam=7.0
max_active=5000
sub_split=1           # not needed: see the parts above; Kaldi's option is taken and changes nothing
max_failed=0.1        # share of utterances that may have no lattice

. utils/parse_options.sh
. utils/denlats.sh

if [ $# != 4 ]; then
  echo "Usage: $0 [options] <data-dir> <lang-dir> <src-dir-or-model> <denlats-dir>" >&2
  echo "e.g.: $0 --nj 2 --graph exp/tri_ali/graph_2gram data/train data/lang exp/lstm exp/lstm_denlats" >&2
  echo "Options: --nj --cmd --graph DIR --order N --transition-model --acwt --beam --lattice-beam --max-active --max-failed" >&2
  exit 1
fi
data=$1
lang=$2
dir=$4
: "$sub_split"
model=$(find_model "$3")
[ -n "$transition_model" ] || transition_model=$(dirname "$model")/final.mdl

for f in "$data/feats.scp" "$data/text" "$lang/words.txt" "$lang/oov.txt" "$transition_model"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"
denominator_graph "$data" "$lang" "$(dirname "$transition_model")"
$cmd --num-threads "$nj" "$dir/log/decode.log" asrtool decode-nnet --nj "$nj" --transition-model "$transition_model" \
  --acoustic-scale "$acwt" --beam "$beam" --lattice-beam "$lattice_beam" --max-active "$max_active" --max-failed "$max_failed" \
  --determinize-lattice false "$graph" "$data" "$model" "$dir"
summarise_denlats "$data" "$lang"
