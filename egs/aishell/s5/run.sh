#!/usr/bin/env bash
# AISHELL-1 (178 h of read Mandarin): GMM-HMMs as in Kaldi's recipe, then the experiments of arXiv:1703.01024 (LSTM and DNN with BMUF, MA
# and EMA) and of Sak et al. 2014 (LSTMP by cross-entropy, then MMI and sMBR). Settings are found on dev, test is reported.
#
# Usage: run.sh --corpus DIR [--download true] [--dir DIR] [--config FILE] [--stage N] [--stop-stage N] [--nj N] [--num-workers N]
#               [--kaldi-ali DIR [--kaldi-lang DIR]]
#  e.g.: run.sh --corpus /corpora --download true --num-workers 8     # from nothing, 8 GPUs
#        run.sh --corpus /corpora --kaldi-ali ~/kaldi/egs/aishell/s5/exp/tri5a_ali --kaldi-lang ~/kaldi/egs/aishell/s5/data/lang
#        run.sh --corpus DIR --dir DIR --config local/sample.conf      # an hour of it, on a few CPU cores
#
# DIR of --corpus holds data_aishell/ and resource_aishell/. Every variable below is an option; --config FILE sets many at once.
# Stages: 0 download, 1 data, 2 lang, 3 lm, 4 features, 5 mono, 6 tri1, 7 tri2, 8 tri3a, 9 tri4a, 10 tri5a, 11 align, 12 network_data,
#         13 networks, 14 curves, 15 sequence, 16 results

# shellcheck disable=SC2034  # many variables are read by utils/recipe.sh alone
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command_line="egs/aishell/s5/run.sh${*:+$(printf ' %q' "$@")}"

stage='' stop_stage=''
corpus=                # holds data_aishell/ and resource_aishell/
download=false         # fetch them first (15 GB)
download_opts=         # options of local/download.sh
corpus_hours=178       # of speech, for the check of the disk before a download
dir=$here              # data/ and exp/ are made here
kaldi_ali=             # a Kaldi alignment directory of the training data, in place of our GMMs
kaldi_lang=            # and the lang directory it was made with
seed=1
nj=$(nproc)
num_workers=           # parallel workers of network training; default: the GPUs, else 2 processes
max_left_out=0.02      # share of the corpus that may be unusable
oov="split"            # words of the training transcripts that are not in the lexicon: split, pronounce, unknown (local/prepare_dict.py)
lm3_min_counts="1 1 2" lm5_min_counts="1 1 2 2 2"  # least occurrences of the n-grams of each order
gmms="mono tri1 tri2 tri3a tri4a tri5a"  # each starts from the one before; the last aligns
mono_opts="" tri1_opts="2500 20000" tri2_opts="2500 20000" tri3a_opts="2500 20000" tri4a_opts="2500 20000" tri5a_opts="3500 100000"
valid_share=0.05       # of the training speakers, to validate networks on (1703.01024: 5 %); 0: on dev
speed_perturb=false    # train networks on 0.9, 1 and 1.1 times the speed as well; the papers do not
networks="lstm dnn lstmp"
nnet_config="conf/{network}.yaml"
nnet_opts="" lstm_opts="" dnn_opts="" lstmp_opts=""  # settings of all and of each, key=value
nnet_lm=5              # order of the language model that networks are decoded with
tune_utts=1000         # of dev, for LM weight and insertion penalty
curves=true            # decode intermediate models of LSTM and DNN for the figures
curve_utts=500         # of test
seq_criteria="mmi smbr" # after cross-entropy, of the LSTMP
seq_config="conf/{criterion}.yaml"
seq_opts="parallel.algorithm=bmuf" mmi_opts="" smbr_opts=""  # Sak 2014: asgd, the default of these settings
den_order=2            # of the denominators' n-gram
note="AISHELL-1."      # a sentence for RESULTS.md
# shellcheck source=utils/parse_options.sh
. "$here/utils/parse_options.sh"
if [ -z "$corpus" ]; then echo "$0: ERROR: give --corpus DIR, the directory that holds data_aishell/ and resource_aishell/ ($0 --help)" >&2; exit 1; fi
corpus=$(realpath -m "$corpus") kaldi_ali=${kaldi_ali:+$(realpath -m "$kaldi_ali")} kaldi_lang=${kaldi_lang:+$(realpath -m "$kaldi_lang")}
metric=cer dev_set=dev test_sets="dev test"
# shellcheck source=utils/recipe.sh
. "$here/utils/recipe.sh"

last_gmm=${gmms##* } ali=$exp/ali_train valid_ali=$exp/ali_train train_set=train_tr valid_set=train_cv
if [ "$valid_share" = 0 ]; then train_set=train valid_set=dev valid_ali=$exp/ali_dev; fi
if [ -n "$kaldi_ali" ] && [ "$valid_share" = 0 ]; then echo "$0: ERROR: --kaldi-ali has no alignments of dev: give a --valid-share above 0" >&2; exit 1; fi
ali_plain=$ali set_plain=$train_set
if $speed_perturb; then ali=${ali}_sp train_set=${train_set}_sp; fi
graph=$ali_plain/graph_$nnet_lm

stage_download() {
  $download || return 0
  if [ ! -d "$corpus/data_aishell" ]; then mkdir -p "$corpus" && require_disk download "$corpus_hours" "$corpus"; fi
  # shellcheck disable=SC2086  # several options
  local/download.sh $download_opts "$corpus"
}

stage_data() {
  python local/data_prep.py --nj "$nj" --max-left-out "$max_left_out" "$corpus" "$data"
  cp "$data/train/text" "$data/local/train_text"
}

stage_lang() {
  python local/prepare_dict.py --oov "$oov" "$corpus/resource_aishell/lexicon.txt" "$data/local/train_text" "$data/local/dict"
  awk 'FILENAME == ARGV[1] { word = $1; $1 = ""; parts[word] = substr($0, 2); next }
    { for (i = 2; i <= NF; i++) if ($i in parts) $i = parts[$i]; print }' \
    "$data/local/dict/split.txt" "$data/local/train_text" >"$data/train/text"
  if [ -n "$kaldi_lang" ]; then mkdir -p "$data/lang"; cp -r "$kaldi_lang/." "$data/lang"; return; fi
  utils/prepare_lang.sh --position-dependent-phones false "$data/local/dict" "<SPOKEN_NOISE>" "$data/local/lang" "$data/lang"
}

stage_lm() {
  local order own
  for order in 3 5; do
    own=lm${order}_min_counts
    steps/train_lm.sh --order "$order" --min-counts "${!own}" --vocab "$data/local/dict/vocabulary.txt" --dev-text "$data/dev/text" \
      "$data/train/text" "$data/local/lm$order.arpa.gz"
    utils/format_lm.sh "$data/lang" "$data/local/lm$order.arpa.gz" "$data/lang_test_$order"
  done
}

stage_features() {
  check_disk features train dev test
  make_feature_dirs mfcc train dev test
  make_feature_dirs fbank train dev test
  if in_list "$networks" lstmp; then make_feature_dirs fbank40 train dev test; fi
}

stage_mono() { check_disk gmm train; train_gmm mono train_mono; }
stage_tri1() { train_gmm tri1 train_deltas; }
stage_tri2() { train_gmm tri2 train_deltas; }
stage_tri3a() { train_gmm tri3a train_lda_mllt; }
stage_tri4a() { train_gmm tri4a train_sat; }
stage_tri5a() { train_gmm tri5a train_sat; }

stage_align() {
  if [ -n "$kaldi_ali" ]; then
    steps/import_alignment.sh --cmd "$train_cmd" --lang "$data/lang" "$kaldi_ali" "$data/fbank/train" "$ali_plain"
  else
    align_gmm "$last_gmm" train "$ali_plain"
    if [ "$valid_set" = dev ]; then align_gmm "$last_gmm" dev "$valid_ali"; fi
  fi
  utils/mkgraph.sh "$data/lang_test_$nnet_lm" "$ali_plain" "$graph"
}

stage_network_data() {
  local kind kinds
  kinds=$(for network in $networks; do features_of "$network"; done | sort -u)
  for kind in $kinds; do
    if [ "$set_plain" = train_tr ]; then split_validation "$kind" "$valid_share"; fi
  done
  if $speed_perturb; then
    check_disk perturb train train  # two copies of it
    for kind in $kinds; do perturb_speed "$kind" "$set_plain" "$ali_plain" "$ali"; done
  fi
  # shellcheck disable=SC2086  # several kinds
  subset_for_tuning "$tune_utts" $kinds
}

stage_networks() {
  local network
  for network in $networks; do
    train_network "$network" "$ali" "$valid_ali"
    evaluate_network "$network" "$graph" "$ali_plain/final.mdl"
  done
}

stage_curves() {
  local network
  for network in $networks; do
    if [ "$network" != lstmp ]; then draw_curves "$network" "$graph" "$ali_plain/final.mdl" test AISHELL; fi
  done
}

stage_sequence() {
  local criterion
  in_list "$networks" lstmp || return 0
  for criterion in $seq_criteria; do
    train_sequence lstmp "$criterion" "${seq_config//\{criterion\}/$criterion}" "$ali" "$valid_ali" "$graph" "$data/lang"
    evaluate_network "lstmp_$criterion" "$graph" "$ali_plain/final.mdl"
  done
}

stage_results() {
  local after=""
  if in_list "$networks" lstmp; then for criterion in $seq_criteria; do after+=${after:++}lstmp_$criterion; done; fi
  write_results "AISHELL-1" "$note" test "$networks" ${after:+--sequence "lstmp=$after"} --published local/published.tsv
}

run_stages "$exp" "corpus=$corpus kaldi_ali=$kaldi_ali seed=$seed oov=$oov gmms=$gmms tri1=$tri1_opts tri5a=$tri5a_opts \
valid_share=$valid_share speed_perturb=$speed_perturb nnet_config=$nnet_config nnet_opts=$nnet_opts" \
  download data lang lm features mono tri1 tri2 tri3a tri4a tri5a align network_data networks curves sequence results
if [ -f "$exp/RESULTS.md" ]; then sed -n "/^| Methods/,/^$/p; /^## All results/,/^## How/p" "$exp/RESULTS.md"; fi
