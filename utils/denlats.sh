# shellcheck shell=bash disable=SC2154  # the scripts that source this share variables with it
# Sourced by steps that make denominator lattices.

# find_model PATH: the model that is meant by a file or an experiment directory, as `asrtool align-nnet` finds it.
find_model() {
  local models
  if [ -f "$1" ]; then echo "$1"; return; fi
  if [ -f "$1/final_ema.pt" ]; then echo "$1/final_ema.pt"; return; fi
  mapfile -t models < <(compgen -G "$1/final*.pt" || true)
  if [ "${#models[@]}" = 1 ]; then echo "${models[0]}"; return; fi
  echo "$0: ERROR: $1: no model file, and no directory with final_ema.pt or one final*.pt in it; name a model" >&2
  return 1
}

# denominator_graph DATA LANG MODEL_DIR: checks $graph, or makes one of $order-grams in $dir/dengraph and sets $graph to it.
denominator_graph() {
  if [ -z "$graph" ]; then
    graph=$dir/dengraph
    steps/nnet/make_denominator_graph.sh --cmd "$cmd" --order "$order" "$1" "$2" "$3" "$graph"
  fi
  local f
  for f in "$graph/HCLG.fst" "$graph/words.txt"; do
    [ -f "$f" ] || { echo "$0: ERROR: $f: no such file; make it with steps/nnet/make_denominator_graph.sh" >&2; exit 1; }
  done
}

# summarise_denlats DATA LANG: what there is in $dir, unless it has been said of just these lattices.
summarise_denlats() {
  if [ ! "$dir/summary.json" -nt "$dir/decode.json" ]; then
    $cmd "$dir/log/summary.log" asrtool summarise-denlats --max-failed "$max_failed" "$1" "$2" "$dir" ||
      { grep -h 'ERROR:' "$dir/log/summary.log" >&2; exit 1; }
  fi
  grep -h -E 'utterances:|: depth|: reference in' "$dir/log/summary.log" >&2 || true
}
