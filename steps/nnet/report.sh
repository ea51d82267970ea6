#!/usr/bin/env bash
# One HTML page of a training, with its final models evaluated on held-out frames (Sak 2014: 200,000) for the phone confusions.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
max_frames=200000     # held-out frames, whole utterances evenly spread; 0: all
phones=               # phones.txt; default: in <ali-dir>

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <ali-dir> <data-dir> <exp-dir>" >&2
  echo "e.g.: $0 exp/tri_ali_valid data/valid exp/lstm    (then open exp/lstm/report.html)" >&2
  echo "Options: --max-frames N --phones FILE --cmd" >&2
  exit 1
fi
ali=$1 data=$2 dir=$3

for f in "$ali/final.mdl" "$data/feats.scp"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
compgen -G "$dir/final_*.pt" >/dev/null || { echo "$0: ERROR: $dir: no final_*.pt; train the network first" >&2; exit 1; }
mkdir -p "$dir/log"
for model in "$dir"/final_*.pt; do
  name=$(basename "$model" .pt)
  name=${name#final_}
  # shellcheck disable=SC2086  # the option may be left out
  $cmd "$dir/log/evaluate_$name.log" asrtool evaluate-nnet --max-frames "$max_frames" ${phones:+--phones $phones} \
    --out "$dir/evaluation_$name.json" "$model" "$ali" "$data"
  grep -h 'frame accuracy' "$dir/log/evaluate_$name.log" >&2
done
asrtool report "$dir"
