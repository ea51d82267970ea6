"""Score a decoding as Kaldi does: WER or CER, the best over LM weights and word insertion penalties."""

from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.bin._score_options import add_text_options, preparation_of
from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.io.progress import progress
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.archive import read_lattices
from asrtool.score.results import append_results, make_record
from asrtool.score.sweep import (
    error_line,
    read_best_setting,
    setting_name,
    settings_grid,
    sweep_lattices,
    write_scores,
)
from asrtool.score.text_files import read_text


def options():
    result = parser("score", __doc__, "asrtool score --metric cer data/test exp/tri/graph exp/tri/decode_test")
    result.add_argument("data_dir", type=existing_path, help="with the reference text")
    result.add_argument("graph_dir", type=existing_path, help="a graph or lang directory, for words.txt")
    result.add_argument("decode_dir", type=existing_path, help="with lat.*.gz; or several directories", nargs="+")
    add_text_options(result)
    result.add_argument("--min-lmwt", type=int, default=7)
    result.add_argument("--max-lmwt", type=int, default=17)
    result.add_argument("--word-ins-penalty", default="0.0,0.5,1.0", help="penalties to try, separated by commas")
    result.add_argument("--lmwt", type=int, help="this LM weight only, with the penalty of --wip")
    result.add_argument("--wip", type=float, default=0.0)
    result.add_argument("--tuned-on", type=Path, help="take LM weight and penalty from this scored decoding instead")
    result.add_argument("--best-path", type=boolean, default=False, help="score hyp.txt of a decoding without lattices")
    result.add_argument("--results", type=Path, help="results.json to record the best figure in")
    result.add_argument("--system", default="", help="names of the systems in results.json, separated by commas")
    result.add_argument(
        "--set", dest="dataset", default="", help="the set's name in results.json (default: the data directory's)"
    )
    result.add_argument("--command", default="", help="the recipe's command line, to be recorded")
    result.add_argument("--commit", default="unknown")
    result.add_argument("--seed", type=int, default=0)
    return result


def main(arguments: list[str]) -> int:
    args = options().parse_args(arguments)
    data = DataDir.load(args.data_dir)
    words = SymbolTable.read(args.graph_dir / "words.txt")
    systems = args.system.split(",") if args.system else [directory.name for directory in args.decode_dir]
    if len(systems) != len(args.decode_dir):
        raise AsrtoolError(f"--system names {len(systems)} systems for {len(args.decode_dir)} decoding directories")
    settings = settings_grid(args.min_lmwt, args.max_lmwt, args.word_ins_penalty)
    if args.tuned_on:
        settings = [read_best_setting(args.tuned_on, args.metric)]
    elif args.lmwt is not None:
        settings = settings_grid(args.lmwt, args.lmwt, str(args.wip))
    preparation = preparation_of(args)
    records = []
    for system, directory in zip(systems, args.decode_dir):
        if args.best_path:
            hypotheses = {None: read_text(directory / "hyp.txt")}
        else:
            lattices = progress(read_lattices(directory), len(data.text), f"best paths of {directory}", end=False)
            hypotheses = sweep_lattices(lattices, settings, words.symbol)
        best, score = write_scores(directory, data.text, hypotheses, preparation, data.utt2spk)
        print(f"{error_line(score.counts, args.metric)} {directory}/{args.metric}_{setting_name(best)}")
        dataset = args.dataset or args.data_dir.name
        records.append(make_record(system, dataset, args.metric, score.counts, args.command, args.commit, args.seed))
    if args.results:
        append_results(args.results, records)
    return 0
