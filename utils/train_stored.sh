# shellcheck shell=bash disable=SC2034,SC2154  # the scripts that source this share variables with it
# Sourced, before utils/parse_options.sh, by steps that train on stored denominator lattices with Kaldi's options.
cmd=utils/run.py
nj=4                  # threads for making lattices and alignments again
acwt=0.1              # acoustic scale
lmwt=1.0              # scale of the graph costs
learn_rate=0.00001    # as Kaldi's: for gradients that are summed over frames and lack the acoustic scale
halving_factor=1.0    # an iteration's rate is so many times that of the one before
momentum=0.0
num_iters=4           # passes over the data
regenerate=           # "1 3": lattices are made again with the present model after these iterations
realign=false         # alignments too
graph=                # for that and for --valid-data; default: that of the lattices
seed=777
keep_epoch=last       # or best: the iteration with the lowest WER (with --dev-data), else objective, of those after the last new lattices
valid_data=           # held-out data for the objective; default: 200 utterances of the training data, which are not held out
valid_alignments=     # of these; default: those of <ali-dir>
dev_data=             # after every iteration: word error rate of this data
dev_graph=            # with this graph
stored_usage="--num-iters --acwt --lmwt --learn-rate --halving-factor --momentum --seed --cmd --nj --regenerate '1 3' --realign true|false
  --graph DIR --keep-epoch last|best --valid-data DIR --valid-alignments DIR --dev-data DIR --dev-graph DIR --nnet-config FILE.yaml"

. utils/train_workers.sh

# check_stored DATA LANG SRC ALI DENLATS: the files, the numbers, and $graph; sets $model.
check_stored() {
  local f before=0
  for f in "$nnet_config" "$1/feats.scp" "$2/words.txt" "$4/final.mdl" "$4/tree" "$5/decode.json"; do
    [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
  done
  model=$(find_model "$3")
  number --num-iters "${num_iters:-none}" 1
  for f in $regenerate; do
    number --regenerate "$f" 1
    if [ "$f" -le "$before" ] || [ "$f" -ge "$num_iters" ]; then
      echo "$0: ERROR: --regenerate '$regenerate': give rising numbers below --num-iters $num_iters" >&2; exit 1
    fi
    before=$f
  done
  if [ -z "$graph" ]; then graph=$(grep -o '"[^"]*/HCLG\.fst"' "$5/decode.json" | tr -d '"' | xargs -r dirname || true); fi
  if [ -n "$regenerate$valid_data" ] && [ ! -f "$graph/HCLG.fst" ]; then
    echo "$0: ERROR: $graph/HCLG.fst: no such file; --regenerate and --valid-data need the denominator's graph: --graph" >&2; exit 1
  fi
}

# rate SO_FAR: the learning rate after SO_FAR iterations, in the convention of the settings, where the scale is in the gradient.
rate() { awk "BEGIN { print $learn_rate / $acwt * $halving_factor ^ $1 }"; }

# train_stored DATA LANG ALI DENLATS DIR WORDS...: from $model to DIR; trainings between new lattices are in DIR/part1, ...
train_stored() {
  local data=$1 lang=$2 ali=$3 denlats=$4 dir=$5 so_far=0 part=0 of_training=false last out options kind size
  shift 5
  if [ -f "$dir/done" ]; then echo "$0: $dir: training is done already; remove the directory to train again" >&2; return; fi
  if [ -z "$valid_data" ]; then
    valid_data=$dir/train_subset of_training=true size=$(wc -l <"$data/utt2spk")
    [ -f "$valid_data/feats.scp" ] || asrtool subset-data-dir --even $((size < 200 ? size : 200)) "$data" "$valid_data"
  fi
  for last in $regenerate "$num_iters"; do
    part=$((part + 1)) out=$dir options=(--denlats "$denlats") kind=$keep_epoch
    if [ "$last" != "$num_iters" ]; then out=$dir/part$part kind=last; fi
    if $of_training; then options+=(--valid-denlats "$denlats"); fi
    if [ -n "$valid_alignments" ]; then options+=(--valid-alignments "$valid_alignments"); fi
    if [ -n "$dev_data" ]; then options+=(--dev-data "$dev_data" --dev-graph "$dev_graph"); fi
    steps/nnet/train_seq.sh --cmd "$cmd" --nnet-config "$nnet_config" --num-workers "$num_workers" --num-hosts "$num_hosts" \
      --rendezvous "$rendezvous" --host-rank "$host_rank" --max-restarts "$max_restarts" "${options[@]}" \
      "$ali" "$data" "$valid_data" "$lang" "${graph:--}" "$model" "$out" \
      "num_epochs=$((last - so_far))" "schedule.kind=exponential" "schedule.learning_rate=$(rate "$so_far")" \
      "schedule.final_learning_rate=$(rate "$last")" schedule.warmup_epochs=0 optimizer.gradient=sum \
      optimizer.max_gradient_norm=0 "optimizer.momentum=$momentum" "seed=$seed" "keep_epoch=$kind" \
      "sequence.acoustic_scale=$acwt" "sequence.lm_scale=$lmwt" "$@"
    so_far=$last
    [ "$last" != "$num_iters" ] || break
    model=$(find_model "$out") denlats=$dir/denlats$part
    steps/nnet/make_denlats.sh --cmd "$cmd" --nj "$nj" --graph "$graph" --acwt "$acwt" "$data" "$lang" "$model" "$denlats"
    if $realign; then
      steps/nnet/align.sh --cmd "$cmd" --nj "$nj" --acwt "$acwt" --ali-dir "$ali" "$data" "$lang" "$model" "$dir/ali$part"
      ali=$dir/ali$part
    fi
  done
}
