#!/usr/bin/env bash
# Makes the graph over which the denominator lattices of sequence training are searched: a weak language model of the training
# transcripts (Sak 2014, Table 2: a bigram is best; Kaldi's recipes take a unigram), formatted for the lang directory, and HCLG
# with the model of the alignments, in <graph-dir>. All words of the transcripts are in it, and no others, so that every reference
# has a path; words that are not in words.txt become the lang directory's word for such (oov.txt), as in the alignments.
# Unigrams are relative frequencies: every word has been seen, so there is nothing to smooth. Bigrams and trigrams are
# interpolated modified Kneser-Ney without cut-offs. Sentence ends are words of the model as others are. Nothing is done
# where the graph is up to date.
set -euo pipefail
. ./path.sh

cmd=utils/run.py
order=2               # 1, 2, 3, ...
smoothing=            # kneser-ney or katz; default: see above
min_counts=1          # least occurrences of the n-grams of each order: "1 1 2"
dev_text=             # say the perplexity of this text too (a data directory's text)
transition_scale=1.0  # as in utils/mkgraph.sh
self_loop_scale=0.1

. utils/parse_options.sh

if [ $# != 4 ]; then
  echo "Usage: $0 [options] <train-data-dir> <lang-dir> <ali-or-model-dir> <graph-dir>" >&2
  echo "e.g.: $0 --order 2 data/train data/lang exp/tri_ali exp/tri_ali/graph_2gram" >&2
  echo "Options: --order N --smoothing kneser-ney|katz --min-counts '1 1 2' --dev-text FILE --transition-scale --self-loop-scale --cmd" >&2
  exit 1
fi
data=$1
lang=$2
model=$3
dir=$4

for f in "$data/text" "$lang/L_disambig.fst" "$lang/words.txt" "$lang/oov.txt" "$model/final.mdl" "$model/tree"; do
  [ -f "$f" ] || { echo "$0: ERROR: $f: no such file" >&2; exit 1; }
done
case "$order" in
  [1-9]) ;;
  *) echo "$0: ERROR: --order takes a number from 1 to 9, not '$order'" >&2; exit 1 ;;
esac
smoothing_opts=(--smoothing "${smoothing:-kneser-ney}")
if [ -z "$smoothing" ] && [ "$order" = 1 ]; then smoothing_opts=(--smoothing katz --gt-max 0); fi

mkdir -p "$dir/log" "$dir/lm"
arpa=$dir/lm/lm$order.arpa.gz
# What the language model is made of and how: made again when either differs.
{
  echo "# ${smoothing_opts[*]} order $order min-counts $min_counts"
  awk -v oov="$(cat "$lang/oov.txt")" 'NR == FNR { known[$1] = 1; next }
    { for (i = 2; i <= NF; i++) if (!($i in known)) { $i = oov; unknown++ } print }
    END { if (unknown) print "WARNING: " unknown " words that are not in words.txt count as " oov >"/dev/stderr" }' \
    "$lang/words.txt" "$data/text"
} >"$dir/lm/.text"
if [ ! -f "$arpa" ] || ! cmp -s "$dir/lm/.text" "$dir/lm/text.used"; then
  sed 1d "$dir/lm/.text" >"$dir/lm/text"
  steps/train_lm.sh --order "$order" "${smoothing_opts[@]}" --min-counts "$min_counts" ${dev_text:+--dev-text "$dev_text"} \
    "$dir/lm/text" "$arpa" >"$dir/log/train_lm.log" 2>&1 || { cat "$dir/log/train_lm.log" >&2; exit 1; }
  utils/format_lm.sh "$lang" "$arpa" "$dir/lm/lang" >"$dir/log/format_lm.log" 2>&1 || { cat "$dir/log/format_lm.log" >&2; exit 1; }
  asrtool perplexity --utterance-ids true "$arpa" "$dir/lm/text" >"$dir/log/perplexity.log" 2>&1
  mv "$dir/lm/.text" "$dir/lm/text.used"
fi
rm -f "$dir/lm/.text"
$cmd "$dir/log/mkgraph.log" utils/mkgraph.sh --transition-scale "$transition_scale" --self-loop-scale "$self_loop_scale" \
  "$dir/lm/lang" "$model" "$dir"
grep -h '^WARNING' "$dir/log/train_lm.log" "$dir/log/format_lm.log" >&2 || true
{ grep -h 'sentences=' "$dir/log/train_lm.log"; sed 's/^/training text: /' "$dir/log/perplexity.log"; grep -h -i 'states' "$dir/log/mkgraph.log"; } >&2 || true
