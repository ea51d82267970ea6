# shellcheck shell=bash
# Sourced by recipes. `run_stages DIR SETTINGS NAME...` calls the functions stage_NAME in turn, numbered from 0.
# A stage that ended well leaves DIR/.stages/NUMBER_NAME and is passed over at the next start; with `--stage N` all
# stages from N on run again. The stages themselves go on from where they were. SETTINGS is a line of the options that
# change what is made: if it differs from that of the last start, the recipe stops and says so.

run_stages() {
  local dir=$1 settings=$2 number=-1 last name done_file started from=${stage:-}
  shift 2
  mkdir -p "$dir/.stages"
  if [ -f "$dir/.stages/settings" ] && [ "$(cat "$dir/.stages/settings")" != "$settings" ]; then
    echo "$0: ERROR: $dir was made with other options ($(cat "$dir/.stages/settings")): give those, or another directory, or remove $dir" >&2
    exit 1
  fi
  echo "$settings" >"$dir/.stages/settings.tmp" && mv "$dir/.stages/settings.tmp" "$dir/.stages/settings"
  last=$(($# - 1))
  for name in "$@"; do
    number=$((number + 1))
    done_file=$dir/.stages/${number}_$name
    if [ "$number" -lt "${from:-0}" ] || [ "$number" -gt "${stop_stage:-1000}" ]; then continue; fi
    if [ -z "$from" ] && [ -f "$done_file" ]; then continue; fi
    rm -f "$done_file"
    echo "$(date '+%F %T') stage $number of $last: $name" >&2
    started=$SECONDS
    "stage_$name"
    echo "$((SECONDS - started)) s" >"$done_file.tmp" && mv "$done_file.tmp" "$done_file"
    echo "$(date '+%F %T') stage $number of $last: $name took $((SECONDS - started)) s" >&2
  done
}

# `require_disk STAGE HOURS DIR` ends the recipe with one line where the file system of DIR has less room than STAGE (of
# conf/resources.yaml) needs for HOURS of speech; disk_check=false goes on all the same.
require_disk() {
  if [ "${disk_check:-true}" = false ]; then return 0; fi
  asrtool plan-resources check "$@" >&2 || exit 1
}
