"""Make a model file from a Kaldi nnet1 network or experiment directory (DNN, LSTM, LSTMP)."""

from argparse import Namespace
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    example = "asrtool import-nnet1 --label-delay 5 kaldi/exp/lstm4f exp/lstm4f/final.pt"
    options = parser("import-nnet1", __doc__, example)
    options.add_argument("--feature-transform", type=existing_path, help="default: the directory's final.feature_transform")
    options.add_argument("--prior-counts", type=existing_path, help="default: the directory's prior_counts, ali_train_pdf.counts")
    options.add_argument("--cmvn-opts", help="of apply-cmvn (default: the directory's cmvn_opts; without: no CMVN)")
    options.add_argument("--delta-opts", help="of add-deltas (default: the directory's delta_opts; without: no differences)")
    options.add_argument("--label-delay", type=int, default=0, help="training's --targets-delay, 5 in Kaldi's LSTM recipe")
    options.add_argument("--stride", type=int, default=1, help="frames from one window to the next one, where they are skipped")
    options.add_argument("nnet", type=existing_path, help="final.nnet, or a directory with it")
    options.add_argument("out_model", type=Path)
    given = options.parse_args(arguments)
    if given.label_delay < 0 or given.stride < 1:
        raise AsrtoolError("--label-delay must be at least 0, --stride at least 1")

    from asrtool.nnet.log_prior import log_prior, read_counts
    from asrtool.nnet.model_file import save_model
    from asrtool.nnet.nnet1 import read_nnet
    from asrtool.nnet.nnet1_import import import_nnet1

    network, transform, counts = find_files(given)
    components = [*(read_nnet(transform) if transform else []), *read_nnet(network)]
    prior = log_prior(read_counts(counts, components[-1].output_dim), smoothing=0) if counts else None
    bundle = import_nnet1(components, features(given), prior, given.stride, given.label_delay)
    save_model(given.out_model, bundle)
    print(f"{given.out_model}: {bundle.settings}; prior: {counts or 'the same for all pdfs; --prior-counts gives another'}")
    return 0


def find_files(given: Namespace) -> tuple[Path, Path | None, Path | None]:
    """Network, feature transform, counts: those given, else those of the directory."""
    if not given.nnet.is_dir():
        return given.nnet, given.feature_transform, given.prior_counts
    found = [path for name in ("prior_counts", "ali_train_pdf.counts") if (path := given.nnet / name).is_file()]
    transform = given.nnet / "final.feature_transform"
    return (
        given.nnet / "final.nnet",
        given.feature_transform or (transform if transform.is_file() else None),
        given.prior_counts or next(iter(found), None),
    )


def features(given: Namespace):
    """FeatureOptions from the options or the directory's files."""
    from asrtool.feat.pipeline import FeatureOptions
    from asrtool.gmm.feature_options import parse_feature_options

    texts = {"cmvn_opts": given.cmvn_opts, "delta_opts": given.delta_opts}
    for name, text in texts.items():
        if text is None and given.nnet.is_dir() and (given.nnet / name).is_file():
            texts[name] = (given.nnet / name).read_text()
    parsed = parse_feature_options(**{name: text or "" for name, text in texts.items()})
    cmvn = parsed.cmvn if (texts["cmvn_opts"] or "").strip() else "none"
    order = parsed.delta_order if (texts["delta_opts"] or "").strip() else 0
    return FeatureOptions(cmvn=cmvn, norm_vars=parsed.norm_vars, delta_order=order, delta_window=parsed.delta_window)
