"""Train subword units (sentencepiece) on text: an open vocabulary."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.lang.subwords import MODEL_TYPES, train_subwords
from asrtool.lm.text import read_sentences


def main(arguments: list[str]) -> int:
    options = parser("train-subwords", __doc__, "asrtool train-subwords --vocab-size 2000 data/local/lm/text exp/bpe/bpe.model")
    options.add_argument("--vocab-size", type=int, default=2000, help="units at most (default 2000)")
    options.add_argument("--model-type", choices=MODEL_TYPES, default=MODEL_TYPES[0])
    options.add_argument("--utterance-ids", type=boolean, default=False, help="lines start with an utterance id (default false)")
    options.add_argument("text", type=existing_path, nargs="+", help="a sentence a line, words parted by spaces")
    options.add_argument("model", type=Path, help="the model to write")
    args = options.parse_args(arguments)
    sentences = [sentence for path in args.text for sentence in read_sentences(path, args.utterance_ids)]
    count = train_subwords(sentences, args.model, args.vocab_size, args.model_type)
    print(f"{args.model}: {count} units", file=sys.stderr)
    return 0
