# shellcheck shell=bash disable=SC2154
# Sourced by recipes (egs/aishell, egs/librispeech) after utils/parse_options.sh: what run.sh files have in common. The recipe sets
# before: here (its directory), command_line, and the variables below that have no default. Relative paths are from here on those
# of the recipe's directory; dir is made absolute.
#
# The recipe's options:  dir nj num_workers seed, and nnet_config (conf/{network}.yaml), nnet_opts, <network>_opts, curves, curve_utts
# What it says of itself: metric (wer, cer), dev_set, test_sets, train_set and valid_set (of the networks), averages
#
# Whatever is up to date (newer than what it is made of) is left alone, so that a stage that was killed goes on where it was.

dir=$(realpath -m "$dir")
cd "$here" || exit 1
. ./path.sh
# shellcheck source=/dev/null
. ./cmd.sh
. utils/stages.sh

data=$dir/data exp=$dir/exp
averages=${averages:-bmuf ma ema}
commit=$(git -C "$here" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
record=(--results "$exp/results.json" --commit "$commit" --seed "$seed" --command "$command_line")
mkdir -p "$dir"

# Which development set a set's LM weight and insertion penalty are found on; a recipe with several defines it anew.
dev_of() { echo "$dev_set"; }

# Which features a network is trained on: data/<kind>/; a recipe may define it anew.
features_of() { case $1 in lstmp*|cldnn*) echo fbank40 ;; *) echo fbank ;; esac; }

# up_to_date TARGET SOURCE...: TARGET is there and not older than any SOURCE that is there.
up_to_date() {
  local target=$1 source
  [ -e "$target" ] || return 1
  shift
  for source in "$@"; do if [ "$source" -nt "$target" ]; then return 1; fi; done
}

# in_list "WORD..." WORD: is it one of them?
in_list() { case " $1 " in *" $2 "*) return 0 ;; *) return 1 ;; esac; }

# check_disk STAGE SET...: stops when there is too little room for STAGE (of conf/resources.yaml) with data/<set>.
check_disk() {
  local name=$1 sets=()
  shift
  for set in "$@"; do sets+=("$data/$set"); done
  require_disk "$name" "$(asrtool plan-resources hours "${sets[@]}")" "$dir"
}

# make_feature_dirs KIND SET...: data/KIND/SET of data/SET with features and CMVN statistics; KIND is mfcc, fbank (28 bins) or fbank40.
make_feature_dirs() {
  local kind=$1 type=${1%40} config set
  shift
  config=conf/$kind.conf
  if [ "$kind" = fbank ]; then config=conf/fbank28.conf; fi
  for set in "$@"; do
    if up_to_date "$data/$kind/$set/cmvn.scp" "$data/$set/wav.scp" "$data/$set/utt2spk" "$data/$set/reco2speed" "$config"; then
      utils/copy_data_dir.sh "$data/$set" "$data/$kind/$set"  # transcripts may have changed
      continue
    fi
    utils/copy_data_dir.sh "$data/$set" "$data/$kind/$set"
    "steps/make_$type.sh" --cmd "$train_cmd" --nj "$nj" "--$type-config" "$config" "$data/$kind/$set"
    steps/compute_cmvn_stats.sh --cmd "$train_cmd" "$data/$kind/$set"
  done
}

# split_validation KIND SHARE: data/KIND/train_tr and train_cv of data/KIND/train, SHARE of it in the latter, which has speakers of its own.
split_validation() {
  up_to_date "$data/$1/train_cv/feats.scp" "$data/$1/train/feats.scp" "$data/$1/train/text" ||
    asrtool split-data-dir --valid-share "$2" "$data/$1/train" "$data/$1/train_tr" "$data/$1/train_cv"
}

# perturb_speed KIND SET ALI ALI_OUT: data/KIND/SET_sp, data/KIND/SET at 0.9, 1 and 1.1 times the speed, and its alignments from ALI.
perturb_speed() {
  local kind=$1 set=$2 factor made=("$data/$1/$2")
  if ! up_to_date "$data/$kind/${set}_sp/feats.scp" "$data/$kind/$set/feats.scp"; then
    for factor in 0.9 1.1; do
      up_to_date "$data/${set}_sp$factor/wav.scp" "$data/$kind/$set/wav.scp" ||
        utils/perturb_data_dir_speed.sh "$factor" "$data/$kind/$set" "$data/${set}_sp$factor"
      make_feature_dirs "$kind" "${set}_sp$factor"
      made+=("$data/$kind/${set}_sp$factor")
    done
    rm -rf "$data/$kind/${set}_sp"
    utils/combine_data.sh "$data/$kind/${set}_sp" "${made[@]}"
  fi
  up_to_date "$4/ali.1.gz" "$3/ali.1.gz" "$data/${set}_sp1.1/wav.scp" ||
    steps/perturb_alignment.sh --cmd "$train_cmd" "$3" "$data/$kind/$set" "$data/$kind/${set}_sp" "$4"
}

# is_adapted GMM: is it trained with transforms of the speakers (steps/train_sat.sh)?
is_adapted() { [ -f "$exp/$1/final.alimdl" ]; }

# align_gmm NAME SET OUT: alignments of data/mfcc/SET by exp/NAME, with transforms of the speakers where it has learnt with such.
align_gmm() {
  local step=align_si
  if is_adapted "$1"; then step=align_fmllr; fi
  up_to_date "$3/ali.1.gz" "$exp/$1/final.mdl" "$data/mfcc/$2/feats.scp" "$data/mfcc/$2/text" ||
    "steps/$step.sh" --cmd "$train_cmd" --nj "$nj" "$data/mfcc/$2" "$data/lang" "$exp/$1" "$3"
}

# train_gmm NAME STEP: exp/NAME of data/mfcc/train by steps/STEP.sh with the sizes (and options before them) NAME_opts, from alignments of
# the model that stands before it in gmms; then decodes all test sets with gmm_lang (default: data/lang_test_3). Nothing where gmms has
# no NAME, or with imported alignments.
train_gmm() {
  local name=$1 own=$1_opts source="" one decode=decode.sh from=()
  if ! in_list "$gmms" "$name" || [ -n "${kaldi_ali:-}" ]; then return 0; fi
  for one in $gmms; do if [ "$one" = "$name" ]; then break; fi; source=$one; done
  if [ -n "$source" ]; then
    align_gmm "$source" train "$exp/${source}_ali"
    from=("$exp/${source}_ali")
  fi
  # shellcheck disable=SC2086  # several arguments
  steps/$2.sh --cmd "$train_cmd" --nj "$nj" --boost-silence "${boost_silence:-1.0}" ${!own:-} "$data/mfcc/train" "$data/lang" "${from[@]}" "$exp/$name"
  if is_adapted "$name"; then decode=decode_fmllr.sh; fi
  decode_gmm "$name" "$decode" "${gmm_lang:-$data/lang_test_3}"
}

# score_all SYSTEM KIND GRAPH DECODE: scores DECODE_<set>, lattices of data/KIND/<set>, for the dev sets and then the others: results
# SYSTEM with LM weight and insertion penalty from the dev set, and SYSTEM_best with the set's own best ones, as Kaldi reports them.
score_all() {
  local set
  for set in $test_sets; do
    asrtool score --metric "$metric" "${record[@]}" --system "$1_best" --set "$set" "$data/$2/$set" "$3" "$4_$set"
  done
  for set in $test_sets; do
    asrtool score --metric "$metric" "${record[@]}" --tuned-on "$4_$(dev_of "$set")" --system "$1" --set "$set" \
      "$data/$2/$set" "$3" "$4_$set"
  done
}

# decode_gmm NAME STEP LANG [TAG]: the graph exp/NAME/graph[_TAG] of exp/NAME and LANG; decodes all test sets by steps/STEP (decode.sh,
# decode_fmllr.sh) into exp/NAME/decode[_TAG]_<set> and scores them as system NAME[_TAG].
decode_gmm() {
  local set tag=${4:+_$4} out graph=$exp/$1/graph${4:+_$4}
  utils/mkgraph.sh "$3" "$exp/$1" "$graph"
  for set in $test_sets; do
    out=$exp/$1/decode${tag}_$set
    up_to_date "$out/decoded" "$graph/HCLG.fst" "$exp/$1/final.mdl" "$data/mfcc/$set/feats.scp" ||
      "steps/$2" --cmd "$decode_cmd" --nj "$nj" --skip-scoring true "$graph" "$data/mfcc/$set" "$out"
    touch "$out/decoded"
  done
  score_all "$1$tag" mfcc "$graph" "$exp/$1/decode$tag"
}

# rescore SYSTEM KIND GRAPH DECODE OLD_LM NEW_LM TAG: rescores DECODE_<set> into DECODE_TAG_<set>, scored as system SYSTEM_TAG.
rescore() {
  local set
  for set in $test_sets; do
    up_to_date "$4_$7_$set/decoded" "$4_$set/decoded" "$6" || steps/lmrescore.sh --cmd "$decode_cmd" --nj "$nj" --skip-scoring true \
      --words "$3/words.txt" "$5" "$6" "$data/$2/$set" "$4_$set" "$4_$7_$set"
    touch "$4_$7_$set/decoded"
  done
  score_all "$1_$7" "$2" "$3" "$4_$7"
}

# train_network NETWORK ALI VALID_ALI: exp/NETWORK by cross-entropy, on data/<its features>/$train_set, validated on .../$valid_set.
train_network() {
  local kind own=${1}_opts
  kind=$(features_of "$1")
  # shellcheck disable=SC2086  # several settings
  steps/nnet/train.sh --cmd "$train_cmd" --nnet-config "${nnet_config//\{network\}/$1}" --num-workers "$num_workers" --valid-alignments "$3" \
    "$2" "$data/$kind/$train_set" "$data/$kind/$valid_set" "$exp/$1" seed="$seed" $nnet_opts ${!own:-}
}

# find_setting NAME GRAPH TRANSITION_MODEL DEV: LM weight and penalty of exp/NAME, by a sweep over lattices of data/<features>/DEV,
# into exp/NAME/sweep_DEV.
find_setting() {
  local out=$exp/$1/sweep_$4 kind
  kind=$(features_of "$1")
  if ! up_to_date "$out/scoring_kaldi/best_$metric" "$exp/$1/final_ema.pt" "$2/HCLG.fst" "$data/$kind/$4/feats.scp"; then
    steps/nnet/decode.sh --cmd "$decode_cmd" --nj "$nj" --transition-model "$3" "$2" "$data/$kind/$4" "$exp/$1/final_ema.pt" "$out"
    steps/score.sh --cmd "$decode_cmd" --metric "$metric" "$data/$kind/$4" "$2" "$out"
  fi
}

# decode_models NAME GRAPH TRANSITION_MODEL SET DEV SYSTEM MODEL OUT ...: best paths of data/<features>/SET with each model, with the
# setting that find_setting found for NAME on DEV, recorded as SYSTEM.
decode_models() {
  local name=$1 graph=$2 transition_model=$3 set=$4 sweep=$exp/$1/sweep_$5 kind setting pairs=() out=() systems="" fresh=true
  kind=$(features_of "$name")
  shift 5
  while [ $# -gt 0 ]; do
    up_to_date "$3/hyp.txt" "$2" "$graph/HCLG.fst" "$sweep/scoring_kaldi/best_$metric" || fresh=false
    systems=${systems:+$systems,}$1; pairs+=("$2" "$3"); out+=("$3"); shift 3
  done
  setting=$(sed "s/.*${metric}_//" "$sweep/scoring_kaldi/best_$metric")  # <LM weight>_<penalty>
  $fresh || steps/nnet/decode.sh --cmd "$decode_cmd" --nj "$nj" --transition-model "$transition_model" --lattice false \
    --acwt "$(awk "BEGIN { print 1 / ${setting%_*} }")" --word-ins-penalty "${setting#*_}" "$graph" "$data/$kind/$set" "${pairs[@]}"
  asrtool score --best-path true --metric "$metric" --system "$systems" --set "$set" "${record[@]}" "$data/$kind/$set" "$graph" "${out[@]}"
}

# evaluate_network NAME GRAPH TRANSITION_MODEL [TAG]: all test sets with the final models (bmuf, ma, ema) of exp/NAME: systems
# NAME_<average>[_TAG]. Settings are found on data/<features>/<dev>_tune where that is there (subset_for_tuning), else on <dev>.
evaluate_network() {
  local set dev model average systems kind tag=${4:+_$4}
  kind=$(features_of "$1")
  for set in $test_sets; do
    dev=$(dev_of "$set")
    if [ -d "$data/$kind/${dev}_tune" ]; then dev=${dev}_tune; fi
    find_setting "$1" "$2" "$3" "$dev"
    systems=()
    for model in "$exp/$1"/final_*.pt; do
      average=$(basename "$model" .pt) average=${average#final_}
      systems+=("$1_$average$tag" "$model" "$exp/$1/decode_${set}_$average$tag")
    done
    decode_models "$1" "$2" "$3" "$set" "$dev" "${systems[@]}"
  done
}

# subset_for_tuning NUMBER KIND...: data/KIND/<dev>_tune, NUMBER utterances of each dev set, evenly spread; none where that is all of it.
subset_for_tuning() {
  local number=$1 kind dev
  shift
  for kind in "$@"; do
    for dev in $(for set in $test_sets; do dev_of "$set"; done | sort -u); do
      [ "$(wc -l <"$data/$kind/$dev/utt2spk")" -gt "$number" ] || continue
      up_to_date "$data/$kind/${dev}_tune/feats.scp" "$data/$kind/$dev/feats.scp" ||
        asrtool subset-data-dir --even "$number" "$data/$kind/$dev" "$data/$kind/${dev}_tune"
    done
  done
}

# draw_curves NAME GRAPH TRANSITION_MODEL SET TITLE: figures 1 and 2 of 1703.01024 in exp/figures: frame error rate on the validation set
# and, unless curves is false, error rate of the models within the epochs on curve_utts utterances of SET.
draw_curves() {
  local name=$1 graph=$2 dev average model epoch systems=() kind subset=${4}_curve
  mkdir -p "$exp/figures"
  asrtool plot-fer --title "Frame error rate, validation set, $name ($5)" "$exp/$name" "$exp/figures/fer_$name.png"
  ${curves:-true} || return 0
  kind=$(features_of "$name")
  dev=$(dev_of "$4")
  if [ -d "$data/$kind/${dev}_tune" ]; then dev=${dev}_tune; fi
  if [ "$(wc -l <"$data/$kind/$4/utt2spk")" -le "$curve_utts" ]; then
    subset=$4
  elif ! up_to_date "$data/$kind/$subset/feats.scp" "$data/$kind/$4/feats.scp"; then
    asrtool subset-data-dir --even "$curve_utts" "$data/$kind/$4" "$data/$kind/$subset"
  fi
  for average in $averages; do
    for model in "$exp/$name/models/$average"/*.pt; do
      [ -f "$model" ] || continue
      epoch=$(basename "$model" .pt | awk -F. '{ print $1 - 1 + $2 / 4 }')  # 2.1.pt: a quarter into epoch 2, at 1.25
      systems+=("${name}_$average@$epoch" "$model" "$exp/$name/curves/${average}_$epoch")
    done
  done
  find_setting "$name" "$graph" "$3" "$dev"
  decode_models "$name" "$graph" "$3" "$subset" "$dev" "${systems[@]}" >"$exp/$name/log/curves.log"
  asrtool plot-cer --metric "${metric^^}" --title "${metric^^}, $subset, $name ($5)" \
    "$exp/results.json" "$name" "$subset" "$exp/figures/${metric}_$name.png"
}

# train_sequence NETWORK CRITERION CONFIG ALI VALID_ALI GRAPH LANG: exp/NETWORK_CRITERION from exp/NETWORK by a sequence criterion, with
# denominators of an n-gram of order den_order (default 2) and, after every epoch, the error rate with GRAPH on the tuning data.
train_sequence() {
  local kind dev name=$1_$2 own=$2_opts den=$4/graph_den${den_order:-2}
  kind=$(features_of "$1")
  dev=$dev_set
  if [ -d "$data/$kind/${dev}_tune" ]; then dev=${dev}_tune; fi
  steps/nnet/make_denominator_graph.sh --cmd "$train_cmd" --order "${den_order:-2}" "$data/$kind/$train_set" "$7" "$4" "$den"
  # shellcheck disable=SC2086  # several settings
  steps/nnet/train_seq.sh --cmd "$train_cmd" --nnet-config "$3" --num-workers "$num_workers" --valid-alignments "$5" \
    --dev-data "$data/$kind/$dev" --dev-graph "$6" "$4" "$data/$kind/$train_set" "$data/$kind/$valid_set" "$7" "$den" \
    "$exp/$1" "$exp/$name" "sequence.criterion=$2" "held_out.decoding.metric=$metric" seed="$seed" ${seq_opts:-} ${!own:-}
  mkdir -p "$exp/figures"
  asrtool plot-sequence --title "$2 after cross-entropy, $1" "$exp/$name" "$exp/figures/$name.png"
}

# write_results TITLE NOTE SET NETWORKS [OPTION...]: exp/RESULTS.md with the tables, every picture of exp/figures, and options of
# asrtool make-results (--published FILE, --sequence ...).
write_results() {
  local title=$1 note=$2 set=$3 networks=$4 figures
  shift 4
  mkdir -p "$exp/figures"
  figures=$(cd "$exp" && find figures -name '*.png' 2>/dev/null | LC_ALL=C sort | paste -sd, -)
  asrtool make-results --title "$title" --note "$note" --set "$set" --networks "${networks// /,}" --exp-dir "$exp" --figures "$figures" \
    --command "$command_line" --commit "$commit" --seed "$seed" "$@" "$exp/results.json" "$exp/RESULTS.md"
}
