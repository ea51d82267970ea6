#!/usr/bin/env bash
# Writes a data directory of the same utterances with noise, music and babble of the corpus MUSAN, and with the reverberation of
# the corpus RIRS_NOISES, a copy for each of the kinds. What is broken off goes on where it was.
set -euo pipefail
. ./path.sh

nj=4
cmd=utils/run.py
stage=0
musan=                   # folder of MUSAN: music, noise, speech
rirs=                    # folder of RIRS_NOISES: simulated_rirs
kinds=                   # some of reverb, noise, music and babble; by default those that the corpora given allow
noise_snrs=15:10:5:0     # in dB, one of these, or a range as 0..15
music_snrs=15:10:8:5
babble_snrs=20:17:15:13  # of each who talks
num_babble=3:4:5:6:7     # how many talk
rooms="smallroom mediumroom"
seed=0
audio_format=flac        # Kaldi's programs need wav
modify_spk_id=false      # true: speakers are called <name>-<kind>
max_failed=0             # share of recordings that may fail

. utils/parse_options.sh

if [ $# != 2 ]; then
  echo "Usage: $0 [options] <src-data-dir> <dest-data-dir>" >&2
  echo "e.g.: $0 --nj 8 --musan /corpora/musan --rirs /corpora/RIRS_NOISES data/train data/train_noisy" >&2
  echo "Options: --musan --rirs --kinds 'reverb noise music babble' --noise-snrs --music-snrs --babble-snrs --num-babble" >&2
  echo "  --rooms --seed --audio-format flac|wav --modify-spk-id true|false --nj --cmd --stage --max-failed" >&2
  exit 1
fi
src=$1
dest=$2

[ -f "$src/wav.scp" ] || { echo "$0: ERROR: $src/wav.scp: no such file" >&2; exit 1; }
if [ -z "$kinds" ]; then
  kinds="${rirs:+reverb }${musan:+noise music babble}"
  [ -n "$kinds" ] || { echo "$0: ERROR: neither --musan DIR nor --rirs DIR is given" >&2; exit 1; }
fi
log=$dest/log
mkdir -p "$log"
options=(--kinds "$kinds" --rooms "$rooms" --noise-snrs="$noise_snrs" --music-snrs="$music_snrs"
  --babble-snrs="$babble_snrs" --num-babble "$num_babble" --seed "$seed" --audio-format "$audio_format"
  --modify-spk-id "$modify_spk_id" --max-failed "$max_failed" --nj "$nj")
[ -z "$musan" ] || options+=(--musan "$musan")
[ -z "$rirs" ] || options+=(--rirs "$rirs")

if [ "$stage" -le 0 ]; then
  $cmd JOB=1:"$nj" "$log/augment.JOB.log" asrtool augment-data-dir "${options[@]}" --job JOB "$src" "$dest"
fi
asrtool augment-data-dir "${options[@]}" --collect true "$src" "$dest"
exec asrtool validate-data-dir --text false --feats false --wav false "$dest"
