"""Give a model other pdf priors: its mean posterior over data, or the counts of a Kaldi file."""

import sys
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.bin._threads import one_blas_thread
from asrtool.errors import AsrtoolError

EXAMPLE = """asrtool adjust-priors exp/lstm/final_ema.pt data/fbank/train exp/lstm/final_ema_post.pt
      asrtool adjust-priors exp/dnn/final.pt exp/tri_ali/ali_train_pdf.counts exp/dnn/final_counts.pt"""


def main(arguments: list[str]) -> int:
    options = parser("adjust-priors", __doc__, EXAMPLE)
    options.add_argument(
        "--max-frames", type=int, default=1_000_000, help="of the data, in whole utterances; 0: all (default 1M)"
    )
    options.add_argument("--prior-floor", type=float, default=1e-10, help="pdfs below it are never on a path (default 1e-10)")
    options.add_argument("--write-counts", type=Path, help="also write the prior as a Kaldi text vector (--class-frame-counts)")
    options.add_argument("model", type=existing_path)
    options.add_argument("source", type=existing_path, help="data directory, or a file like ali_train_pdf.counts, prior_counts")
    options.add_argument("out_model", type=Path)
    given = options.parse_args(arguments)
    if given.max_frames < 0:
        raise AsrtoolError("--max-frames must be at least 0")
    one_blas_thread()

    from asrtool.nnet.log_prior import divergence, log_prior, read_counts, write_counts
    from asrtool.nnet.model_file import load_model, save_model

    bundle = load_model(given.model)
    if given.source.is_dir():
        counts, source = posteriors(bundle, given.source, given.max_frames)
    else:
        counts, source = read_counts(given.source, bundle.model.num_pdfs), str(given.source)
    before, bundle.log_prior_P = bundle.log_prior_P, log_prior(counts, given.prior_floor, smoothing=0)
    bundle.info = {**bundle.info, "prior": source}
    save_model(given.out_model, bundle)
    if given.write_counts:
        write_counts(given.write_counts, bundle.log_prior_P)
    distance = divergence(bundle.log_prior_P, before)
    print(f"{given.out_model}: prior from {source}; divergence from the one before: {distance:.4f} nats", file=sys.stderr)
    return 0


def posteriors(bundle, data_dir: Path, max_frames: int):
    """Sums of posteriors over utterances in an order that does not follow speakers, and what to call them."""
    import numpy as np

    from asrtool.nnet.forward import posterior_counts

    pipeline = bundle.pipeline(data_dir)
    names = sorted(pipeline.utterances())
    order = np.random.default_rng(0).permutation(len(names))
    lengths = np.cumsum([pipeline.num_frames(names[index]) for index in order])
    number = len(order) if max_frames == 0 else 1 + int(np.searchsorted(lengths, max_frames))
    counts, num_frames = posterior_counts(bundle, (pipeline(names[index]) for index in order[:number]))
    if num_frames == 0:
        raise AsrtoolError(f"{data_dir}: no frames")
    return counts, f"posteriors over {num_frames} frames of {data_dir}"
