#!/usr/bin/env bash
# Makes a lang directory with G.fst: a copy of <lang-dir>, and the ARPA model (gzipped or not) as an FST. N-grams with words that
# are not in words.txt are left out and counted. A lexicon as third argument, as Kaldi's script takes it, is not needed.
# With --classes the model's class symbols become the words of the classes (asrtool/lang/classes.py).
#
# Usage: utils/format_lm.sh <lang-dir> <arpa> [<lexicon>] <out-lang-dir>
#  e.g.: utils/format_lm.sh data/lang data/local/lm/lm3.arpa.gz data/lang_test

set -euo pipefail

classes=                        # "CLASS [weight] word ..." lines: the words of symbols of the model that stand for classes
. utils/parse_options.sh

if [ $# -ne 3 ] && [ $# -ne 4 ]; then
  sed -n '/^# Usage/,/^# *e.g./s/^# //p' "$0" >&2
  exit 1
fi
. ./path.sh

asrtool format-lm ${classes:+--classes "$classes"} "$1" "$2" "${!#}"
asrtool validate-lang "${!#}"
