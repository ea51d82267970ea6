#!/usr/bin/env bash
# Runs a line of a file as a shell command: the jobs of a list, one by one, under utils/run.py or utils/slurm.py.
#
# Usage: utils/nth_line.sh <file> <number>
#  e.g.: utils/run.py --max-jobs-run 2 JOB=1:8 exp/log/list.JOB.log utils/nth_line.sh exp/list JOB
set -euo pipefail
if [ $# -ne 2 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
line=$(sed -n "$2p" "$1")
[ -n "$line" ] || { echo "$0: ERROR: $1: no line $2" >&2; exit 1; }
printf '# %s\n' "$line" >&2
exec bash -euo pipefail -c "$line"
