# shellcheck shell=bash disable=SC2034
# Sourced by a recipe's studies (local/compare_parallel.sh, local/run_seq.sh), which work on what its run.sh has made: takes --help and
# --dir DIR, goes to the recipe's directory and sources its path.sh. Sets dir (holds data/ and exp/), command_line and
# commit, for the records. The arguments that remain are the study's own.
here=$(cd "$(dirname "${BASH_SOURCE[1]}")/.." && pwd)
command_line="egs/$(basename "$(dirname "$here")")/s5/local/$(basename "$0")${*:+$(printf ' %q' "$@")}"
case "${1:-}" in --help|-h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
dir=$here
if [ "${1:-}" = --dir ]; then dir=$(realpath -m "$2"); shift 2; fi
cd "$here" || exit 1
# shellcheck source=/dev/null
. ./path.sh
commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
