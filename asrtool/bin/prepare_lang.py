"""Make a lang directory (phones, words, topology, L.fst) from a dictionary directory, as utils/prepare_lang.sh."""

from asrtool.arguments import boolean, parser
from asrtool.lang.prepare import LangOptions, prepare_lang


def main(arguments: list[str]) -> int:
    example = "asrtool prepare-lang data/local/dict '<UNK>' data/local/lang data/lang"
    options = parser("prepare-lang", __doc__, example)
    options.add_argument("--position-dependent-phones", type=boolean, default=True, help="mark phones _B _E _I _S (default true)")
    options.add_argument("--num-sil-states", type=int, default=5, help="HMM states of silence phones (default 5)")
    options.add_argument("--num-nonsil-states", type=int, default=3, help="HMM states of the other phones (default 3)")
    options.add_argument("--sil-prob", type=float, default=0.5, help="probability of silence between words (default 0.5)")
    options.add_argument("--share-silence-phones", type=boolean, default=False, help="silence phones share pdfs (default false)")
    options.add_argument(
        "--word-mark", default="", help="the words are subwords, and those that begin a word begin with this mark"
    )
    options.add_argument("dict_dir", help="lexicon.txt or lexiconp.txt, silence_phones.txt, nonsilence_phones.txt, ...")
    options.add_argument("oov_word", help="the lexicon's word that stands for unknown words")
    options.add_argument("tmp_dir", help="where the lexicon with disambiguation symbols is kept")
    options.add_argument("lang_dir", help="the directory to write")
    args = options.parse_args(arguments)
    settings = LangOptions(
        position_dependent_phones=args.position_dependent_phones,
        num_sil_states=args.num_sil_states,
        num_nonsil_states=args.num_nonsil_states,
        sil_prob=args.sil_prob,
        share_silence_phones=args.share_silence_phones,
        word_mark=args.word_mark,
    )
    prepare_lang(args.dict_dir, args.oov_word, args.tmp_dir, args.lang_dir, settings)
    return 0
