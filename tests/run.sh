#!/usr/bin/env bash
# All checks: style, layers, shell, tests, these on up to four cores at a time. Arguments go to pytest: tests/run.sh -k bmuf
set -euo pipefail
cd "$(dirname "$0")/.."
export ASRTOOL_EXTRAS="synthesis test"
. ./path.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
if [ $# -eq 0 ]; then
  ruff check .
  ruff format --check .
  lint-imports
  git ls-files -- '*.sh' .ci/run | xargs shellcheck --external-sources --source-path=SCRIPTDIR
  cores=$(env -u OMP_NUM_THREADS nproc)  # which would heed it
  set -- --numprocesses "$((cores < 4 ? cores : 4))" --dist loadfile --durations 15
fi
exec python -m pytest "$@"
