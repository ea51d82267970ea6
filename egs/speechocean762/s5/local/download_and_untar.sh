#!/usr/bin/env bash
# Fetches speechocean762 (520 MB) from its public home, OpenSLR resource 101, and unpacks it to <dir>/speechocean762.
# A download that was broken off goes on where it was. Does nothing when the corpus is there.
set -euo pipefail

url=https://www.openslr.org/resources/101/speechocean762.tar.gz
mirrors=                # other addresses of the folder that holds the archive
remove_archive=false    # remove the archive afterwards

. ./path.sh
. utils/parse_options.sh

if [ $# != 1 ]; then
  echo "Usage: $0 [options] <dir>" >&2
  echo " e.g.: $0 --remove-archive true /corpora" >&2
  echo "Options: --url <address> --mirrors <addresses> --remove-archive true|false" >&2
  exit 1
fi

asrtool download --mirrors "$mirrors" --unpack true --provides speechocean762 --remove-archive "$remove_archive" "$url" "$1"
