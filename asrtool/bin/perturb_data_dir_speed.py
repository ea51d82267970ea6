"""Write a data directory whose recordings are read FACTOR times as fast (tempo and pitch); no audio is written."""

from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.data.perturb import perturb_speed


def main(arguments: list[str]) -> int:
    options = parser("perturb-data-dir-speed", __doc__, "asrtool perturb-data-dir-speed 0.9 data/train data/train_sp0.9")
    options.add_argument("factor", help="0.9 is slower and longer, 1.1 faster and shorter")
    options.add_argument("source", type=Path, help="with wav.scp")
    options.add_argument("destination", type=Path)
    options.add_argument(
        "--include-spk-prefix", type=boolean, default=True, help="speakers are other ones too, sp0.9-NAME (default: true)"
    )
    args = options.parse_args(arguments)
    number = perturb_speed(args.source, args.destination, args.factor, args.include_spk_prefix)
    print(f"{args.destination}: {number} utterances at speed {args.factor}")
    return 0
