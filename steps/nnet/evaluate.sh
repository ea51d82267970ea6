#!/usr/bin/env bash
# Error rates of networks on a test set: LM weight and word insertion penalty are found on a development set with one model, by
# a sweep over lattices, and then kept for the best paths of all models on the test set.
set -euo pipefail
. ./path.sh

nj=4                  # threads
cmd=utils/run.py
metric=wer            # or cer
transition_model=     # final.mdl of the alignments; default: beside the first model
beam=13.0
max_active=7000
set=                  # name of the test set in results.json
results=              # results.json to record in
command_line=         # the recipe's, to be recorded
commit=unknown
seed=0

. utils/parse_options.sh

if [ $# -lt 8 ] || [ $((($# - 5) % 3)) != 0 ]; then
  echo "Usage: $0 [options] <graph> <dev-data> <dev-model> <dev-decode-dir> <test-data> <system> <model> <decode-dir> [...]" >&2
  echo "e.g.: $0 --metric cer --set test exp/tri/graph data/valid exp/lstm/final_bmuf.pt exp/lstm/decode_valid \\" >&2
  echo "        data/test lstm_bmuf exp/lstm/final_bmuf.pt exp/lstm/decode_test_bmuf lstm_ema exp/lstm/final_ema.pt exp/lstm/decode_test_ema" >&2
  echo "Options: --nj --cmd --metric --transition-model --beam --max-active --set --results --command-line --commit --seed" >&2
  exit 1
fi
graph=$1 dev_data=$2 dev_model=$3 dev_dir=$4 test_data=$5
shift 5
[ -n "$transition_model" ] || transition_model=$(dirname "$dev_model")/final.mdl
search=(--cmd "$cmd" --nj "$nj" --transition-model "$transition_model" --beam "$beam" --max-active "$max_active")

pairs=() dirs=() systems=""
while [ $# -gt 0 ]; do
  systems=${systems:+$systems,}$1; pairs+=("$2" "$3"); dirs+=("$3"); shift 3
done

steps/nnet/decode.sh "${search[@]}" "$graph" "$dev_data" "$dev_model" "$dev_dir"
steps/score.sh --cmd "$cmd" --metric "$metric" "$dev_data" "$graph" "$dev_dir"
IFS=_ read -r lm_weight penalty <<<"$(sed "s/.*${metric}_//" "$dev_dir/scoring_kaldi/best_$metric")"
acwt=$(awk "BEGIN { print 1 / $lm_weight }")
steps/nnet/decode.sh "${search[@]}" --lattice false --acwt "$acwt" --word-ins-penalty "$penalty" "$graph" "$test_data" "${pairs[@]}"
asrtool score --best-path true --metric "$metric" --system "$systems" ${set:+--set "$set"} ${results:+--results "$results"} \
  --command "$command_line" --commit "$commit" --seed "$seed" "$test_data" "$graph" "${dirs[@]}"
