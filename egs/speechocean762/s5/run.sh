#!/usr/bin/env bash
# English read by Mandarin speakers (speechocean762): features, trigram, GMM-HMMs (monophones; triphones; LDA and MLLT; speaker
# adaptive training), LSTM and DNN on our alignments and, if given, on those of a Kaldi experiment. Developed on dev, reported on
# devtest; the official test half is scored where the corpus has it, with the settings found on dev.
#
# Usage: run.sh --corpus DIR [--stage N] [--stop-stage N] [--kaldi-ali DIR] [--download true] [--dir DIR] [--num-workers N]
#  e.g.: run.sh --corpus /corpora                            # /corpora holds speechocean762/
#        run.sh --corpus /corpora --kaldi-ali exp/tri3b_ali  # a Kaldi directory with final.mdl, tree, ali.*.gz
#
# Stages: 0 download, 1 data, 2 lm, 3 features, 4 mono, 5 tri, 6 sat, 7 align, 8 networks, 9 imported, 10 results

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command_line="egs/speechocean762/s5/run.sh${*:+$(printf ' %q' "$@")}"

stage=
stop_stage=
corpus=                # holds speechocean762/
download=false         # fetch the corpus into --corpus first
dir=$here              # data/ and exp/ are made here
kaldi_ali=             # a Kaldi alignment directory to import
gmm=tri                # whose alignments the networks are trained on: tri (deltas) or tri3b (speaker adaptive)
seed=1
nj=$(nproc)
num_workers=           # parallel workers of network training; default: the GPUs, else 2 processes
networks="lstm dnn"    # lstm, lstmp, cldnn, dnn, tdnn: those of conf/<network>_mini.yaml
nnet_opts="num_epochs=8"  # settings for the networks, key=value
# shellcheck source=utils/parse_options.sh
. "$here/utils/parse_options.sh"
if [ -z "$corpus" ]; then echo "$0: ERROR: give --corpus DIR, the directory that holds speechocean762/ ($0 --help)" >&2; exit 1; fi
if [ "$gmm" != tri ] && [ "$gmm" != tri3b ]; then echo "$0: ERROR: --gmm '$gmm': expected tri or tri3b" >&2; exit 1; fi
dir=$(realpath -m "$dir") corpus=$(realpath -m "$corpus") kaldi_ali=${kaldi_ali:+$(realpath -m "$kaldi_ali")}
cd "$here"
. ./path.sh
. ./cmd.sh
. utils/stages.sh

data=$dir/data exp=$dir/exp
test_sets="dev devtest"
if [ -d "$corpus/speechocean762/test" ]; then test_sets="$test_sets test"; fi
commit=$(git -C "$here" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
record=(--results "$exp/results.json" --commit "$commit" --seed "$seed")

stage_download() {
  if $download; then local/download_and_untar.sh "$corpus"; fi
}

stage_data() {
  local/data_prep.sh --corpus "$corpus" "$data"
  local/prepare_dict.sh --corpus "$corpus" "$data/local/dict"
  utils/prepare_lang.sh "$data/local/dict" "<UNK>" "$data/local/lang" "$data/lang"
}

stage_lm() {
  steps/train_lm.sh --order 3 --dev-text "$data/dev/text" "$data/train/text" "$data/local/lm3.arpa.gz"
  utils/format_lm.sh "$data/lang" "$data/local/lm3.arpa.gz" "$data/lang_test"
}

stage_features() {
  local set kind
  for set in train $test_sets; do
    for kind in mfcc fbank; do utils/copy_data_dir.sh "$data/$set" "$data/$kind/$set"; done
    steps/make_mfcc.sh --cmd "$train_cmd" --nj "$nj" "$data/mfcc/$set"
    steps/make_fbank.sh --cmd "$train_cmd" --nj "$nj" --fbank-config conf/fbank28.conf "$data/fbank/$set"
    for kind in mfcc fbank; do steps/compute_cmvn_stats.sh --cmd "$train_cmd" "$data/$kind/$set"; done
  done
  # networks are validated on speakers of their own
  asrtool split-data-dir --valid-share 0.05 "$data/fbank/train" "$data/fbank/train_tr" "$data/fbank/train_cv"
}

# decode_gmm NAME [STEP]: dev with the sweep of LM weight and penalty, the other sets with dev's best, and each set's own best as
# Kaldi reports it (systems NAME and NAME_best).
decode_gmm() {
  local set
  utils/mkgraph.sh "$data/lang_test" "$exp/$1" "$exp/$1/graph"
  for set in $test_sets; do
    "steps/${2:-decode.sh}" --cmd "$decode_cmd" --nj "$nj" --skip-scoring true "$exp/$1/graph" "$data/mfcc/$set" "$exp/$1/decode_$set"
    asrtool score "${record[@]}" --command "$command_line" --system "$1_best" --set "$set" \
      "$data/mfcc/$set" "$exp/$1/graph" "$exp/$1/decode_$set"
  done
  for set in $test_sets; do
    asrtool score "${record[@]}" --command "$command_line" --tuned-on "$exp/$1/decode_dev" --system "$1" --set "$set" \
      "$data/mfcc/$set" "$exp/$1/graph" "$exp/$1/decode_$set"
  done
}

stage_mono() {
  steps/train_mono.sh --cmd "$train_cmd" --nj "$nj" --boost-silence 1.25 "$data/mfcc/train" "$data/lang" "$exp/mono"
  decode_gmm mono
}

stage_tri() {
  steps/train_deltas.sh --cmd "$train_cmd" --nj "$nj" --boost-silence 1.25 1500 10000 \
    "$data/mfcc/train" "$data/lang" "$exp/mono" "$exp/tri"
  decode_gmm tri
}

# LDA and MLLT, then a transform for each speaker (fMLLR)
stage_sat() {
  steps/align_si.sh --cmd "$train_cmd" --nj "$nj" "$data/mfcc/train" "$data/lang" "$exp/tri" "$exp/tri_si_ali"
  steps/train_lda_mllt.sh --cmd "$train_cmd" --nj "$nj" --splice-opts "--left-context=3 --right-context=3" 2000 12000 \
    "$data/mfcc/train" "$data/lang" "$exp/tri_si_ali" "$exp/tri2b"
  decode_gmm tri2b
  steps/align_si.sh --cmd "$train_cmd" --nj "$nj" "$data/mfcc/train" "$data/lang" "$exp/tri2b" "$exp/tri2b_ali"
  steps/train_sat.sh --cmd "$train_cmd" --nj "$nj" 2000 12000 "$data/mfcc/train" "$data/lang" "$exp/tri2b_ali" "$exp/tri3b"
  decode_gmm tri3b decode_fmllr.sh
}

stage_align() {
  if [ "$gmm" = tri3b ]; then
    steps/align_fmllr.sh --cmd "$train_cmd" --nj "$nj" "$data/mfcc/train" "$data/lang" "$exp/tri3b" "$exp/tri3b_ali"
  else
    steps/align_si.sh --cmd "$train_cmd" --nj "$nj" --boost-silence 1.25 "$data/mfcc/train" "$data/lang" "$exp/tri" "$exp/tri_ali"
  fi
}

# networks SUFFIX ALI GRAPH: trains on ALI, decodes with GRAPH; systems are called <network>_<average><SUFFIX>.
networks() {
  local network average set systems
  for network in $networks; do
    # shellcheck disable=SC2086  # several settings
    steps/nnet/train.sh --cmd "$train_cmd" --nnet-config "conf/${network}_mini.yaml" --num-workers "$num_workers" \
      "$2" "$data/fbank/train_tr" "$data/fbank/train_cv" "$exp/$network$1" seed="$seed" $nnet_opts
    for set in $test_sets; do
      systems=()
      for average in bmuf ma ema; do
        systems+=("${network}_$average$1" "$exp/$network$1/final_$average.pt" "$exp/$network$1/decode_${set}_$average")
      done
      steps/nnet/evaluate.sh --cmd "$decode_cmd" --nj "$nj" --set "$set" "${record[@]}" --command-line "$command_line" \
        --transition-model "$2/final.mdl" "$3" "$data/fbank/dev" "$exp/$network$1/final_ema.pt" "$exp/$network$1/decode_dev_sweep" \
        "$data/fbank/$set" "${systems[@]}"
    done
  done
}

stage_networks() { networks "" "$exp/${gmm}_ali" "$exp/$gmm/graph"; }

stage_imported() {
  [ -n "$kaldi_ali" ] || return 0
  steps/import_alignment.sh --cmd "$train_cmd" --lang "$data/lang" "$kaldi_ali" "$data/fbank/train" "$exp/imported_ali"
  utils/mkgraph.sh "$data/lang_test" "$exp/imported_ali" "$exp/imported_ali/graph"
  networks "_imported" "$exp/imported_ali" "$exp/imported_ali/graph"
}

stage_results() {
  asrtool make-results --title "speechocean762" --set devtest --networks "${networks// /,}" --exp-dir "$exp" --command "$command_line" \
    --commit "$commit" --seed "$seed" "$exp/results.json" "$exp/RESULTS.md"
}

mkdir -p "$dir"
run_stages "$exp" "corpus=$corpus kaldi_ali=$kaldi_ali gmm=$gmm seed=$seed nnet_opts=$nnet_opts" \
  download data lm features mono tri sat align networks imported results
if [ -f "$exp/RESULTS.md" ]; then sed -n "/^## All results/,/^## How/p" "$exp/RESULTS.md"; fi
