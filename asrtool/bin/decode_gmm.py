"""Decode a data directory with a GMM: lattices and the best word sequences."""

import sys
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.bin._decode_options import add_decode_options, language_models, search_options
from asrtool.bin._gpu_options import add_gpu_option
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    options = parser("decode-gmm", __doc__, "asrtool decode-gmm exp/tri1/final.mdl exp/tri1/graph data/test exp/tri1/decode_test")
    options.add_argument("model", type=existing_path, help="final.mdl, in its experiment directory")
    options.add_argument("graph_dir", type=existing_path)
    options.add_argument("data_dir", type=existing_path)
    options.add_argument("out_dir", type=Path)
    add_decode_options(options, acoustic_scale=0.083333)
    add_gpu_option(options)
    args = options.parse_args(arguments)
    one_blas_thread()

    from asrtool.decoder.decode_data import decode_data, fingerprint, is_done, one_by_one
    from asrtool.decoder.graph_dir import load_graph
    from asrtool.decoder.make_decoder import make_decoder
    from asrtool.gmm.backend import choose_backend
    from asrtool.gmm.features import open_features
    from asrtool.gmm.model import read_model

    search, models = search_options(args), language_models(args)
    inputs = [args.model, args.graph_dir / "HCLG.fst", args.data_dir / "feats.scp", *models]
    inputs += [path for path in (args.model.parent / "final.mat", args.model.parent / "splice_opts") if path.is_file()]
    made_from = fingerprint(inputs, search, args.lattice, args.determinize_lattice)
    if is_done(args.out_dir, made_from):
        return 0
    if args.model.name == "final.mdl" and (args.model.parent / "final.alimdl").is_file():
        print(
            f"WARNING: {args.model}: is for features with fMLLR transforms: steps/decode_fmllr.sh estimates them", file=sys.stderr
        )
    transition_model, gmm = read_model(args.model)
    graph, words = load_graph(args.graph_dir, transition_model)
    backend = choose_backend(args.use_gpu)
    features = open_features(args.data_dir, args.model.parent)
    decode_data(
        make_decoder(graph, words, search, models),
        one_by_one(lambda utterance: gmm.loglikes(features(utterance), backend=backend)),
        features.utterances(),
        words,
        args.out_dir,
        made_from,
        args.nj,
        args.lattice,
        args.max_failed,
        determinize_lattice=args.determinize_lattice,
    )
    return 0
