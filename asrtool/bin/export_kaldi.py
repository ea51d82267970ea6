"""Write an experiment for Kaldi: model, tree, alignments, graph, lattices, network for nnet1, README.md of what is what."""

from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser

EXAMPLE = """asrtool export-kaldi --nj 4 --data data/train exp/tri3b_ali kaldi/tri3b_ali
      asrtool export-kaldi --ali-dir exp/tri_ali --graph-dir exp/tri/graph exp/lstm kaldi/lstm"""


def main(arguments: list[str]) -> int:
    options = parser("export-kaldi", __doc__, EXAMPLE)
    add = options.add_argument
    add("--nj", type=int, default=1, dest="num_jobs", help="alignments are split over so many jobs, as Kaldi splits the data")
    add("--data", type=existing_path, action="append", default=[], help="data directory to take along; first: the alignments'")
    add("--copy-features", type=boolean, default=False, help="their features too (default: feats.scp names those there are)")
    add("--ali-dir", type=existing_path, help="alignments, where they are not in EXP")
    add("--graph-dir", type=existing_path, action="append", default=[], dest="graphs", help="graphs that are not below EXP")
    add("--lang", type=existing_path, help="a lang directory to take along")
    add("--lattices", type=boolean, default=True, dest="decodings", help="take those below EXP along (default true)")
    add("--model", type=existing_path, help="model file of a network (default: EXP/final_ema.pt, or the only one)")
    add("--binary", type=boolean, default=True, help="false: the network as text")
    add("experiment", type=existing_path, help="experiment or alignment directory: final.mdl, tree")
    add("out_dir", type=Path)
    given = vars(options.parse_args(arguments))
    places = [given.pop(name) for name in ("experiment", "out_dir")]
    given |= {name: tuple(given[name]) for name in ("data", "graphs")}

    from asrtool.train.kaldi_export import ExportOptions, export_kaldi

    for line in export_kaldi(*places, ExportOptions(**given)):
        print(line)
    return 0
