"""Write lhotse manifests (recordings, supervisions, cuts, features) of a data directory."""

from pathlib import Path

from asrtool.arguments import parser


def main(arguments: list[str]) -> int:
    options = parser("to-lhotse", __doc__, "asrtool to-lhotse data/train manifests/train")
    options.add_argument("data_dir", type=Path, help="with wav.scp and utt2spk")
    options.add_argument("out_dir", type=Path, help="for recordings, supervisions, cuts and features .jsonl.gz")
    options.add_argument(
        "--rate",
        type=int,
        help="sampling rate in Hz of recordings that commands print; their lengths are then those of reco2dur or utt2dur, "
        "where the default is to run the commands",
    )
    options.add_argument(
        "--feature-type", default="kaldi-fbank", help="name of the features in their manifest (default: %(default)s)"
    )
    options.add_argument(
        "--max-failed", type=float, default=0.0, help="share of recordings and utterances that may be left out (default: 0)"
    )
    args = options.parse_args(arguments)

    from asrtool.data.lhotse_export import export

    counts = export(args.data_dir, args.out_dir, args.rate, args.feature_type, args.max_failed)
    print(f"{args.out_dir}: " + ", ".join(f"{number} {what}" for what, number in counts.items()))
    return 0
