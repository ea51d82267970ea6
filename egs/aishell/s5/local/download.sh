#!/usr/bin/env bash
# Fetches AISHELL-1 (15 GB) and its lexicon from their public home, OpenSLR resource 33, verifies and unpacks them, each speaker's own
# archive too: <dir>/data_aishell and <dir>/resource_aishell. What was broken off goes on; does nothing when all is there.
set -euo pipefail

url=https://www.openslr.org/resources/33     # the folder with both archives
mirrors=                # others with the same files, "https://openslr.elda.org/resources/33 https://openslr.magicdatatech.com/resources/33"
remove_archives=false   # remove the archives afterwards; those of the speakers are removed in any case
data_checksum=md5:2f494334227864a8a8fec932999db9d8
resource_checksum=md5:957d480a0fcac85fc18e550756f624e5

. ./path.sh
. utils/parse_options.sh

if [ $# != 1 ]; then
  echo "Usage: $0 [options] <dir>" >&2
  echo " e.g.: $0 --remove-archives true /corpora" >&2
  echo "Options: --url <folder> --mirrors <folders> --remove-archives true|false --data-checksum --resource-checksum md5:HEX" >&2
  exit 1
fi

fetch=(asrtool download --mirrors "$mirrors" --unpack true --remove-archive "$remove_archives")
"${fetch[@]}" --checksum "$resource_checksum" --provides resource_aishell "$url/resource_aishell.tgz" "$1"
"${fetch[@]}" --checksum "$data_checksum" --provides data_aishell "$url/data_aishell.tgz" "$1"
python local/unpack_speakers.py "$1/data_aishell/wav"
