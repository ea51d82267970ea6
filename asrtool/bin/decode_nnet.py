"""Decode a data directory with one network or several: lattices or the best word sequences."""

from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.bin._decode_options import add_decode_options, language_models, search_options
from asrtool.bin._threads import one_blas_thread
from asrtool.errors import AsrtoolError

EXAMPLE = (
    "asrtool decode-nnet --transition-model exp/tri1/final.mdl exp/tri1/graph data/test exp/lstm/final_ema.pt exp/lstm/decode"
)


def main(arguments: list[str]) -> int:
    options = parser("decode-nnet", __doc__, EXAMPLE)
    options.add_argument("graph_dir", type=existing_path)
    options.add_argument("data_dir", type=existing_path)
    options.add_argument("models", nargs="+", help="pairs: model file, decoding directory; the graph is loaded once")
    options.add_argument("--transition-model", type=existing_path, required=True, help="final.mdl of the alignments")
    add_decode_options(options, acoustic_scale=0.1)
    args = options.parse_args(arguments)
    if len(args.models) % 2:
        raise AsrtoolError("give pairs of model file and decoding directory")
    one_blas_thread()

    import torch

    from asrtool.decoder.decode_data import decode_data, fingerprint, is_done
    from asrtool.decoder.graph_dir import load_graph
    from asrtool.decoder.make_decoder import make_decoder
    from asrtool.decoder.network import BATCH_SIZE, load_network, network_scorer
    from asrtool.hmm.transition_model import TransitionModel

    torch.set_num_threads(1)  # our threads do the work
    search, lms = search_options(args), language_models(args)
    inputs = [args.graph_dir / "HCLG.fst", args.data_dir / "feats.scp", args.transition_model, *lms]
    kind = args.lattice, args.determinize_lattice
    made_from = {model: fingerprint([model, *inputs], search, *kind) for model in args.models[::2]}
    pairs = list(zip(args.models[::2], map(Path, args.models[1::2])))
    todo = [(model, out_dir) for model, out_dir in pairs if not is_done(out_dir, made_from[model])]
    if not todo:
        return 0
    transition_model = TransitionModel.read_file(args.transition_model)
    graph, words = load_graph(args.graph_dir, transition_model)
    decoder = make_decoder(graph, words, search, lms)
    for model, out_dir in todo:
        bundle = load_network(model, transition_model.num_pdfs, args.transition_model)
        pipeline = bundle.pipeline(args.data_dir)
        scorer, utterances, record = network_scorer(bundle, pipeline), pipeline.utterances(), made_from[model]
        limits = (args.nj, args.lattice, args.max_failed, BATCH_SIZE, args.determinize_lattice)
        decode_data(decoder, scorer, utterances, words, out_dir, record, *limits)
    return 0
