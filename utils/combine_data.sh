#!/usr/bin/env bash
# Writes one data directory of the utterances of several. Files that not all of them have are left out, with a warning, but for
# utt2uniq, segments, reco2speed and reco2vol, which are completed.
set -euo pipefail
. ./path.sh

extra_files=    # further files to combine, "file1 file2"
skip_fix=false  # leave out fix_data_dir.sh at the end

. utils/parse_options.sh

if [ $# -lt 2 ]; then
  echo "Usage: $0 [--extra-files 'file1 file2'] [--skip-fix true|false] <dest-dir> <src-dir> [<src-dir> ...]" >&2
  echo "e.g.: $0 data/train_sp data/train data/train_sp0.9 data/train_sp1.1" >&2
  exit 1
fi
exec asrtool combine-data-dirs --extra-files "$extra_files" --skip-fix "$skip_fix" "$@"
