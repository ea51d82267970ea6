#!/usr/bin/env bash
# Writes a part of a data directory.
# The options are those of 'asrtool subset-data-dir', which --help tells.
set -euo pipefail
. ./path.sh

if [ $# -lt 3 ] && [ "${1:-}" != --help ]; then
  echo "Usage: $0 (--speakers FILE | --utt-list FILE | --first N | --last N | --shortest N | --even N | --per-spk N) <src-dir> <dest-dir>" >&2
  echo "e.g.: $0 --shortest 1000 data/train data/train_1kshort" >&2
  exit 1
fi
exec asrtool subset-data-dir "$@"
