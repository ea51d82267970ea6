# shellcheck shell=bash
# Sourced by every script. On first use it makes .venv beside this file and installs asrtool into it, at the
# versions of constraints.txt; afterwards it only puts .venv first in PATH.
# ASRTOOL_EXTRAS="synthesis test" asks for optional parts too. ASRTOOL_PYTHON names another python than python3.

# Prints the parts (base and extras) whose marker in .venv is missing or of other versions.
asrtool_missing() {
  local root=$1 part
  for part in base ${ASRTOOL_EXTRAS:-}; do
    cat "$root/pyproject.toml" "$root/constraints.txt" | cmp -s - "$root/.venv/.asrtool-$part" || printf ' %s' "$part"
  done
}

asrtool_install() {
  local root=$1 python=${ASRTOOL_PYTHON:-python3} missing part
  missing=$(asrtool_missing "$root")
  [ -n "$missing" ] || return 0
  if ! command -v "$python" >/dev/null; then
    echo "path.sh: ERROR: $python not found: install Python 3.11 or newer, or name one in ASRTOOL_PYTHON" >&2
    return 1
  fi
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "path.sh: ERROR: $python is $("$python" -V 2>&1): asrtool needs Python 3.11 or newer; name one in ASRTOOL_PYTHON" >&2
    return 1
  fi
  if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -m venv --clear "$root/.venv" >"$root/.venv.log" 2>&1; then
      echo "path.sh: ERROR: '$python -m venv' failed: install Python's venv module (on Debian: apt install python3-venv); see $root/.venv.log" >&2
      return 1
    fi
  fi
  echo "path.sh: installing asrtool into $root/.venv, once; this takes a minute or two" >&2
  missing=$(echo "$missing" | sed 's/^ //; s/ /,/g; s/^base,\{0,1\}//')
  if ! "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$root/constraints.txt" \
         --editable "$root${missing:+"[$missing]"}" >"$root/.venv.log" 2>&1; then
    echo "path.sh: ERROR: pip failed; the end of $root/.venv.log:" >&2
    tail -n 5 "$root/.venv.log" >&2
    return 1
  fi
  rm -f "$root/.venv.log"
  for part in base ${missing//,/ }; do
    cat "$root/pyproject.toml" "$root/constraints.txt" >"$root/.venv/.asrtool-$part"
  done
}

ASRTOOL_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export ASRTOOL_ROOT
( flock 9; asrtool_install "$ASRTOOL_ROOT" ) 9>"$ASRTOOL_ROOT/.venv.lock" || exit 1
case ":$PATH:" in
  *":$ASRTOOL_ROOT/.venv/bin:"*) ;;
  *) export PATH="$ASRTOOL_ROOT/.venv/bin:$ASRTOOL_ROOT/utils:$PATH" ;;
esac
export LC_ALL=C.UTF-8 PYTHONUTF8=1 PYTHONUNBUFFERED=1
