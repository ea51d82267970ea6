#!/usr/bin/env bash
# Writes a data directory of the same recordings at the speeds 0.9, 1.0 and 1.1.
set -euo pipefail
. ./path.sh

always_include_prefix=false  # true: what stays at speed 1.0 is named sp1.0-<name>
include_spk_prefix=true      # false: speakers keep their names

. utils/parse_options.sh

if [ $# != 2 ]; then
  echo "Usage: $0 [options] <src-dir> <dest-dir>" >&2
  echo "e.g.: $0 data/train data/train_sp" >&2
  echo "Options: --always-include-prefix true|false --include-spk-prefix true|false" >&2
  exit 1
fi
src=$1
dest=$2
[ -f "$src/wav.scp" ] || { echo "$0: ERROR: $src/wav.scp: no such file" >&2; exit 1; }
[ ! -f "$dest/feats.scp" ] || { echo "$0: ERROR: $dest/feats.scp: is there already; remove $dest first" >&2; exit 1; }

parts=()
temporary=()
for factor in 0.9 1.0 1.1; do
  if [ $factor = 1.0 ] && ! $always_include_prefix; then
    parts+=("$src")
  else
    asrtool perturb-data-dir-speed --include-spk-prefix "$include_spk_prefix" $factor "$src" "${dest}_speed$factor"
    parts+=("${dest}_speed$factor")
    temporary+=("${dest}_speed$factor")
  fi
done
utils/combine_data.sh "$dest" "${parts[@]}"
rm -r "${temporary[@]}"
exec asrtool validate-data-dir --text false --feats false --wav false "$dest"
