#!/usr/bin/env bash
# Runs the benchmarks, or one: prints `NAME ours=... reference=... ratio=... unit=...` lines; a ratio above 1 is better than
# the reference. Nothing is asserted: times belong to the machine that gave them.
#
# Usage: tests/benchmarks/run.sh [NAME]
#  e.g.: tests/benchmarks/run.sh decoder_one_best
# stage_memory.py (memory and time of every stage on a corpus and one ten times as large) needs a corpus and is run by hand; its
# first lines say how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ $# -gt 1 ] || { [ $# = 1 ] && [ ! -f "tests/benchmarks/$1.py" ]; }; then
  echo "Usage: $0 [NAME], one of: $(basename -s .py tests/benchmarks/[a-z]*.py | xargs)" >&2
  exit 1
fi
export ASRTOOL_EXTRAS="test"
# shellcheck source=/dev/null
. ./path.sh
export OMP_NUM_THREADS=1
status=0
names=${1:-$(basename -s .py tests/benchmarks/[a-z]*.py)}
for name in $names; do
  python "tests/benchmarks/$name.py" || { echo "$0: ERROR: $name failed" >&2; status=1; }
done
exit "$status"
