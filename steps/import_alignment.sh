#!/usr/bin/env bash
# Imports the alignments, model, tree, transforms and graphs of a Kaldi experiment, checked against a data directory; or
# pdf-ids, or phones with times.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
format=                       # kaldi, text-pdf, ctm or textgrid (default: as the source looks)
lang=                         # its phones.txt must be that of the experiment; phones with times need it
alignments=                   # kaldi: transition-ids that are not in <kaldi-exp-dir>: an archive, or a directory with them
model=                        # text-pdf, ctm, textgrid: directory with final.mdl and tree whose states are meant
max_failed=0.05               # share of the data directory's utterances that may lack a usable alignment
frame_subsampling_factor=     # 3 for Kaldi's chain models (default: the experiment's, or 1)
stretch=true                  # alignments at a lower rate become as long as the features, one transition-id a frame
length_tolerance=0            # alignments so many frames too long or short are made to fit
graph_dir=                    # a decoding graph to take along that is not in the experiment
copy_graphs=true              # take the experiment's own along
write_phones=true             # also phones.1.gz and phones.ctm
write_pdfs=false              # also pdf.1.gz
num_pdfs=0                    # text-pdf without a model: default one more than the largest
phone_map=                    # ctm, textgrid: lines "their-label our-phone"
word_ctm=                     # ctm: words with times, for phones that depend on the place in the word
tier=                         # textgrid: the tier of phones
frame_shift=                  # seconds (default: of the data directory)
frame_offset=0                # seconds at which frame 0 begins

. utils/parse_options.sh

if [ $# != 3 ]; then
  echo "Usage: $0 [options] <kaldi-exp-dir> <data-dir> <out-dir>" >&2
  echo "or: $0 [options] <pdf-archive>|<ctm-file>|<textgrid-dir> <data-dir> <out-dir>" >&2
  echo "e.g.: $0 --lang data/lang ~/kaldi/egs/wsj/s5/exp/tri3b_ali data/train exp/tri3b_ali" >&2
  echo "      $0 --lang data/lang --phone-map conf/mfa_phones.txt mfa_output data/train exp/mfa_ali" >&2
  echo "Options: --cmd --format --lang --alignments --model --max-failed --frame-subsampling-factor --stretch --length-tolerance" >&2
  echo "  --graph-dir --copy-graphs --write-phones --write-pdfs --num-pdfs --phone-map --word-ctm --tier --frame-shift" >&2
  echo "  --frame-offset" >&2
  exit 1
fi
exp=$1
data=$2
dir=$3

[ -f "$data/utt2spk" ] || { echo "$0: ERROR: $data/utt2spk: no such file" >&2; exit 1; }
[ -e "$exp" ] || { echo "$0: ERROR: $exp: no such file or directory" >&2; exit 1; }
mkdir -p "$dir/log"

$cmd "$dir/log/import_alignment.log" asrtool import-alignment ${format:+--format "$format"} ${lang:+--lang "$lang"} \
  ${alignments:+--alignments "$alignments"} ${model:+--model "$model"} --max-failed "$max_failed" \
  ${frame_subsampling_factor:+--frame-subsampling-factor "$frame_subsampling_factor"} --stretch "$stretch" \
  --length-tolerance "$length_tolerance" ${graph_dir:+--graph-dir "$graph_dir"} --copy-graphs "$copy_graphs" \
  --write-phones "$write_phones" --write-pdfs "$write_pdfs" --num-pdfs "$num_pdfs" \
  ${phone_map:+--phone-map "$phone_map"} ${word_ctm:+--word-ctm "$word_ctm"} ${tier:+--tier "$tier"} \
  ${frame_shift:+--frame-shift "$frame_shift"} --frame-offset "$frame_offset" "$exp" "$data" "$dir"
head -n 4 "$dir/alignment_summary.txt" >&2
