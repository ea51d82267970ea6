"""Train a network on frame alignments by cross-entropy; run under torchrun for several workers."""

from asrtool.arguments import parser
from asrtool.bin._train_options import add_train_options, run_training


def main(arguments: list[str]) -> int:
    options = parser(
        "train-nnet", __doc__, "asrtool train-nnet --config conf/lstm.yaml exp/tri_ali data/train data/valid exp/lstm"
    )
    add_train_options(options, "metrics.jsonl, models/, final_*.pt appear here")
    given = options.parse_args(arguments)

    from asrtool.train.run import train_network

    return run_training(given, train_network)
