#!/usr/bin/env bash
# Writes a data directory of the same recordings <factor> times as fast; utterances and speakers are named sp<factor>-<name>.
# No audio is written: the file reco2speed says it, and features are made accordingly.
set -euo pipefail
. ./path.sh

include_spk_prefix=true  # false: speakers keep their names, utterances become <name>-sp<factor>

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [--include-spk-prefix true|false] <factor> <src-dir> <dest-dir>" >&2
  echo "e.g.: $0 0.9 data/train data/train_sp0.9" >&2
  exit 1
fi
asrtool perturb-data-dir-speed --include-spk-prefix "$include_spk_prefix" "$1" "$2" "$3"
exec asrtool validate-data-dir --text false --feats false --wav false "$3"
