#!/usr/bin/env bash
# LibriSpeech: GMMs from the shortest utterances up to speaker adaptive training on all data, or a Kaldi experiment in their place; DNN
# and CLDNN on its alignments; the comparison of parallel training algorithms (arXiv:1703.05880); word error rates of the dev and test
# sets with the official language models: first pass with the small trigram, lattices rescored with the others. LM weights and insertion
# penalties are found on dev_clean and dev_other.
#
# Usage: run.sh --corpus DIR [--parts mini|100|460|960] [--download true] [--kaldi-ali DIR] [--dir DIR] [--config FILE] [--nj N]
#               [--num-workers N] [--stage N] [--stop-stage N]
#  e.g.: run.sh --corpus /corpora --download true                 # 100 h; fetches what is not there
#        run.sh --corpus /corpora --download true --parts mini    # 5 h, to see it work
#        run.sh --corpus /corpora --parts 960 --kaldi-ali ~/kaldi/egs/librispeech/s5/exp/tri6b_ali_960
#
# Stages: 0 download, 1 data, 2 dict, 3 lang, 4 features, 5 mono, 6 tri1, 7 tri2b, 8 tri3b, 9 tri4b, 10 prons, 11 tri5b, 12 tri6b,
#         13 align, 14 networks, 15 compare, 16 sequence, 17 results
# Every variable below is an option, or stands in the --config FILE. What is empty there depends on --parts.

# shellcheck disable=SC2034  # many variables are read by utils/recipe.sh alone, or by the name of a model
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command_line="egs/librispeech/s5/run.sh${*:+$(printf ' %q' "$@")}"

stage='' stop_stage=''
corpus=                  # holds LibriSpeech/<part>/<speaker>/<chapter>/*.flac
lm_dir=                  # with lexicon, vocabulary and language models; default: <corpus>/librispeech-lm
dir=$here                # data/ and exp/ are made here
parts=100                # train on train-clean-5 (mini), train-clean-100, that and -360 (460), or train-other-500 too (960)
download=false           # fetch what is not there (local/download.sh)
download_opts=           # options of that: mirrors, addresses
test_sets=               # default: dev_clean test_clean dev_other test_other; mini: dev_clean_2
test_set=                # of the tables of networks and of parallel algorithms; default: test_clean, mini: dev_clean_2
kaldi_ali=               # a Kaldi directory with final.mdl, tree and ali.*.gz of the training data, instead of stages 5 to 12
kaldi_lang=              # and the lang directory it was made with (where its phones.txt is not ours)
seed=1
nj=$(nproc)
max_utts=0               # of each part, spread evenly; 0: all
max_failed=0.01          # share of a part's utterances that may be unusable (<data>/problems.txt says which and why)

g2p_opts=                # of steps/train_g2p.sh, for words of the vocabulary that the lexicon lacks
lms="tgmed tglarge fglarge"  # lattices are rescored with these: 3-gram.pruned.1e-7, 3-gram, 4-gram
lm_bits=0                # of a cost in their compact form (asrtool build-lm-binary)

mono_utts=               # the shortest so many of the first part; default: 2000, mini: 500
tri1_utts=5000           # spread over it
tri2b_utts=10000         # of tri3b too
tri1_size="2000 10000"   # leaves and Gaussians, those of Kaldi's recipe
tri2b_size="2500 15000"
tri3b_size="2500 15000"
tri4b_size="4200 40000"
tri5b_size="5000 100000"
tri6b_size="7000 150000"
gmm_opts=                # further options of all trainings, and of single ones:
mono_opts='' tri1_opts='' tri2b_opts='' tri3b_opts='' tri4b_opts='' tri5b_opts='' tri6b_opts=''
decode="tri3b tri4b tri5b tri6b"  # which GMMs are decoded (mono, tri1, tri2b too)

valid_share=             # of the training data, whole readers, for networks; default: 0.01, 100: 0.02, mini: 0.04
networks="dnn cldnn"     # lstm, lstmp, tdnn too
nnet_config=             # default: conf/{network}.yaml, mini: conf/{network}_mini.yaml
nnet_opts=               # settings of all networks, key=value, and of single ones:
dnn_opts='' cldnn_opts='' lstm_opts='' lstmp_opts='' tdnn_opts=''
num_workers=             # parallel workers of network training; default: the GPUs, else 2 processes
lm_average=ema           # whose lattices are rescored: bmuf, ma or ema

compare=true             # compare parallel algorithms
compare_config=conf/compare_parallel_librispeech.yaml
compare_algorithms="single bsp asgd easgd bmuf"
compare_networks="dnn cldnn"
compare_workers=         # numbers of workers; default: those of 4, 8 and 16 that there are GPUs for, else --num-workers, else 2
compare_opts="--num-settings 1 --seeds 1"  # empty: three settings for each algorithm, the best of them with three seeds

seq_networks=            # networks to be trained further by sMBR: "lstmp"
seq_config=conf/smbr.yaml
seq_opts=                # settings of that

note="LibriSpeech."      # a sentence for RESULTS.md
# shellcheck source=../../../utils/parse_options.sh
. "$here/utils/parse_options.sh"

if [ -z "$corpus" ]; then echo "$0: ERROR: give --corpus DIR, the directory that holds LibriSpeech/ ($0 --help)" >&2; exit 1; fi
corpus=$(realpath -m "$corpus") lm_dir=$(realpath -m "${lm_dir:-$corpus/librispeech-lm}") kaldi_ali=${kaldi_ali:+$(realpath -m "$kaldi_ali")}
kaldi_lang=${kaldi_lang:+$(realpath -m "$kaldi_lang")}
train=train_clean_100 last_gmm=tri4b official="dev_clean test_clean dev_other test_other" main_set=test_clean small=
case $parts in
  mini) train_parts="train-clean-5" train=train_clean_5 last_gmm=tri3b official=dev_clean_2 main_set=dev_clean_2 small=_mini ;;
  100) train_parts="train-clean-100" ;;
  460) train_parts="train-clean-100 train-clean-360" train=train_clean_460 last_gmm=tri5b ;;
  960) train_parts="train-clean-100 train-clean-360 train-other-500" train=train_960 last_gmm=tri6b ;;
  *) echo "$0: ERROR: --parts '$parts': expected mini, 100, 460 or 960" >&2; exit 1 ;;
esac
case $parts in mini) default_share=0.04 ;; 100) default_share=0.02 ;; *) default_share=0.01 ;; esac
first=$(echo "${train_parts%% *}" | tr - _)
test_sets=${test_sets:-$official} dev_set=${official%% *} test_set=${test_set:-$main_set} valid_share=${valid_share:-$default_share}
mono_utts=${mono_utts:-$([ "$parts" = mini ] && echo 500 || echo 2000)}
nnet_config=${nnet_config:-conf/{network\}$small.yaml}
metric=wer train_set=${train}_tr valid_set=${train}_cv
. "$here/utils/recipe.sh"
. "$here/local/gmm_stages.sh"

record+=(--max-lmwt 20)          # of every sweep: the other sets want larger LM weights than usual
features_of() { echo fbank40; }  # 40 log-filterbank energies for all networks
dev_of() {                       # test_other takes LM weight and penalty from dev_other
  local dev=dev_${1#*_}
  if in_list "$test_sets" "$dev"; then echo "$dev"; else echo "$dev_set"; fi
}
arpa_of() {
  case $1 in tgsmall) echo 3-gram.pruned.3e-7 ;; tgmed) echo 3-gram.pruned.1e-7 ;; tglarge) echo 3-gram ;; fglarge) echo 4-gram ;; esac
}
lm_file() { echo "$lm_dir/$(arpa_of "$1").arpa.gz"; }
lang=$data/lang_nosp             # silences all alike
ali=$exp/${last_gmm}_ali
if [ -n "$kaldi_ali" ]; then ali=$exp/imported_ali; fi
graph=$ali/graph_tgsmall         # of the networks
# with probabilities of pronunciations and of silence, once they are known
use_prons() { if [ -z "$kaldi_ali" ]; then lang=$data/lang; fi; }

# hours_to_fetch PART...: of speech, of those that are not there.
hours_to_fetch() {
  local part
  for part in "$@"; do
    if [ -d "$corpus/LibriSpeech/$part" ]; then continue; fi
    case $part in
      train-other-500) echo 497 ;; train-clean-360) echo 364 ;; train-clean-100) echo 101 ;; *) echo 5.4 ;;
    esac
  done | awk '{ sum += $1 } END { print sum + 0 }'
}

stage_download() {
  local wanted set lm file=""
  if ! $download; then return 0; fi
  for lm in tgsmall $lms; do file="$file $(arpa_of "$lm").arpa.gz"; done
  wanted="$train_parts $(for set in $test_sets; do echo "$set" | tr _ -; done)"
  mkdir -p "$corpus"
  # shellcheck disable=SC2086  # several parts, several options
  {
    require_disk download_flac "$(hours_to_fetch $wanted)" "$corpus"
    local/download.sh --lm-files "librispeech-lexicon.txt librispeech-vocab.txt$file" $download_opts "$wanted" "$corpus" "$lm_dir"
  }
}

stage_data() {
  local part
  for part in $train_parts $(for set in $test_sets; do echo "$set" | tr _ -; done); do
    python local/data_prep.py --max-failed "$max_failed" --max-utts "$max_utts" "$corpus/LibriSpeech/$part" "$data/$(echo "$part" | tr - _)"
  done
}

stage_dict() {
  local set texts=""
  for set in $(echo "$train_parts" | tr - _) $test_sets; do texts="$texts $data/$set/text"; done
  local/prepare_dict.sh --cmd "$train_cmd" --g2p-opts "$g2p_opts" --texts "$texts" "$lm_dir" "$exp/g2p" "$data/local/dict_nosp"
}

stage_lang() {
  local lm
  if [ -n "$kaldi_lang" ]; then
    mkdir -p "$data/lang_nosp" && cp -r "$kaldi_lang/." "$data/lang_nosp"
  else
    utils/prepare_lang.sh "$data/local/dict_nosp" "<UNK>" "$data/local/lang_nosp" "$data/lang_nosp"
  fi
  utils/format_lm.sh "$data/lang_nosp" "$(lm_file tgsmall)" "$data/lang_nosp_test_tgsmall"
  mkdir -p "$data/local/lm"
  for lm in tgsmall $lms; do
    up_to_date "$data/local/lm/$lm.bin" "$(lm_file "$lm")" ||
      asrtool build-lm-binary --bits "$lm_bits" "$(lm_file "$lm")" "$data/local/lm/$lm.bin"
  done
}

# Sets are made by part, and put together afterwards; what cannot be decoded is taken out.
stage_features() {
  local set kind sets
  sets="$(echo "$train_parts" | tr - _) $test_sets"
  # shellcheck disable=SC2086  # several sets
  check_disk features $sets
  for kind in mfcc fbank40; do
    if [ "$kind" = mfcc ] && [ -n "$kaldi_ali" ]; then continue; fi
    for set in $sets; do
      make_feature_dirs "$kind" "$set"
      [ "$(wc -l <"$data/$kind/$set/feats.scp")" = "$(wc -l <"$data/$kind/$set/utt2spk")" ] || utils/fix_data_dir.sh "$data/$kind/$set"
    done
    case $parts in 460|960) combine "$kind" train_clean_460 train_clean_100 train_clean_360 ;; esac
    case $parts in 960) combine "$kind" train_960 train_clean_460 train_other_500 ;; esac
  done
}

combine() { up_to_date "$data/$1/$2/feats.scp" "$data/$1/$3/feats.scp" "$data/$1/$4/feats.scp" || utils/combine_data.sh "$data/$1/"{"$2","$3","$4"}; }

# The alignments of all training data, validation data too; readers are in one of the two only.
stage_align() {
  local lists=$data/local/readers
  use_prons
  if [ -n "$kaldi_ali" ]; then
    steps/import_alignment.sh --cmd "$train_cmd" --lang "$lang" "$kaldi_ali" "$data/fbank40/$train" "$ali"
  else
    align align_fmllr.sh "$train" "$lang" "$last_gmm" "$ali"
  fi
  python local/hold_out_readers.py "$valid_share" "$seed" "$data/fbank40/$train" "$lists/train" "$lists/valid"
  asrtool split-data-dir --speaker-lists "$lists/train,$lists/valid" "$data/fbank40/$train" "$data/fbank40/$train_set" "$data/fbank40/$valid_set"
  utils/mkgraph.sh "${lang}_test_tgsmall" "$ali" "$graph"
}

# evaluate NAME: best paths of all averages with the small model; lattices of one of them, rescored with the others.
evaluate() {
  local set lm out lattices=$exp/$1/decode_tgsmall model=$exp/$1/final_$lm_average.pt
  evaluate_network "$1" "$graph" "$ali/final.mdl"
  for set in $test_sets; do
    out=${lattices}_$set
    up_to_date "$out/decoded" "$model" "$graph/HCLG.fst" "$data/fbank40/$set/feats.scp" ||
      steps/nnet/decode.sh --cmd "$decode_cmd" --nj "$nj" --transition-model "$ali/final.mdl" "$graph" "$data/fbank40/$set" "$model" "$out"
    touch "$out/decoded"
  done
  score_all "$1_${lm_average}_tgsmall" fbank40 "$graph" "$lattices"
  for lm in $lms; do
    rescore "$1_$lm_average" fbank40 "$graph" "$lattices" "$data/local/lm/tgsmall.bin" "$data/local/lm/$lm.bin" "$lm"
  done
}

stage_networks() {
  local network
  # shellcheck disable=SC2046  # several sets
  check_disk networks $(echo "$train_parts" | tr - _)
  for network in $networks; do
    train_network "$network" "$ali" "$ali"
    evaluate "$network"
  done
}

stage_compare() {
  local gpus number
  if ! $compare; then return 0; fi
  if [ -z "$compare_workers" ]; then
    gpus=$({ nvidia-smi -L 2>/dev/null || true; } | wc -l)
    for number in 4 8 16; do if [ "$number" -le "$gpus" ]; then compare_workers="$compare_workers $number"; fi; done
  fi
  # shellcheck disable=SC2086  # several options
  local/compare_parallel.sh --ali "$ali" --data "$data/fbank40" --graph "$graph" --train "$train_set" --valid "$valid_set" \
    --dev "$dev_set" --test "$test_set" --dir "$exp/compare" -- --compare-config "$compare_config" --algorithms "$compare_algorithms" \
    --networks "$compare_networks" --nj "$nj" --num-workers "${compare_workers:-${num_workers:-2}}" $compare_opts
}

stage_sequence() {
  local network
  use_prons
  for network in $seq_networks; do
    train_sequence "$network" smbr "$seq_config" "$ali" "$ali" "$graph" "$lang"
    evaluate "${network}_smbr"
  done
}

stage_results() {
  local network trained=""
  for network in $seq_networks; do trained=$trained${trained:+,}$network=${network}_smbr; done
  write_results "LibriSpeech, $parts" "$note" "$test_set" "$networks" ${trained:+--sequence "$trained"} >/dev/null
  python local/results_page.py --compare "$exp/compare/RESULTS.md" --parts "$parts" --sets "$test_sets" "$exp/results.json" "$exp/RESULTS.md" \
    >/dev/null
}

settings="corpus=$corpus lm_dir=$lm_dir parts=$parts kaldi_ali=$kaldi_ali kaldi_lang=$kaldi_lang seed=$seed max_utts=$max_utts test_sets=$test_sets \
tri1=$tri1_size tri2b=$tri2b_size tri3b=$tri3b_size tri4b=$tri4b_size tri5b=$tri5b_size tri6b=$tri6b_size gmm_opts=$gmm_opts \
valid_share=$valid_share nnet_config=$nnet_config nnet_opts=$nnet_opts"
run_stages "$exp" "$settings" \
  download data dict lang features mono tri1 tri2b tri3b tri4b prons tri5b tri6b align networks compare sequence results
if [ -f "$exp/RESULTS.md" ]; then  # the tables again, also where nothing was left to do
  sed -n '/^| Methods/,/^$/p; /^## Word error rates/,/^## [PA]/{/^## [PA]/!p}; /^| algorithm .*FER/,/^$/p' "$exp/RESULTS.md"
fi
