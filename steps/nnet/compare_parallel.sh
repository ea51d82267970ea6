#!/usr/bin/env bash
# Compares parallel training algorithms (1703.05880): algorithms x numbers of workers x networks. Each algorithm is tried with the
# same number of settings at one seed; the setting with the lowest validation FER of the global model is trained with the other
# seeds, and its models are decoded. Runs of more than --simulate-above workers are simulated in one process and one thread
# (asrtool simulate-parallel), the others are real processes (steps/nnet/train.sh). Results: <dir>/RESULTS.md and <dir>/figures.
# Finished runs are not repeated: a comparison that was killed, or gets more algorithms, goes on from what is there.
set -euo pipefail
command_line="steps/nnet/compare_parallel.sh${*:+$(printf ' %q' "$@")}"
. ./path.sh

stage=0
stop_stage=100
cmd=utils/run.py
decode_cmd=
nj=$(nproc)           # threads in use at a time: a simulated run and a decoding take one, a real run one for each worker
compare_config=conf/compare_parallel.yaml
algorithms=           # these and the next: in place of those of the file, separated by spaces
networks=
num_workers=
seeds=
simulate_opts=        # of asrtool simulate-parallel: the links
num_settings=         # tried for each algorithm, the first so many
simulate_above=       # default: the cores of this machine
valid_alignments=     # default: those of <ali-dir>
decode=true           # error rates of words or characters too; needs the next three
graph=
dev_data=             # LM weight and word insertion penalty are found here
test_data=
tune_each=true        # for each kind of model (global, MA, EMA); false: for the global model alone, a third of the work on dev
metric=wer            # or cer
curves=false          # also decode the models within the epochs, of the algorithms that the file names
title="Parallel training algorithms"
commit=unknown
recorded_command=     # the recipe's command line, to be recorded in place of this script's
simulate="asrtool simulate-parallel"

. utils/parse_options.sh
. utils/stoppable_job.sh

if [ $# != 4 ]; then
  echo "Usage: $0 [options] <ali-dir> <train-data> <valid-data> <dir>" >&2
  echo "e.g.: $0 --graph exp/tri/graph --dev-data data/dev --test-data data/test --num-workers \"2 8\" \\" >&2
  echo "        exp/tri_ali data/train data/valid exp/compare" >&2
  echo "Options: --compare-config FILE --algorithms --networks --num-workers --seeds --num-settings --simulate-above --simulate-opts" >&2
  echo "  --valid-alignments DIR --decode true|false --graph --dev-data --test-data --metric wer|cer" >&2
  echo "  --tune-each true|false --curves true|false --nj --cmd --decode-cmd --title --commit --stage N --stop-stage N" >&2
  echo "Stages: 0 search, 1 other seeds, 2 decode, 3 curves, 4 results" >&2
  exit 1
fi
ali=$1 train=$2 valid=$3 dir=$4

needed=("$compare_config" "$ali/final.mdl" "$train/feats.scp" "$valid/feats.scp")
if $decode; then
  if [ -z "$graph" ] || [ -z "$dev_data" ] || [ -z "$test_data" ]; then
    echo "$0: ERROR: give --graph, --dev-data and --test-data, or --decode false" >&2; exit 1
  fi
  needed+=("$graph/HCLG.fst" "$dev_data/feats.scp" "$test_data/feats.scp")
else
  graph=
fi
for f in "${needed[@]}"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done

asrtool compare-parallel begin --config "$compare_config" --algorithms "$algorithms" --networks "$networks" --num-workers "$num_workers" \
  --seeds "$seeds" --simulate-opts="$simulate_opts" --num-settings "$num_settings" --simulate-above "$simulate_above" \
  --valid-alignments "$valid_alignments" --graph "$graph" --dev-data "$dev_data" --test-data "$test_data" --metric "$metric" \
  --tune-each "$tune_each" "$ali" "$train" "$valid" "$dir"

# run_phase CMD PHASE: what is left of a phase, as many jobs at a time as there are threads for.
run_phase() {
  local threads count list at_once
  asrtool compare-parallel jobs --simulate "$simulate" "$2" "$dir" >"$dir/.jobs"
  while read -r threads count list; do
    [ -n "$threads" ] || continue
    at_once=$((nj / threads))
    echo "$(date '+%F %T') $2: $count job(s) of $threads thread(s)" >&2
    # shellcheck disable=SC2086  # $1 has options
    if ! stoppable $1 --num-threads "$threads" --max-jobs-run $((at_once > 0 ? at_once : 1)) "JOB=1:$count" \
      "$dir/log/$(basename "$list" .jsonl).JOB.log" asrtool compare-parallel run "$list" JOB </dev/null; then
      if $stopped; then
        echo "$0: $dir: stopped on request; start again to go on from what is there" >&2
        exit 143
      fi
      exit 1
    fi
  done <"$dir/.jobs"
  rm -f "$dir/.jobs"
}

for step in 0,search 1,seeds 2,decode 3,curves; do
  number=${step%,*} phase=${step#*,}
  if [ "$stage" -gt "$number" ] || [ "$stop_stage" -lt "$number" ]; then continue; fi
  case $phase in
    decode) if $decode; then run_phase "${decode_cmd:-$cmd}" decode; fi ;;
    curves) if $decode && $curves; then run_phase "${decode_cmd:-$cmd}" curves; fi ;;
    search) run_phase "$cmd" reference; run_phase "$cmd" search ;;  # the speed of one worker goes into the simulations
    seeds) run_phase "$cmd" seeds ;;
  esac
done
if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  asrtool compare-parallel results --title "$title" --command "${recorded_command:-$command_line}" --commit "$commit" "$dir"
fi
