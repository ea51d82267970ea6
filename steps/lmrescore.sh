#!/usr/bin/env bash
# Rescores the lattices of a decoding directory with another language model, or several interpolated, and scores them.
set -euo pipefail
. ./path.sh

nj=4                 # jobs at once, at most one for each lat.N.gz
cmd=utils/run.py
words=               # words.txt; default: that of <old-lm> if it is a lang directory
lm_scale=1.0         # of the new model
remove_scale=1.0     # of the old one
weights=             # of several new models, as 0.7,0.3
beam=                # prune the rescored lattices to this beam at --acwt
acwt=0.083333
skip_scoring=false
scoring_opts=        # options of steps/score.sh

. utils/parse_options.sh

if [ $# != 5 ]; then
  echo "Usage: $0 [options] <old-lm> <new-lm> <data-dir> <decode-dir> <rescored-dir>" >&2
  echo "e.g.: $0 data/lang_test lm4.bin data/dev exp/tri1/decode_dev exp/tri1/decode_dev_lm4" >&2
  echo "e.g.: $0 --words data/lang/words.txt --weights 0.7,0.3 lm3.arpa.gz lm4.bin,lm5.bin data/dev exp/tri1/decode_dev rescored" >&2
  echo "A model: a lang directory with G.fst, a G.fst, an ARPA file, or what build-lm-binary made; <new-lm> may be several with commas." >&2
  echo "Options: --nj --cmd --words --lm-scale --remove-scale --weights --beam --acwt --skip-scoring --scoring-opts" >&2
  exit 1
fi
old=$1
IFS=, read -r -a new <<< "$2"
data=$3
in=$4
dir=$5

[ -n "$words" ] || words=$old/words.txt
for f in "$old" "${new[@]}" "$words" "$in/lat.1.gz"; do
  [ -e "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
if [ "$(readlink -f "$in")" = "$(readlink -f "$dir")" ]; then
  echo "$0: ERROR: <rescored-dir> is <decode-dir>; give another one" >&2
  exit 1
fi
num=0
while [ -f "$in/lat.$((num + 1)).gz" ]; do num=$((num + 1)); done
mkdir -p "$dir/log"
rm -f "$dir"/lat.*.gz

# an ARPA file is made a compact model once, not in every job
models=()
for f in "$old" "${new[@]}"; do
  case $f in
    *.arpa | *.arpa.gz)
      model=$dir/lm.${#models[@]}.bin
      $cmd "$dir/log/build_lm.${#models[@]}.log" asrtool build-lm-binary "$f" "$model"
      models+=("$model") ;;
    *) models+=("$f") ;;
  esac
done

# shellcheck disable=SC2086  # several options
$cmd --max-jobs-run "$nj" JOB=1:"$num" "$dir/log/lmrescore.JOB.log" asrtool lattice-lmrescore --words "$words" \
  --lm-scale "$lm_scale" --remove "${models[0]}" --remove-scale "$remove_scale" ${weights:+--weights "$weights"} \
  ${beam:+--beam "$beam" --acoustic-scale "$acwt"} "$in/lat.JOB.gz" "${models[@]:1}" "$dir/lat.JOB.gz"
rm -f "$dir"/lm.*.bin

if ! $skip_scoring && [ -f "$data/text" ]; then
  # shellcheck disable=SC2086  # several options
  steps/score.sh --cmd "$cmd" $scoring_opts "$data" "$(dirname "$words")" "$dir"
fi
