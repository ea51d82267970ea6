#!/usr/bin/env bash
# Fetches parts of LibriSpeech (OpenSLR 12; mini: OpenSLR 31), verifies and unpacks them to <dir>/LibriSpeech/<part>, and, where an
# <lm-dir> is given, lexicon, vocabulary and language models (OpenSLR 11) into it. What was broken off goes on where it was, what is there
# is left alone.
set -euo pipefail

data_url=https://www.openslr.org/resources/12
mini_url=https://www.openslr.org/resources/31   # of dev-clean-2 and train-clean-5
lm_url=https://www.openslr.org/resources/11
mirror_hosts=           # hosts with the same resources/12, 31 and 11, tried in turn: "https://openslr.elda.org https://us.openslr.org"
checksums=local/md5sum.txt  # "MD5 file" lines; a file that is not in it is not verified
lm_files="librispeech-lexicon.txt librispeech-vocab.txt 3-gram.pruned.3e-7.arpa.gz 3-gram.pruned.1e-7.arpa.gz 3-gram.arpa.gz 4-gram.arpa.gz"
remove_archives=true    # when they are unpacked

. ./path.sh
. utils/parse_options.sh

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "Usage: $0 [options] <parts> <dir> [<lm-dir>]" >&2
  echo "e.g.: $0 --mirror-hosts https://openslr.elda.org \"dev-clean train-clean-100\" /corpora /corpora/librispeech-lm" >&2
  echo "Options: --data-url --mini-url --lm-url --mirror-hosts --checksums --lm-files --remove-archives" >&2
  exit 1
fi
[ -f "$checksums" ] || { echo "$0: ERROR: $checksums: no such file" >&2; exit 1; }

# fetch FILE URL DIR [OPTION...]: asrtool download with the checksum and the mirrors
fetch() {
  local file=$1 url=$2 dir=$3 sum host mirrors=""
  shift 3
  sum=$(awk -v file="$file" '$2 == file { print $1 }' "$checksums")
  for host in $mirror_hosts; do mirrors="$mirrors ${host%/}/resources/${url##*/}"; done
  asrtool download ${sum:+--checksum "md5:$sum"} --mirrors "$mirrors" "$@" "$url/$file" "$dir"
}

for part in $1; do
  url=$data_url
  case $part in *-2|*-5) url=$mini_url ;; esac
  fetch "$part.tar.gz" "$url" "$2" --unpack true --provides "LibriSpeech/$part" --remove-archive "$remove_archives"
done
if [ $# = 3 ]; then
  for file in $lm_files; do fetch "$file" "$lm_url" "$3" --provides "$file"; done
fi
