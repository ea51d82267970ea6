#!/usr/bin/env bash
# Sequence-discriminative training of a network on the fly: denominator lattices are made with the present parameters while it
# trains (Sak 2014, Figures 2 and 3), by sMBR unless the settings say otherwise (sequence.criterion=mmi, mpfe, mpe). The graph
# is that of a weak language model (steps/nnet/make_denominator_graph.sh). A run that was stopped or killed goes on from its
# last checkpoint when it is started again, with the same or another number of workers; one that is done returns at once.
# See utils/train_workers.sh for the options about workers and hosts, docs/sequence_training.md for the rest.
#
# SIGTERM, SIGINT or SIGHUP to this script: the workers save at their next synchronisation and end. Exit status: 0 done,
# 143 stopped in that way, 1 anything else.
set -euo pipefail
. ./path.sh

stage=0
cmd=utils/run.py
nnet_config=conf/smbr.yaml
valid_alignments=     # default: those of <ali-dir>
dev_data=             # after every epoch, and before the first: word error rate of this data
dev_graph=            # with this graph
denlats=              # stored lattices of the training data instead of <den-graph-dir>, which is then '-' or serves valid_data
valid_denlats=        # of the validation data
simulate=false        # true: all workers in one process and thread, with the time of real ones modelled (asrtool simulate-seq)
simulate_opts=        # of that: --link-mbit, --latency-ms, --workers-per-host, --seconds-per-frame, ...
den_graph=            # sequence.criterion=lfmmi: a directory of asrtool make-den-graph; <den-graph-dir> is then '-'

. utils/train_workers.sh
. utils/parse_options.sh
. utils/denlats.sh

if [ $# -lt 7 ]; then
  echo "Usage: $0 [options] <ali-dir> <train-data> <valid-data> <lang-dir> <den-graph-dir> <src-dir-or-model> <exp-dir> [<key>=<value> ...]" >&2
  echo "e.g.: $0 --nnet-config conf/smbr.yaml --num-workers 2 --dev-data data/dev --dev-graph exp/tri/graph exp/tri_ali \\" >&2
  echo "        data/train data/valid data/lang exp/tri_ali/graph_2gram exp/lstm exp/lstm_smbr num_epochs=4" >&2
  echo "Options: --nnet-config FILE.yaml --valid-alignments DIR --dev-data DIR --dev-graph DIR --cmd --stage" >&2
  echo "         --denlats DIR --valid-denlats DIR  stored lattices (steps/nnet/make_denlats.sh); <den-graph-dir> may then be '-'" >&2
  echo "         --den-graph DIR  of lattice-free MMI" >&2
  echo "         --simulate true --simulate-opts '...'" >&2
  echo "         $worker_usage" >&2
  exit 1
fi
ali=$1 train=$2 valid=$3 lang=$4 graph=$5 src=$6 dir=$7
shift 7

needed=("$nnet_config" "$ali/final.mdl" "$train/feats.scp" "$valid/feats.scp" "$lang/words.txt" "$lang/phones/silence.csl")
options=()
if [ "$graph" != - ]; then needed+=("$graph/HCLG.fst"); options+=(--graph "$graph"); fi
if [ "$graph" = - ] && [ -z "$denlats$den_graph" ]; then echo "$0: ERROR: give a graph, or --denlats" >&2; exit 1; fi
if [ -n "$den_graph" ]; then options+=(--den-graph "$den_graph"); fi
if [ -n "$denlats" ]; then needed+=("$denlats/decode.json"); options+=(--denlats "$denlats"); fi
if [ -n "$valid_denlats" ]; then needed+=("$valid_denlats/decode.json"); options+=(--valid-denlats "$valid_denlats"); fi
if [ -n "$dev_data" ] || [ -n "$dev_graph" ]; then
  if [ -z "$dev_data" ] || [ -z "$dev_graph" ]; then
    echo "$0: ERROR: the word error rate needs both --dev-data and --dev-graph" >&2; exit 1
  fi
  needed+=("$dev_data/feats.scp" "$dev_data/text" "$dev_graph/HCLG.fst")
  options+=(--dev-data "$dev_data" --dev-graph "$dev_graph")
fi
if [ -n "$valid_alignments" ]; then options+=(--valid-alignments "$valid_alignments"); fi
for f in "${needed[@]}"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
model=$(find_model "$src")
check_workers "$dir"
verb=(train-seq)
# shellcheck disable=SC2206  # several options, or none
if $simulate; then launch=(asrtool) verb=(simulate-seq --num-workers "${num_workers:-8}" $simulate_opts); fi
if [ "$stage" -le 0 ]; then
  train_with_workers "$dir" "${verb[@]}" --config "$nnet_config" --lang "$lang" --init "$model" "${options[@]}" \
    "$ali" "$train" "$valid" "$dir" "$@"
fi
finish_network "$ali" "$dir" "$log"
