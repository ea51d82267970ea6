"""Make the decoding graph HCLG.fst from a lang directory with G.fst and a model directory, as utils/mkgraph.sh."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, parser


def main(arguments: list[str]) -> int:
    options = parser("make-graph", __doc__, "asrtool make-graph data/lang_test exp/tri1 exp/tri1/graph")
    options.add_argument(
        "--transition-scale", type=float, default=1.0, help="for transitions other than self-loops (default 1.0)"
    )
    options.add_argument("--self-loop-scale", type=float, default=0.1, help="for self-loops (default 0.1; chain models: 1.0)")
    options.add_argument("--remove-oov", type=boolean, default=False, help="leave out sentences with the word of oov.int")
    options.add_argument("lang_dir", type=Path, help="with L_disambig.fst and G.fst")
    options.add_argument("model_dir", type=Path, help="with tree and final.mdl")
    options.add_argument("graph_dir", type=Path, help="the directory to write")
    args = options.parse_args(arguments)

    from asrtool.graph.hclg import make_hclg

    if (args.model_dir / "frame_subsampling_factor").exists() and args.self_loop_scale != 1.0:
        print("WARNING: a chain model: it needs --self-loop-scale 1.0", file=sys.stderr)
    made = make_hclg(
        args.lang_dir,
        args.model_dir / "tree",
        args.model_dir / "final.mdl",
        args.graph_dir,
        args.transition_scale,
        args.self_loop_scale,
        args.remove_oov,
    )
    print(f"{args.graph_dir}/HCLG.fst: {'made' if made else 'up to date'}", file=sys.stderr)
    return 0
