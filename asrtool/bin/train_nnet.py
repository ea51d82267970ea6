"""Train a network on frame alignments by cross-entropy; run under torchrun for several workers."""

from pathlib import Path

from asrtool.arguments import existing_path, parser

SIGTERM_STATUS = 143


def main(arguments: list[str]) -> int:
    options = parser(
        "train-nnet", __doc__, "asrtool train-nnet --config conf/lstm.yaml exp/tri_ali data/train data/valid exp/lstm"
    )
    options.add_argument("--config", type=existing_path, required=True, help="settings, YAML; see asrtool/train/config.py")
    options.add_argument("--valid-alignments", type=existing_path, help="alignments of VALID_DATA (default: those in ALI_DIR)")
    options.add_argument("ali_dir", type=existing_path, help="directory with ali.*.gz and final.mdl")
    options.add_argument("train_data", type=existing_path)
    options.add_argument("valid_data", type=existing_path)
    options.add_argument("exp_dir", type=Path, help="metrics.jsonl, models/, final_*.pt appear here")
    options.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that replace those of the file, a.b=value")
    given = options.parse_args(arguments)

    from asrtool.io.config import load_config
    from asrtool.train.config import TrainConfig
    from asrtool.train.run import TrainPaths, train_network
    from asrtool.train.stop import Stopped

    config = load_config(TrainConfig, given.config, given.overrides)
    paths = TrainPaths(given.ali_dir, given.train_data, given.valid_data, given.exp_dir, given.valid_alignments)
    try:
        train_network(config, paths)
    except Stopped:
        print(f"{given.exp_dir}: stopped on request; the same command goes on from here")
        return SIGTERM_STATUS
    return 0
