"""Give each recording of a data directory a random volume (file reco2vol), used when its features are made."""

from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.data.perturb import perturb_volume, read_volumes, write_volumes


def main(arguments: list[str]) -> int:
    options = parser("perturb-data-dir-volume", __doc__, "asrtool perturb-data-dir-volume data/train_sp")
    options.add_argument("data_dir", type=Path, help="changed in place; its features go to .backup")
    options.add_argument("--scale-low", type=float, default=0.125, help="lowest factor (default: %(default)s)")
    options.add_argument("--scale-high", type=float, default=2.0, help="highest factor (default: %(default)s)")
    options.add_argument("--seed", type=int, default=0, help="of the factors (default: %(default)s)")
    options.add_argument("--reco2vol", type=existing_path, help="take the factors from this file, 'recording factor' lines")
    options.add_argument("--write-reco2vol", type=Path, help="write them to this file too")
    args = options.parse_args(arguments)
    given = read_volumes(args.reco2vol) if args.reco2vol else None
    volumes = perturb_volume(args.data_dir, args.scale_low, args.scale_high, args.seed, given)
    if volumes is None:
        print(f"{args.data_dir}: has volumes already (reco2vol, or sox --vol in wav.scp); nothing is done")
        return 0
    if args.write_reco2vol:
        write_volumes(args.write_reco2vol, volumes)
    print(
        f"{args.data_dir}/reco2vol: {len(volumes)} recordings, factors {min(volumes.values()):.3f} to {max(volumes.values()):.3f}"
    )
    return 0
