"""Options that the decoding commands share."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from asrtool.arguments import boolean, existing_path
from asrtool.errors import AsrtoolError


def add_decode_options(options: ArgumentParser, acoustic_scale: float, max_active: int = 7000, beam: float = 13.0) -> None:
    """Kaldi's names; the defaults of beam, max-active and acoustic scale are those of the step."""
    options.add_argument("--nj", type=int, default=os.cpu_count(), help="threads (default: all cores)")
    options.add_argument("--beam", type=float, default=beam)
    options.add_argument("--lattice-beam", type=float, default=6.0)
    options.add_argument("--max-active", type=int, default=max_active)
    options.add_argument("--min-active", type=int, default=200)
    options.add_argument("--acoustic-scale", type=float, default=acoustic_scale)
    options.add_argument("--word-insertion-penalty", type=float, default=0.0)
    options.add_argument("--lattice", type=boolean, default=True, help="false: the best path only")
    options.add_argument(
        "--determinize-lattice", type=boolean, default=True, help="false: lattices with all alignments of a word sequence"
    )
    options.add_argument("--small-lm", type=existing_path, help="the language model that the graph was made of (build-lm-binary)")
    options.add_argument("--big-lm", type=existing_path, help="a larger one, which corrects its costs during the search")
    options.add_argument("--max-failed", type=float, default=0.1, help="share of utterances that may fail")


def search_options(args: Namespace):
    """BeamSearchOptions of the parsed command line."""
    from asrtool.decoder.beam_search import BeamSearchOptions

    names = ("beam", "lattice_beam", "max_active", "min_active", "acoustic_scale", "word_insertion_penalty")
    try:
        return BeamSearchOptions(**{name: getattr(args, name) for name in names})
    except ValueError as error:
        raise AsrtoolError(str(error)) from None


def language_models(args: Namespace) -> list[Path]:
    """The small and the big model's files; none where the graph's own model decodes."""
    if (args.small_lm is None) != (args.big_lm is None):
        raise AsrtoolError("--small-lm and --big-lm: give both or none")
    return [] if args.big_lm is None else [args.small_lm, args.big_lm]
