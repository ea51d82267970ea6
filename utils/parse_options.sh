# shellcheck shell=bash
# Sourced after the variables that are options have been assigned: `--some-name value` then sets some_name.
# As Kaldi's: unknown options are errors, `--config FILE` sources FILE, true/false options are checked,
# `--help` prints $help_message. `options_given` lists the names that were set on the command line.

options_given=" "
while [ $# -gt 0 ]; do
  case "$1" in
    --help|-h)
      if [ -n "${help_message:-}" ]; then printf '%s\n' "$help_message"; else sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; fi
      exit 0 ;;
    --*=*)
      echo "$0: options are written '--name value', not '$1'" >&2; exit 1 ;;
    --*)
      _name=$(echo "${1#--}" | tr - _)
      if [ $# -lt 2 ]; then echo "$0: the option $1 needs a value" >&2; exit 1; fi
      if [ "$_name" = config ]; then
        if [ ! -r "$2" ]; then echo "$0: $2: no such config file" >&2; exit 1; fi
        # shellcheck disable=SC1090
        . "$2"
      else
        if [ -z "${!_name+set}" ]; then echo "$0: unknown option $1 ($0 --help tells the options)" >&2; exit 1; fi
        case "${!_name}" in
          true|false)
            case "$2" in true|false) ;; *) echo "$0: $1 takes true or false, not '$2'" >&2; exit 1 ;; esac ;;
        esac
        printf -v "$_name" '%s' "$2"
        # shellcheck disable=SC2034  # read by the scripts that source this file
        options_given="$options_given$_name "
      fi
      shift 2 ;;
    *) break ;;
  esac
done
