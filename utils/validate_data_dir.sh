#!/usr/bin/env bash
# Checks a data directory; the exit status is 1 if it is not fit for use.
# The options are those of 'asrtool validate-data-dir', which --help tells.
set -euo pipefail
. ./path.sh

if [ $# -lt 1 ] && [ "${1:-}" != --help ]; then
  echo "Usage: $0 [--text false] [--feats false] [--wav false] <data-dir>" >&2
  echo "e.g.: $0 --feats false data/train" >&2
  exit 1
fi
exec asrtool validate-data-dir "$@"
