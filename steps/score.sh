#!/usr/bin/env bash
# Scores a decoding over LM weights and word insertion penalties: wer_* or cer_* files, scoring_kaldi/best_* and the tables of
# scoring_kaldi/wer_details/ (per_utt: alignments, per_spk, ops, sys, wer_bootci: 95 % interval).
# Where the recipe has local/wer_ref_filter and local/wer_hyp_filter, or local/wer_output_filter for both, the texts go through them.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
metric=wer           # or cer
min_lmwt=7
max_lmwt=17
word_ins_penalty=0.0,0.5,1.0
normalise=           # steps for both sides: full_width,case,punctuation,digits,...
latin_words=true     # CER: a Latin word is one token
tuned_on=            # take LM weight and penalty from this scored decoding (of a development set)
results=             # results.json to record in, under --system and --set
system=
set=
recording=           # further options of `asrtool score`: --commit --seed

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <data-dir> <graph-dir> <decode-dir>" >&2
  echo "e.g.: $0 --metric cer --tuned-on exp/tri1/decode_dev data/test exp/tri1/graph exp/tri1/decode_test" >&2
  echo "Options: --cmd --metric --min-lmwt --max-lmwt --word-ins-penalty --normalise --latin-words --tuned-on" >&2
  echo "         --results --system --set --recording" >&2
  exit 1
fi
filters=()
for side in ref hyp; do
  for filter in "local/wer_${side}_filter" local/wer_output_filter; do
    if [ -x "$filter" ]; then
      filters+=("--$side-filter" "$filter")
      break
    fi
  done
done
mkdir -p "$3/log"
# shellcheck disable=SC2086  # several options
$cmd "$3/log/score.log" asrtool score --metric "$metric" --min-lmwt "$min_lmwt" --max-lmwt "$max_lmwt" \
  --word-ins-penalty "$word_ins_penalty" ${normalise:+--normalise "$normalise"} --latin-words "$latin_words" "${filters[@]}" \
  ${tuned_on:+--tuned-on "$tuned_on"} ${results:+--results "$results"} \
  ${system:+--system "$system"} ${set:+--set "$set"} $recording "$1" "$2" "$3"
cat "$3/scoring_kaldi/best_$metric"
