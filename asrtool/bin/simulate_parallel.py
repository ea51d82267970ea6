"""Train a network by N virtual workers in one process, exactly, and model the time that N real ones would take."""

import os

from asrtool.arguments import parser
from asrtool.bin._simulation_options import add_simulation_options, read_simulation
from asrtool.bin._train_options import add_train_options, run_training

EXAMPLE = "asrtool simulate-parallel --num-workers 16 --config conf/lstm.yaml exp/tri_ali data/train data/valid exp/lstm_n16"


def main(arguments: list[str]) -> int:
    options = parser("simulate-parallel", __doc__, EXAMPLE)
    add_simulation_options(options)
    add_train_options(options, "as with train-nnet; simulation.json says what was modelled")
    given = options.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one virtual worker has one thread

    from asrtool.train.simulate import simulate_training

    simulation = read_simulation(given)
    return run_training(given, lambda config, paths: simulate_training(config, paths, simulation))
