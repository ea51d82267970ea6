#!/usr/bin/env bash
# Makes the alignments of a speed-perturbed data directory from those of the original: the same states, over the new number of
# frames. Utterances that have not been perturbed keep theirs.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
max_failed=0.1  # share of the utterances that may be left out

. utils/parse_options.sh

if [ $# != 4 ]; then
  echo "Usage: $0 [options] <ali-dir> <src-data-dir> <dest-data-dir> <out-dir>" >&2
  echo "e.g.: $0 exp/tri_ali data/mfcc/train data/fbank/train_sp exp/tri_ali_sp" >&2
  echo "Options: --cmd --max-failed" >&2
  exit 1
fi
ali=$1
src=$2
dest=$3
dir=$4

for f in "$ali/final.mdl" "$ali/tree" "$src/feats.scp" "$dest/feats.scp"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
mkdir -p "$dir/log"

$cmd "$dir/log/warp_alignment.log" asrtool warp-alignment --max-failed "$max_failed" "$ali" "$src" "$dest" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
