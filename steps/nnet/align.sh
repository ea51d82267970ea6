#!/usr/bin/env bash
# Aligns a data directory with a trained network.
set -euo pipefail
. ./path.sh

nj=4                 # threads; the results do not depend on it
cmd=utils/run.py
beam=10
retry_beam=40
acwt=0.1             # acoustic scale
scale_opts="--transition-scale 1.0 --self-loop-scale 0.1"
ali_dir=             # with final.mdl and tree that the network was trained on; default: where the model is
max_failed=0.25      # share of utterances that may fail to align
memory_limit=2048    # MiB

. utils/parse_options.sh

if [ $# != 4 ]; then
  echo "Usage: $0 [options] <data-dir> <lang-dir> <src-dir-or-model> <align-dir>" >&2
  echo "e.g.: $0 --nj 2 --ali-dir exp/tri_ali data/fbank/train data/lang exp/lstm/final_ema.pt exp/lstm_ali" >&2
  echo "Options: --nj --cmd --beam --retry-beam --acwt --scale-opts --ali-dir --max-failed --memory-limit" >&2
  exit 1
fi
data=$1
lang=$2
src=$3
dir=$4
if [ -z "$ali_dir" ]; then
  ali_dir=$src
  [ -d "$src" ] || ali_dir=$(dirname "$src")
fi

for f in "$data/feats.scp" "$data/text" "$lang/phones.txt" "$lang/L.fst" "$ali_dir/final.mdl" "$ali_dir/tree"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
[ -e "$src" ] || { echo "$0: ERROR: $src: no such model or directory" >&2; exit 1; }
mkdir -p "$dir/log"

# shellcheck disable=SC2086  # scale_opts are several options
$cmd --num-threads "$nj" "$dir/log/align.log" asrtool align-nnet --nj "$nj" --beam "$beam" --retry-beam "$retry_beam" \
  --acoustic-scale "$acwt" $scale_opts --ali-dir "$ali_dir" --max-failed "$max_failed" --memory-limit "$memory_limit" \
  "$data" "$lang" "$src" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
