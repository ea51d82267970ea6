#!/usr/bin/env bash
# Makes the decoding graph HCLG.fst of a model and a language model, with all that a decoder needs beside it. Does nothing where the
# graph is newer than the model, the tree and the lang directory.
#
# Usage: utils/mkgraph.sh [options] <lang-dir> <model-dir> <graph-dir>
#  e.g.: utils/mkgraph.sh data/lang_test exp/tri1 exp/tri1/graph
# Options:
#   --transition-scale 1.0    scale of transitions other than self-loops
#   --self-loop-scale 0.1     scale of self-loops (1.0 for chain models)
#   --remove-oov false        true: leave out all sentences with the word of oov.int

set -euo pipefail

transition_scale=1.0
self_loop_scale=0.1
remove_oov=false

. utils/parse_options.sh

if [ $# -ne 3 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
. ./path.sh

asrtool make-graph --transition-scale "$transition_scale" --self-loop-scale "$self_loop_scale" --remove-oov "$remove_oov" "$1" "$2" "$3"
