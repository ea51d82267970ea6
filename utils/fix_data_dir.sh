#!/usr/bin/env bash
# Mends a data directory: sorts, drops doubles and incomplete utterances, writes spk2utt.
# The options are those of 'asrtool fix-data-dir', which --help tells.
set -euo pipefail
. ./path.sh

if [ $# -lt 1 ] && [ "${1:-}" != --help ]; then
  echo "Usage: $0 <data-dir>" >&2
  echo "e.g.: $0 data/train" >&2
  exit 1
fi
exec asrtool fix-data-dir "$@"
