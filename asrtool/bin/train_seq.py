"""Train a network further by a sequence criterion (MMI, sMBR, MPE, MPFE); run under torchrun for several workers."""

from asrtool.arguments import parser
from asrtool.bin._sequence_options import add_sequence_options, read_settings
from asrtool.bin._train_options import until_stopped

EXAMPLE = (
    "asrtool train-seq --config conf/smbr.yaml --init exp/lstm/final_ema.pt --lang data/lang --graph exp/tri_ali/graph_2gram "
    "--dev-data data/dev --dev-graph exp/tri/graph exp/tri_ali data/train data/valid exp/lstm_smbr"
)


def main(arguments: list[str]) -> int:
    options = parser("train-seq", __doc__, EXAMPLE)
    add_sequence_options(options)
    given = options.parse_args(arguments)

    from asrtool.train.sequence_run import train_sequence

    config, paths = read_settings(given)
    return until_stopped(given.exp_dir, lambda: train_sequence(config, paths))
