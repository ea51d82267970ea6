#!/usr/bin/env bash
# Computes MFCC features of a data directory; options and usage are in make_features.sh.
set -euo pipefail
exec "$(dirname "$0")/make_features.sh" --kind mfcc "$@"
