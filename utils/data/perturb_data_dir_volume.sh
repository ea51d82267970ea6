#!/usr/bin/env bash
# Gives each recording of a data directory a random volume: the file reco2vol, used when features are made.
set -euo pipefail
. ./path.sh

reco2vol=        # take the factors from this file ("recording factor" lines)
write_reco2vol=  # write them to this file too
scale_low=0.125
scale_high=2
seed=0

. utils/parse_options.sh

if [ $# != 1 ]; then
  echo "Usage: $0 [options] <data-dir>" >&2
  echo "e.g.: $0 data/train_sp" >&2
  echo "Options: --reco2vol --write-reco2vol --scale-low --scale-high --seed" >&2
  exit 1
fi
exec asrtool perturb-data-dir-volume --scale-low "$scale_low" --scale-high "$scale_high" --seed "$seed" \
  ${reco2vol:+--reco2vol "$reco2vol"} ${write_reco2vol:+--write-reco2vol "$write_reco2vol"} "$1"
