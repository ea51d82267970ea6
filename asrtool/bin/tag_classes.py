"""Put class symbols in the place of the words of their entries in a text, to train a class language model on."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.io.whole_file import text_to_write
from asrtool.lang.classes import ClassTagger, read_classes
from asrtool.lang.segment import open_lines


def main(arguments: list[str]) -> int:
    options = parser("tag-classes", __doc__, "asrtool tag-classes data/local/lm/classes data/local/lm/text text.tagged")
    options.add_argument("--utterance-ids", type=boolean, default=False, help="lines start with an utterance id (default false)")
    options.add_argument("classes", type=existing_path, help="'CLASS [weight] word ...' lines")
    options.add_argument("input", type=existing_path, help="text, gzipped or not")
    options.add_argument("output", type=Path, help="gzipped if its name ends in .gz")
    args = options.parse_args(arguments)
    tagger, first = ClassTagger(read_classes(args.classes)), int(args.utterance_ids)
    symbols, num_tags = set(tagger.owner.values()), 0
    with text_to_write(args.output) as file:
        for line in open_lines(args.input):
            words = line.split()
            tagged = tagger(words[first:])
            num_tags += sum(word in symbols for word in tagged)
            file.write(" ".join([*words[:first], *tagged]) + "\n")
    print(f"{args.output}: {num_tags} class symbols", file=sys.stderr)
    return 0
