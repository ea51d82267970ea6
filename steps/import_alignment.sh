#!/usr/bin/env bash
# Imports the alignments, model and tree of a Kaldi experiment, checked against a data directory.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
lang=                         # its phones.txt must be that of the experiment
max_failed=0.05               # share of the data directory's utterances that may lack a usable alignment
frame_subsampling_factor=1    # 3 for Kaldi's chain models

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <kaldi-exp-dir> <data-dir> <out-dir>" >&2
  echo "e.g.: $0 --lang data/lang ~/kaldi/egs/wsj/s5/exp/tri3b_ali data/train exp/tri3b_ali" >&2
  echo "Options: --cmd --lang --max-failed --frame-subsampling-factor" >&2
  exit 1
fi
exp=$1
data=$2
dir=$3

for f in "$exp/final.mdl" "$exp/tree" "$data/utt2spk"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"

$cmd "$dir/log/import_alignment.log" asrtool import-alignment ${lang:+--lang "$lang"} --max-failed "$max_failed" \
  --frame-subsampling-factor "$frame_subsampling_factor" "$exp" "$data" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
