"""Write a network's log-likelihoods (or posteriors) of a data directory, as Kaldi's latgen-faster-mapped takes them."""

from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.errors import AsrtoolError

KINDS = ("loglikes", "log-posteriors", "posteriors")


def main(arguments: list[str]) -> int:
    options = parser("nnet-forward", __doc__, "asrtool nnet-forward exp/lstm/final_ema.pt data/test loglikes.ark loglikes.scp")
    options.add_argument("--output", choices=KINDS, default=KINDS[0], help="loglikes: log posteriors minus log priors (default)")
    options.add_argument("--batch-size", type=int, default=16, help="utterances in a forward pass (default 16)")
    options.add_argument("--text", type=boolean, default=False, help="text format")
    options.add_argument("model", type=existing_path, help="model file, or experiment directory")
    options.add_argument("data_dir", type=existing_path)
    options.add_argument("ark", help="archive to write: [frames, pdfs] of each utterance, a row a frame")
    options.add_argument("scp", nargs="?", help="its scp file")
    args = options.parse_args(arguments)
    if args.batch_size < 1:
        raise AsrtoolError("--batch-size must be at least 1")

    from itertools import islice

    import numpy as np

    from asrtool.io.kaldi_table import MatrixWriter
    from asrtool.io.progress import progress
    from asrtool.nnet.forward import log_posteriors_batch
    from asrtool.nnet.model_file import load_model
    from asrtool.train.align_nnet import find_model

    bundle = load_model(find_model(args.model))
    pipeline = bundle.pipeline(args.data_dir)
    finish = {"loglikes": lambda x: x - bundle.log_prior_P, "log-posteriors": lambda x: x, "posteriors": np.exp}[args.output]
    Path(args.ark).parent.mkdir(parents=True, exist_ok=True)
    with MatrixWriter(args.ark, args.scp, text=args.text) as writer:
        items = iter(progress(pipeline.items(), len(pipeline.utterances()), "utterances"))
        while batch := list(islice(items, args.batch_size)):
            names, features = map(list, zip(*batch))
            for name, scores in zip(names, log_posteriors_batch(bundle, features, names), strict=True):
                writer.write(name, finish(scores))
    print(f"{args.ark}: {len(writer.offsets)} utterances")
    return 0
