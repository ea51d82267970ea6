# shellcheck shell=bash disable=SC2154
# Sourced by run.sh: the stages of its GMMs, mono to tri6b, each on more data than the one before, and the probabilities of pronunciations
# between them. The variables are run.sh's; with --kaldi-ali there is nothing to train.

# subset HOW NUMBER: data/mfcc/<first part>_<number><how> of the first part, or all of it where it is no larger; prints the set's name.
subset() {
  local set=${first}_$2$1
  if [ "$(wc -l <"$data/mfcc/$first/utt2spk")" -le "$2" ]; then echo "$first"; return; fi
  up_to_date "$data/mfcc/$set/feats.scp" "$data/mfcc/$first/feats.scp" ||
    utils/subset_data_dir.sh "--$1" "$2" "$data/mfcc/$first" "$data/mfcc/$set" >&2
  echo "$set"
}

# train_on NAME STEP SET LANG ALI [OPTION...]: exp/NAME on data/mfcc/SET and the alignments of ALI, unless it is there.
train_on() {
  local name=$1 step=$2 set=$3 lang=$4 source=$5 own=${1}_opts size=${1}_size
  shift 5
  # shellcheck disable=SC2086  # several options, two numbers
  up_to_date "$exp/$name/final.mdl" "$source/ali.1.gz" ||
    "steps/$step" --cmd "$train_cmd" --nj "$nj" --seed "$seed" "$@" $gmm_opts ${!own} ${!size} "$data/mfcc/$set" "$lang" "$source" "$exp/$name"
}

# align STEP SET LANG NAME ALI [OPTION...]: data/mfcc/SET with exp/NAME, unless it is there.
align() {
  local step=$1 set=$2 lang=$3 name=$4 target=$5
  shift 5
  up_to_date "$target/ali.1.gz" "$exp/$name/final.mdl" "$data/mfcc/$set/feats.scp" ||
    "steps/$step" --cmd "$train_cmd" --nj "$nj" "$@" "$data/mfcc/$set" "$lang" "$exp/$name" "$target"
}

# decode_all NAME STEP LANG TAG: all test sets with all language models, where NAME is one of $decode: systems NAME_TAGtgsmall, ...
decode_all() {
  local lm
  if ! in_list "$decode" "$1"; then return 0; fi
  decode_gmm "$1" "$2" "$3_test_tgsmall" "$4tgsmall"
  for lm in $lms; do
    rescore "$1${4:+_${4%_}}" mfcc "$exp/$1/graph_$4tgsmall" "$exp/$1/decode_$4tgsmall" "$data/local/lm/tgsmall.bin" "$data/local/lm/$lm.bin" "$lm"
  done
}

stage_mono() {
  local set
  if [ -n "$kaldi_ali" ]; then return 0; fi
  # shellcheck disable=SC2046  # several sets
  check_disk gmm $(echo "$train_parts" | tr - _)
  set=$(subset shortest "$mono_utts")
  # shellcheck disable=SC2086  # several options
  up_to_date "$exp/mono/final.mdl" "$data/mfcc/$set/feats.scp" ||
    steps/train_mono.sh --cmd "$train_cmd" --nj "$nj" --seed "$seed" --boost-silence 1.25 $gmm_opts $mono_opts "$data/mfcc/$set" "$lang" "$exp/mono"
  decode_all mono decode.sh "$lang" nosp_
}

stage_tri1() {
  local set
  if [ -n "$kaldi_ali" ]; then return 0; fi
  set=$(subset even "$tri1_utts")
  align align_si.sh "$set" "$lang" mono "$exp/mono_ali" --boost-silence 1.25
  train_on tri1 train_deltas.sh "$set" "$lang" "$exp/mono_ali" --boost-silence 1.25
  decode_all tri1 decode.sh "$lang" nosp_
}

stage_tri2b() {
  local set
  if [ -n "$kaldi_ali" ]; then return 0; fi
  set=$(subset even "$tri2b_utts")
  align align_si.sh "$set" "$lang" tri1 "$exp/tri1_ali"
  train_on tri2b train_lda_mllt.sh "$set" "$lang" "$exp/tri1_ali" --splice-opts "--left-context=3 --right-context=3"
  decode_all tri2b decode.sh "$lang" nosp_
}

stage_tri3b() {
  local set
  if [ -n "$kaldi_ali" ]; then return 0; fi
  set=$(subset even "$tri2b_utts")
  align align_si.sh "$set" "$lang" tri2b "$exp/tri2b_ali"
  train_on tri3b train_sat.sh "$set" "$lang" "$exp/tri2b_ali"
  decode_all tri3b decode_fmllr.sh "$lang" nosp_
}

stage_tri4b() {  # on the whole first part
  if [ -n "$kaldi_ali" ] || [ "$parts" = mini ]; then return 0; fi
  align align_fmllr.sh "$first" "$lang" tri3b "$exp/tri3b_ali"
  train_on tri4b train_sat.sh "$first" "$lang" "$exp/tri3b_ali"
}

# Probabilities of pronunciations and of silence beside them, from tri4b's alignments (mini: tri3b's), for all that follows.
stage_prons() {
  local gmm=tri4b set=$first
  if [ -n "$kaldi_ali" ]; then return 0; fi
  if [ "$parts" = mini ]; then gmm=tri3b set=$(subset even "$tri2b_utts"); fi
  steps/get_prons.sh --cmd "$train_cmd" "$data/mfcc/$set" "$lang" "$exp/$gmm"
  utils/dict_dir_add_pronprobs.sh "$data/local/dict_nosp" "$exp/$gmm"/{pron,sil,pron_bigram}_counts_nowb.txt "$data/local/dict"
  utils/prepare_lang.sh "$data/local/dict" "<UNK>" "$data/local/lang" "$data/lang"
  utils/format_lm.sh "$data/lang" "$(lm_file tgsmall)" "$data/lang_test_tgsmall"
  use_prons
  decode_all "$gmm" decode_fmllr.sh "$lang" ""
}

# sat_on SET FROM NAME: exp/NAME on more data
sat_on() {
  if [ -n "$kaldi_ali" ]; then return 0; fi
  use_prons
  align align_fmllr.sh "$1" "$lang" "$2" "$exp/$2_ali_$1"
  train_on "$3" train_sat.sh "$1" "$lang" "$exp/$2_ali_$1"
  decode_all "$3" decode_fmllr.sh "$lang" ""
}

stage_tri5b() { case $parts in 460|960) sat_on train_clean_460 tri4b tri5b ;; esac; }

stage_tri6b() { if [ "$parts" = 960 ]; then sat_on train_960 tri5b tri6b; fi; }
