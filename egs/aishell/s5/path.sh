# shellcheck shell=bash
# Sourced by the recipe and by every step it calls.
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../../../path.sh"
