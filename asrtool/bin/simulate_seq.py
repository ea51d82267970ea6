"""Train further by a sequence criterion with N virtual workers in one process, and model the time that N real ones would take."""

import os

from asrtool.arguments import parser
from asrtool.bin._sequence_options import add_sequence_options, read_settings
from asrtool.bin._simulation_options import add_simulation_options, read_simulation
from asrtool.bin._train_options import until_stopped

EXAMPLE = (
    "asrtool simulate-seq --num-workers 16 --config conf/smbr.yaml --init exp/lstm/final_ema.pt --lang data/lang "
    "--graph exp/tri_ali/graph_2gram exp/tri_ali data/train data/valid exp/lstm_smbr_n16"
)


def main(arguments: list[str]) -> int:
    options = parser("simulate-seq", __doc__, EXAMPLE)
    add_simulation_options(options)
    add_sequence_options(options)
    given = options.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one virtual worker has one thread

    from asrtool.train.sequence_run import simulate_sequence

    config, paths = read_settings(given)
    simulation = read_simulation(given)
    return until_stopped(given.exp_dir, lambda: simulate_sequence(config, paths, simulation))
