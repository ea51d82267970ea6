"""Write which phones each word was spoken with (DIR/prons.N.gz), from the alignments or lattices of a directory."""

import sys

from asrtool.arguments import existing_path, parser
from asrtool.errors import AsrtoolError
from asrtool.io.tally import Tally


def options():
    result = parser("get-prons", __doc__, "asrtool get-prons data/train data/lang exp/tri3_ali")
    result.add_argument("data_dir", type=existing_path, help="with text, where DIR has alignments")
    result.add_argument("lang_dir", type=existing_path, help="with words.txt, oov.int and phones/")
    result.add_argument(
        "dir", type=existing_path, help="with ali.N.gz, else lat.N.gz, and final.mdl there or one directory above"
    )
    result.add_argument("--lmwt", type=float, default=10.0, help="weight of the language model, for lattices (default 10)")
    result.add_argument("--job", type=int, help="only the N-th file (default: all)")
    result.add_argument("--max-failed", type=float, default=0.1, help="share of utterances that may fail (default 0.1)")
    return result


def main(arguments: list[str]) -> int:
    args = options().parse_args(arguments)
    model = next((path for path in (args.dir / "final.mdl", args.dir.parent / "final.mdl") if path.is_file()), None)
    if model is None:
        raise AsrtoolError(f"{args.dir}: neither final.mdl nor ../final.mdl is there")

    from asrtool.data.data_dir import DataDir
    from asrtool.graph.training_graph import read_oov
    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.io.alignment import alignment_files
    from asrtool.io.symbols import SymbolTable
    from asrtool.lattice.align_words_files import read_word_places
    from asrtool.lattice.archive import lattice_files
    from asrtool.lattice.pron_files import Speech, alignment_paths, best_paths, spoken_in_paths, write_prons

    from_lattices = not any(args.dir.glob("ali.*"))
    files = dict(enumerate(lattice_files(args.dir) if from_lattices else alignment_files(args.dir), 1))
    if args.job is not None:
        if args.job not in files:
            raise AsrtoolError(f"--job {args.job}: {args.dir} has {len(files)} files")
        files = {args.job: files[args.job]}
    transcripts = {}
    if not from_lattices:
        ids, oov = SymbolTable.read(args.lang_dir / "words.txt").symbol_to_id, read_oov(args.lang_dir)
        text = DataDir.load(args.data_dir).text
        transcripts = {utterance: [ids.get(word, oov) for word in words] for utterance, words in text.items()}
    speech = Speech(TransitionModel.read_file(model), read_word_places(args.lang_dir))
    tally = Tally(max_failed=args.max_failed)
    for number, path in files.items():
        paths = best_paths(path, args.lmwt, tally) if from_lattices else alignment_paths(path, transcripts, tally)
        write_prons(args.dir / f"prons.{number}.gz", spoken_in_paths(paths, speech, tally))
    tally.close()
    print(f"{args.dir}: prons.{'N' if args.job is None else args.job}.gz", file=sys.stderr)
    return 0
