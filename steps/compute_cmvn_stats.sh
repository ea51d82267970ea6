#!/usr/bin/env bash
# Computes CMVN statistics of a data directory's features: by speaker (cmvn.scp), or over all (global_cmvn).
set -euo pipefail
. ./path.sh

cmd=utils/run.py
global=false

. utils/parse_options.sh

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  echo "Usage: $0 [options] <data-dir> [<log-dir> [<cmvn-dir>]]" >&2
  echo "e.g.: $0 data/train exp/make_mfcc/train mfcc" >&2
  echo "Options: --cmd --global true|false" >&2
  exit 1
fi
data=$1
log=${2:-$data/log}
dir=${3:-$data/data}

[ -f "$data/feats.scp" ] || { echo "$0: ERROR: $data/feats.scp: no such file; make features first" >&2; exit 1; }
mkdir -p "$log" "$dir"
$cmd "$log/cmvn.log" asrtool compute-cmvn-stats --global "$global" "$data" "$dir"
