"""Copy features, with CMVN, splicing and differences applied if asked, to an archive."""

from pathlib import Path
from typing import get_args

from asrtool.arguments import boolean, parser
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter
from asrtool.io.progress import progress


def main(arguments: list[str]) -> int:
    options = parser(
        "copy-features", __doc__, "asrtool copy-features --apply-cmvn speaker --add-deltas true data/dev dev.ark dev.scp"
    )
    options.add_argument("source", help="a data directory, or a table: feats.scp, scp:..., ark:...")
    options.add_argument("ark", help="archive to write")
    options.add_argument("scp", nargs="?", help="its scp file")
    options.add_argument("--apply-cmvn", choices=get_args(FeatureOptions.__annotations__["cmvn"]), default="none")
    options.add_argument("--norm-vars", type=boolean, default=False)
    options.add_argument("--add-deltas", type=boolean, default=False)
    options.add_argument("--delta-order", type=int, default=2)
    options.add_argument("--delta-window", type=int, default=2)
    options.add_argument("--splice-left", type=int, default=0)
    options.add_argument("--splice-right", type=int, default=0)
    for name in ("cmn_window", "speaker_frames", "global_frames", "min_cmn_window"):
        options.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(FeatureOptions, name))
    options.add_argument("--speaker-history", type=boolean, default=False, help="online: as apply-cmvn-online --spk2utt")
    options.add_argument("--cmn-center", type=boolean, default=True, help="sliding: the window's middle is the frame")
    options.add_argument("--compression-method", type=int, default=0, help="Kaldi's number; 0 is uncompressed (default)")
    options.add_argument("--text", type=boolean, default=False, help="text format")
    args = options.parse_args(arguments)
    try:
        same_names = {name: getattr(args, name) for name in FeatureOptions.__annotations__ if name in args}
        wanted = FeatureOptions(**same_names | {"cmvn": args.apply_cmvn, "delta_order": args.add_deltas * args.delta_order})
    except ValueError as error:
        raise AsrtoolError(str(error)) from None
    if Path(args.source).is_dir():
        pipeline = FeaturePipeline(args.source, wanted)
        items = progress(pipeline.items(), len(pipeline.utterances()), f"copying {args.source}", end=False)
    elif wanted.output_dim(1) == 1 and wanted.cmvn == "none":
        items = progress(MatrixReader(args.source).items(), None, f"copying {args.source}", end=False)
    else:
        raise AsrtoolError(f"{args.source}: CMVN, splicing and differences need a data directory, this is a table")
    done = 0
    with MatrixWriter(args.ark, args.scp, args.compression_method or None, args.text) as writer:
        for utterance, features in items:
            writer.write(utterance, features)
            done += 1
    print(f"{args.ark}: {done} utterances")
    return 0
