#!/usr/bin/env bash
# Words with times from a decoding's lattices, for a range of LM weights: <decode-dir>/score_LMWT/<data name>.ctm.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
stage=0
frame_shift=0.01
min_lmwt=5
max_lmwt=20
word_ins_penalty=0.0
use_segments=true    # times in the recordings where <data-dir> has segments, with the names of reco2file_and_channel
print_silence=false
confidence=false     # true: with confidences, as Kaldi's steps/get_ctm_conf.sh
decode_mbr=true      # with --confidence: the words of the least expected error, not of the best path
model=               # final.mdl (default: of <decode-dir>, or of the directory above it)

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <data-dir> <lang-dir|graph-dir> <decode-dir>" >&2
  echo "e.g.: $0 --min-lmwt 9 --max-lmwt 12 data/test exp/tri/graph exp/tri/decode_test" >&2
  echo "Options: --cmd --stage --frame-shift --min-lmwt --max-lmwt --word-ins-penalty --use-segments --print-silence" >&2
  echo "         --confidence --decode-mbr --model" >&2
  exit 1
fi
data=$1
lang=$2
dir=$3

if [ "$stage" -le 0 ]; then
  mkdir -p "$dir/scoring/log"
  $cmd "$dir/scoring/log/get_ctm.log" asrtool get-ctm --frame-shift "$frame_shift" --min-lmwt "$min_lmwt" \
    --max-lmwt "$max_lmwt" --word-ins-penalty "$word_ins_penalty" --use-segments "$use_segments" \
    --print-silence "$print_silence" --confidence "$confidence" --decode-mbr "$decode_mbr" \
    ${model:+--model "$model"} "$data" "$lang" "$dir"
fi
