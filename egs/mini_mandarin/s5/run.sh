#!/usr/bin/env bash
# Synthetic Mandarin voice search, from nothing to the table of character error rates (the experiment of
# arXiv:1703.01024 in small): corpus, features, 5-gram, GMM-HMM, LSTM and DNN with BMUF, MA and EMA, decoding, figures; and, with
# --seq-network lstm, an epoch of sMBR after it (Sak 2014; the whole of that study: local/run_seq.sh).
#
# Usage: run.sh [--stage N] [--stop-stage N] [--hours 2.5] [--seed 1] [--num-workers N] [--full-curves true] [--dir DIR]
#  e.g.: run.sh                          # everything, or what is left of it after a kill
#        run.sh --stage 8                # again from decoding on
#        run.sh --stage 7 --curves false --networks "lstm lstmp cldnn dnn tdnn"   # all five networks in one table
#
# Stages: 0 corpus, 1 data, 2 lm, 3 features, 4 mono, 5 tri, 6 align, 7 networks, 8 decode, 9 curves, 10 sequence, 11 results

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command_line="egs/mini_mandarin/s5/run.sh${*:+$(printf ' %q' "$@")}"

stage='' stop_stage=''
dir=$here               # corpus/, data/ and exp/ are made here
hours=2.5               # of training speech; validation and test scale with it
seed=1
nj=$(nproc)
num_workers=            # parallel workers of network training; default: the GPUs, else 2 processes
lm_order=5
lm_sentences=30000      # of generated text for the language model
corpus_opts=            # further options of local/make_corpus.sh
totgauss=1000           # Gaussians of the monophones
tri_opts="1200 10000"   # leaves and Gaussians of the triphones
networks="lstm dnn"     # lstm, lstmp, cldnn, dnn, tdnn: those of conf/<network>_mini.yaml
nnet_opts=              # settings for the networks, key=value
seq_network=            # one of the networks, to be trained further by sMBR (lstm); see RESULTS.md for what that brought here
seq_opts=               # settings of that, key=value
curves=true             # decode the intermediate models for the figures
full_curves=false       # decode the whole test set for the curves, not a fixed subset of curve_utts
curve_utts=60           # of the test set
tune_utts=200           # of the validation set, for LM weight and penalty
# shellcheck source=utils/parse_options.sh
. "$here/utils/parse_options.sh"
dir=$(realpath -m "$dir")
cd "$here"
export ASRTOOL_EXTRAS="synthesis"
. ./path.sh
. ./cmd.sh
. utils/stages.sh

data=$dir/data exp=$dir/exp
averages="bmuf ma ema"
commit=$(git -C "$here" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
record=(--results "$exp/results.json" --commit "$commit" --seed "$seed")

stage_corpus() {
  # shellcheck disable=SC2086
  local/make_corpus.sh --hours "$hours" --seed "$seed" --nj "$nj" --lm-sentences "$lm_sentences" $corpus_opts "$dir/corpus"
}

stage_data() {
  local/prepare_data.sh "$dir/corpus" "$data"
  asrtool make-pinyin-dict "$data/local/words.txt" "$data/local/dict"
  utils/prepare_lang.sh --position-dependent-phones false "$data/local/dict" "<UNK>" "$data/local/lang" "$data/lang"
}

stage_lm() {
  steps/train_lm.sh --order "$lm_order" --utterance-ids false --dev-text "$data/local/lm/valid.txt" \
    "$data/local/lm/train.txt" "$data/local/lm$lm_order.arpa.gz"
  utils/format_lm.sh "$data/lang" "$data/local/lm$lm_order.arpa.gz" "$data/lang_test"
}

stage_features() {
  steps/prepare_features.sh --cmd "$train_cmd" --nj "$nj" "$data" train valid test
  asrtool subset-data-dir --even "$curve_utts" "$data/fbank/test" "$data/fbank/test_subset"
}

stage_mono() {
  steps/train_mono.sh --cmd "$train_cmd" --nj "$nj" --boost-silence 1.25 --totgauss "$totgauss" "$data/mfcc/train" "$data/lang" "$exp/mono"
}

stage_tri() {
  # shellcheck disable=SC2086  # two arguments
  steps/train_deltas.sh --cmd "$train_cmd" --nj "$nj" --boost-silence 1.25 $tri_opts "$data/mfcc/train" "$data/lang" "$exp/mono" "$exp/tri"
  utils/mkgraph.sh "$data/lang_test" "$exp/tri" "$exp/tri/graph"
}

stage_align() {
  local set
  for set in train valid; do
    steps/align_si.sh --cmd "$train_cmd" --nj "$nj" --boost-silence 1.25 "$data/mfcc/$set" "$data/lang" "$exp/tri" "$exp/tri_ali_$set"
  done
}

stage_networks() {
  local network
  for network in $networks; do
    # shellcheck disable=SC2086  # several settings
    steps/nnet/train.sh --cmd "$train_cmd" --nnet-config "conf/${network}_mini.yaml" --num-workers "$num_workers" \
      --valid-alignments "$exp/tri_ali_valid" "$exp/tri_ali_train" "$data/fbank/train" "$data/fbank/valid" "$exp/$network" seed="$seed" $nnet_opts
  done
}

# evaluate NETWORK SET SYSTEM MODEL DIR ...: error rates of a network's models, with LM weight and penalty found on validation data.
evaluate() {
  local network=$1 set=$2
  shift 2
  steps/nnet/evaluate.sh --cmd "$decode_cmd" --nj "$nj" --metric cer --set "$set" "${record[@]}" \
    --command-line "$command_line" --transition-model "$exp/tri/final.mdl" \
    "$exp/tri/graph" "$data/fbank/valid_subset" "$exp/$network/final_bmuf.pt" "$exp/$network/decode_valid" "$data/fbank/$set" "$@"
}

stage_decode() {
  local network average systems kind
  for kind in mfcc fbank; do asrtool subset-data-dir --even "$tune_utts" "$data/$kind/valid" "$data/$kind/valid_subset"; done
  steps/decode.sh --cmd "$decode_cmd" --nj "$nj" --scoring-opts "--metric cer" \
    "$exp/tri/graph" "$data/mfcc/valid_subset" "$exp/tri/decode_valid"
  steps/decode.sh --cmd "$decode_cmd" --nj "$nj" --skip-scoring true "$exp/tri/graph" "$data/mfcc/test" "$exp/tri/decode_test"
  asrtool score --metric cer --tuned-on "$exp/tri/decode_valid" --system tri --set test "${record[@]}" \
    --command "$command_line" "$data/mfcc/test" "$exp/tri/graph" "$exp/tri/decode_test"
  for network in $networks; do
    systems=()
    for average in $averages; do
      systems+=("${network}_$average" "$exp/$network/final_$average.pt" "$exp/$network/decode_test_$average")
    done
    evaluate "$network" test "${systems[@]}"
  done
}

stage_curves() {
  local network average model name systems set=test_subset
  $curves || return 0
  ! $full_curves || set="test"
  for network in $networks; do
    systems=()
    for average in $averages; do
      for model in "$exp/$network/models/$average"/*.pt; do
        name=$(basename "$model" .pt | awk -F. '{ print $1 - 1 + $2 / 4 }')  # 2.1.pt: a quarter into epoch 2, at 1.25
        systems+=("${network}_$average@$name" "$model" "$exp/$network/curves/${average}_$name")
      done
    done
    evaluate "$network" "$set" "${systems[@]}" >"$exp/$network/log/curves.log"
    asrtool plot-fer --title "Frame error rate, validation set, ${network^^} (synthetic speech)" \
      "$exp/$network" "$exp/figures/fer_$network.png"
    asrtool plot-cer --title "Character error rate, $set, ${network^^} (synthetic speech)" \
      "$exp/results.json" "$network" "$set" "$exp/figures/cer_$network.png"
  done
}

stage_sequence() {
  local average systems=() graph=$exp/tri_ali_train/graph_2gram seq=${seq_network}_smbr
  case " $networks " in *" $seq_network "*) ;; *) return 0 ;; esac
  [ -n "$seq_network" ] || return 0
  steps/nnet/make_denominator_graph.sh --cmd "$train_cmd" --order 2 "$data/fbank/train" "$data/lang" "$exp/tri_ali_train" "$graph"
  # shellcheck disable=SC2086  # several settings
  steps/nnet/train_seq.sh --cmd "$train_cmd" --nnet-config conf/smbr_mini.yaml --num-workers "$num_workers" \
    --valid-alignments "$exp/tri_ali_valid" --dev-data "$data/fbank/valid_subset" --dev-graph "$exp/tri/graph" \
    "$exp/tri_ali_train" "$data/fbank/train" "$data/fbank/valid" "$data/lang" "$graph" "$exp/$seq_network" "$exp/$seq" \
    num_epochs=1 parallel.algorithm=bmuf held_out.decoding.metric=cer seed="$seed" $seq_opts
  for average in $averages; do
    systems+=("${seq}_$average" "$exp/$seq/final_$average.pt" "$exp/$seq/decode_test_$average")
  done
  evaluate "$seq" test "${systems[@]}"
  asrtool plot-sequence --title "sMBR after cross-entropy, ${seq_network^^} (synthetic speech)" "$exp/$seq" "$exp/figures/$seq.png"
}

stage_results() {
  local network figures="" sequence=()
  if $curves; then for network in $networks; do figures+=figures/fer_$network.png,figures/cer_$network.png,; done; fi
  if [ -f "$exp/figures/${seq_network}_smbr.png" ]; then
    sequence=(--sequence "$seq_network=${seq_network}_smbr")
    figures+=figures/${seq_network}_smbr.png
  fi
  asrtool make-results --title "mini_mandarin" "${sequence[@]}" \
    --note "The speech is synthetic (espeak-ng): these figures compare methods, they do not say how well people are recognised." \
    --set test --networks "${networks// /,}" --exp-dir "$exp" --figures "$figures" \
    --command "$command_line" --commit "$commit" --seed "$seed" "$exp/results.json" "$exp/RESULTS.md"
}

settings="hours=$hours seed=$seed lm_order=$lm_order lm_sentences=$lm_sentences corpus_opts=$corpus_opts"
settings="$settings totgauss=$totgauss tri_opts=$tri_opts nnet_opts=$nnet_opts${seq_opts:+ seq_opts=$seq_opts}"
run_stages "$exp" "$settings" corpus data lm features mono tri align networks decode curves sequence results
if [ -f "$exp/RESULTS.md" ]; then  # the table again, also where nothing was left to do
  sed -n "/^| Methods/,/^$/p" "$exp/RESULTS.md"
fi
