#!/usr/bin/env bash
# The study of Sak 2014 on a corpus: a network trained by cross-entropy (CE) on a GMM's alignments and on its own, then by
# sequence criteria. Tables: 1 alignments; 2 n-gram orders of the denominator; 3 MMI and sMBR from CE models of several epochs;
# criteria (MMI, boosted MMI, sMBR, MPFE, MPE); parallel (sMBR with ASGD, BSP, BMUF + EMA on several workers). LM weight and
# insertion penalty are found on the dev data, each model's own. Results: <dir>/RESULTS.md and <dir>/figures. A job takes one core
# (those of `parallel`: one for each worker); finished runs are not repeated, a study that was killed goes on from what is there.
set -euo pipefail
command_line="steps/nnet/compare_sequence.sh${*:+$(printf ' %q' "$@")}"
. ./path.sh

stage=0
stop_stage=100
cmd=utils/run.py
nj=$(nproc)           # threads in use at a time
tables="1 2 3"        # of 1, 2, 3, criteria, parallel
seeds="1 2 3"
network_config=conf/lstm_mini.yaml
smbr_config=conf/smbr_mini.yaml   # of all criteria but (boosted) MMI
mmi_config=conf/mmi_mini.yaml
ce_epochs=8
switch_epochs="1 2 4 8"           # table 3: CE epochs after which sequence training begins
start=lstm            # the alignments of all tables but the first: lstm (the network's, as in the paper) or gmm
ce_opts=              # settings of the CE runs, key=value
seq_opts=             # of the sequence runs
workers=2             # of the table `parallel`; more than --nj are simulated, one after the other on one core
valid_alignments=     # default: those of <ali-dir>
metric=wer            # or cer
title="Sequence-discriminative training"
commit=unknown
recorded_command=     # the recipe's command line, to be recorded in place of this script's

. utils/parse_options.sh
. utils/stoppable_job.sh

if [ $# != 8 ]; then
  echo "Usage: $0 [options] <ali-dir> <train-data> <valid-data> <lang-dir> <graph-dir> <dev-data> <test-data> <dir>" >&2
  echo "e.g.: $0 --tables \"1 2\" --seeds 1 exp/tri_ali data/train_tr data/train_cv data/lang exp/tri/graph data/dev data/test exp/seq" >&2
  echo "Options: --tables '1 2 3 criteria parallel' --seeds '1 2 3' --start lstm|gmm --switch-epochs '1 2 4 8' --ce-epochs N" >&2
  echo "  --network-config --smbr-config --mmi-config FILE.yaml --ce-opts --seq-opts 'key=value ...' --workers N" >&2
  echo "  --valid-alignments DIR --metric wer|cer --nj --cmd --title --commit --stage N --stop-stage N" >&2
  echo "Stages: 0 CE, 1 realignment, 2 CE on these, 3 graphs, 4 sequence training, 5 parallel, 6 decode, 7 results" >&2
  exit 1
fi
ali=$1 train=$2 valid=$3 lang=$4 graph=$5 dev=$6 test=$7 dir=$8
valid_ali=${valid_alignments:-$ali}
for f in "$network_config" "$smbr_config" "$mmi_config" "$ali/final.mdl" "$ali/tree" "$valid_ali/final.mdl" "$train/feats.scp" \
  "$train/text" "$valid/feats.scp" "$valid/text" "$lang/L.fst" "$graph/HCLG.fst" "$dev/feats.scp" "$test/feats.scp"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
simulate=false
if [ "$workers" -gt "$nj" ]; then simulate=true; fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
mkdir -p "$dir/lists"

# run_list NAME THREADS < lines: as many jobs at a time as there are threads for.
run_list() {
  local list=$dir/lists/$1 count at_once=$((nj / $2))
  cat >"$list"
  count=$(wc -l <"$list")
  [ "$count" -gt 0 ] || return 0
  echo "$(date '+%F %T') $1: $count job(s) of $2 thread(s)" >&2
  if ! stoppable $cmd --num-threads "$2" --max-jobs-run $((at_once > 0 ? at_once : 1)) "JOB=1:$count" "$dir/log/$1.JOB.log" \
    utils/nth_line.sh "$list" JOB </dev/null; then
    if $stopped; then echo "$0: $dir: stopped on request; start again to go on from what is there" >&2; exit 143; fi
    exit 1
  fi
}

asrtool compare-sequence begin --tables "$tables" --seeds "$seeds" --start "$start" --switch-epochs "$switch_epochs" --metric "$metric" \
  --ce-epochs "$ce_epochs" --workers "$workers" --simulate "$simulate" --network-config "$network_config" --smbr-config "$smbr_config" \
  --mmi-config "$mmi_config" --ce-opts "$ce_opts" --seq-opts "$seq_opts" \
  "$ali" "$valid_ali" "$train" "$valid" "$lang" "$graph" "$dev" "$test" "$dir"
for step in 0,ce 1,align 2,ce_again 3,graphs 4,sequence 5,parallel 6,decode; do
  number=${step%,*} phase=${step#*,}
  if [ "$stage" -gt "$number" ] || [ "$stop_stage" -lt "$number" ]; then continue; fi
  threads=1
  if [ "$phase" = parallel ] && ! $simulate; then threads=$workers; fi
  asrtool compare-sequence jobs "$phase" "$dir" >"$dir/lists/.$phase"
  run_list "$phase" "$threads" <"$dir/lists/.$phase"
done
if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  asrtool compare-sequence results --title "$title" --command "${recorded_command:-$command_line}" --commit "$commit" "$dir"
fi
