#!/usr/bin/env bash
# Which pronunciations the words were spoken with, and how often there is silence beside them, from alignments (ali.*.gz) or else
# lattices (lat.*.gz) in <dir>. Writes prons.*.gz, pron_counts.{int,txt}, pron_counts_nowb.txt, pron_perutt_nowb.txt,
# pron_bigram_counts_nowb.txt and sil_counts_nowb.txt there, as utils/dict_dir_add_pronprobs.sh takes them.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
stage=1
lmwt=10            # weight of the language model, for lattices
max_failed=0.1     # share of utterances that may fail

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <data-dir> <lang-dir> <dir>" >&2
  echo "e.g.: $0 data/train data/lang exp/tri3_ali" >&2
  echo "  or: $0 data/dev data/lang exp/tri3/decode_dev" >&2
  echo "Options: --cmd --stage --lmwt --max-failed" >&2
  exit 1
fi
data=$1
lang=$2
dir=$3

for f in "$data/utt2spk" "$lang/words.txt" "$lang/oov.int"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
kind=lat
[ ! -f "$dir/ali.1.gz" ] || kind=ali
nj=$(find "$dir/" -maxdepth 1 -name "$kind.*.gz" | wc -l)
[ "$nj" -gt 0 ] || { echo "$0: ERROR: $dir: neither ali.*.gz nor lat.*.gz; align or decode first" >&2; exit 1; }

if [ "$stage" -le 1 ]; then
  mkdir -p "$dir/log"
  rm -f "$dir"/prons.*.gz
  $cmd JOB=1:"$nj" "$dir/log/get_prons.JOB.log" asrtool get-prons --job JOB --lmwt "$lmwt" --max-failed "$max_failed" \
    "$data" "$lang" "$dir"
fi
if [ "$stage" -le 2 ]; then
  asrtool count-prons "$lang" "$dir"
fi
