#!/usr/bin/env bash
# Writes an experiment for Kaldi: model, tree, alignments, graph, lattices, network for nnet1, README.md of what is what.
set -euo pipefail
. ./path.sh

nj=1                 # alignments are split over so many jobs, as Kaldi's utils/split_data.sh splits their data
cmd=utils/run.py
data=                # data directories to take along, separated by blanks; the first is that of the alignments
copy_features=false  # their features too; else feats.scp names those there are
ali_dir=             # alignments, where they are not in <exp-dir>
graph_dir=           # decoding graphs that are not below <exp-dir>, separated by blanks
lang=                # a lang directory to take along
lattices=true        # take those below <exp-dir> along
model=               # model file of a network (default: final_ema.pt, or the only one)
binary=true          # false: the network as text

. utils/parse_options.sh

if [ $# != 2 ]; then
  echo "Usage: $0 [options] <exp-dir> <out-dir>" >&2
  echo "e.g.: $0 --nj 4 --data data/train exp/tri3b_ali kaldi/tri3b_ali" >&2
  echo "Options: --nj --cmd --data --copy-features --ali-dir --graph-dir --lang --lattices --model --binary" >&2
  exit 1
fi
exp=$1
dir=$2

for f in "$exp/final.mdl" "$exp/tree"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"
options=()
for one in $data; do options+=(--data "$one"); done
for one in $graph_dir; do options+=(--graph-dir "$one"); done
$cmd "$dir/log/export_kaldi.log" asrtool export-kaldi --nj "$nj" "${options[@]}" --copy-features "$copy_features" \
  ${ali_dir:+--ali-dir "$ali_dir"} ${lang:+--lang "$lang"} --lattices "$lattices" ${model:+--model "$model"} --binary "$binary" \
  "$exp" "$dir"
echo "$0: see $dir/README.md" >&2
