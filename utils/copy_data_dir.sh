#!/usr/bin/env bash
# Copies a data directory without its features, so that others can be made in the copy.
set -euo pipefail
. ./path.sh
. utils/parse_options.sh

if [ $# != 2 ]; then
  echo "Usage: $0 <source-dir> <destination-dir>" >&2
  echo "e.g.: $0 data/train data/fbank/train" >&2
  exit 1
fi
[ -f "$1/utt2spk" ] || { echo "$0: ERROR: $1/utt2spk: no such file" >&2; exit 1; }
mkdir -p "$2"
for f in wav.scp text utt2spk spk2utt segments reco2file_and_channel spk2gender utt2lang utt2dur reco2dur utt2uniq reco2speed reco2vol; do
  if [ -f "$1/$f" ] && ! cmp -s "$1/$f" "$2/$f"; then
    cp "$1/$f" "$2/.$f.tmp" && mv "$2/.$f.tmp" "$2/$f"
  fi
done
for f in reco2speed reco2vol; do
  if [ ! -f "$1/$f" ] && [ -f "$2/$f" ]; then rm "$2/$f" && touch "$2/wav.scp"; fi
done
