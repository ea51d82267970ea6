#!/usr/bin/env bash
# Scores a decoding over LM weights and word insertion penalties: wer_* or cer_* files and scoring_kaldi/best_*.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
metric=wer           # or cer
min_lmwt=7
max_lmwt=17
word_ins_penalty=0.0,0.5,1.0
tuned_on=            # take LM weight and penalty from this scored decoding (of a development set)
results=             # results.json to record in, under --system and --set
system=
set=
recording=           # further options of `asrtool score`: --commit --seed

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <data-dir> <graph-dir> <decode-dir>" >&2
  echo "e.g.: $0 --metric cer --tuned-on exp/tri1/decode_dev data/test exp/tri1/graph exp/tri1/decode_test" >&2
  echo "Options: --cmd --metric --min-lmwt --max-lmwt --word-ins-penalty --tuned-on --results --system --set --recording" >&2
  exit 1
fi
mkdir -p "$3/log"
# shellcheck disable=SC2086  # several options
$cmd "$3/log/score.log" asrtool score --metric "$metric" --min-lmwt "$min_lmwt" --max-lmwt "$max_lmwt" \
  --word-ins-penalty "$word_ins_penalty" ${tuned_on:+--tuned-on "$tuned_on"} ${results:+--results "$results"} \
  ${system:+--system "$system"} ${set:+--set "$set"} $recording "$1" "$2" "$3"
cat "$3/scoring_kaldi/best_$metric"
