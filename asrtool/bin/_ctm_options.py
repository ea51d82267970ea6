"""What the commands that write CTM files share."""

from argparse import ArgumentParser, Namespace

from asrtool.arguments import boolean, existing_path
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.ctm import Recordings


def add_ctm_options(options: ArgumentParser) -> None:
    options.add_argument("--print-silence", type=boolean, default=False, help="also <eps>, what lies between words")
    options.add_argument("--frame-shift", type=float, default=0.01, help="seconds between frames (default 0.01)")
    options.add_argument("--word-symbol-table", type=existing_path, help="words.txt; without it, word ids are written")
    options.add_argument("--segments", type=existing_path, help="a data directory's: times in recordings, not in utterances")
    options.add_argument("--reco2file-and-channel", type=existing_path, help="names of recordings and channels, with --segments")


def symbol_of(args: Namespace):
    """Word id -> what is printed."""
    return SymbolTable.read(args.word_symbol_table).symbol if args.word_symbol_table else str


def recordings_of(args: Namespace) -> Recordings | None:
    return Recordings.read(args.segments, args.reco2file_and_channel) if args.segments else None
