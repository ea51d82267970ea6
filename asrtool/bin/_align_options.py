"""What the commands share that cut lattices where words or phones end: their options, and partial lattices that are named."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from asrtool.arguments import boolean, existing_path, parser
from asrtool.bin._lattice_options import Target, each_lattice, source, target
from asrtool.lattice.archive import write_lattices

if TYPE_CHECKING:
    from asrtool.lattice.align_words import Aligned


def align_parser(verb: str, doc: str, example: str, places: str = "") -> ArgumentParser:
    """A parser with (PLACES) MODEL LATTICES ALIGNED, as Kaldi's programs; `places`: what the first argument is."""
    options = parser(verb, doc, example)
    if places:
        options.add_argument("places", type=existing_path, help=places)
    options.add_argument("model", type=existing_path, help="final.mdl that the lattices were made with")
    options.add_argument("lattices", type=source, help="archive of lattices, .gz or not, or a decoding directory (all lat.N.gz)")
    options.add_argument("aligned", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument("--reorder", type=boolean, default=True, help="self-loops follow their states' other transitions")
    options.add_argument(
        "--output-error-lats", type=boolean, default=True, help="also write lattices that end within a word (default true)"
    )
    options.add_argument("--max-failed", type=float, default=0.0, help="share of lattices that may be bad (default 0)")
    return options


def add_word_options(options: ArgumentParser) -> None:
    """Of the commands that cut at words."""
    options.add_argument("--partial-word-label", type=int, default=0, help="word id of a word without label that is cut off")
    options.add_argument("--max-expand", type=float, default=0.0, help="fail beyond 1000 + this x the states; 0: no limit")


def write_word_aligned(args: Namespace, read_places: Callable[[Path], object], silence_label: int = 0) -> None:
    """Cuts lattices at words, whose places `read_places` reads from the command's first argument."""
    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.lattice.align_words import AlignOptions, align_words

    places, model = read_places(args.places), TransitionModel.read_file(args.model)
    settings = AlignOptions(args.reorder, silence_label, args.partial_word_label, args.max_expand)

    def align(lattice: object) -> "Aligned":
        return align_words(lattice, model, places, settings)

    write_aligned(args.lattices, args.aligned, align, args.max_failed, args.output_error_lats)


def write_aligned(
    lattices: Path, aligned: Target, align: Callable[[object], "Aligned"], max_failed: float, output_error_lats: bool
) -> None:
    """Writes what `align` makes of each lattice; counts and names those that end within a word."""
    cut = []

    def work(utterance, lattice):
        result, complete = align(lattice)
        if not complete:
            cut.append(utterance)
            print(f"WARNING: {utterance}: the lattice ends within a word (no final state was reached)", file=sys.stderr)
        return result

    items = each_lattice(lattices, work, max_failed)
    kept = (item for item in items if output_error_lats or item[0] not in cut[-1:])
    write_lattices(aligned.path, kept, not aligned.text)
    print(f"{len(cut)} lattices end within a word", file=sys.stderr)
