"""The parallel algorithms by name."""

from collections.abc import Callable

from asrtool.errors import AsrtoolError
from asrtool.parallel.asgd import Asgd
from asrtool.parallel.bmuf import Bmuf, ModelAveraging
from asrtool.parallel.bsp import Bsp
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.easgd_asynchronous import AsynchronousEasgd
from asrtool.parallel.easgd_synchronous import SynchronousEasgd
from asrtool.parallel.protocol import ParallelAlgorithm
from asrtool.parallel.single import Single


def _make_easgd(config: ParallelConfig) -> ParallelAlgorithm:
    return SynchronousEasgd(config) if config.synchronous else AsynchronousEasgd(config)


ALGORITHMS: dict[str, Callable[[ParallelConfig], ParallelAlgorithm]] = {
    "single": Single,
    "model_averaging": ModelAveraging,
    "bmuf": Bmuf,
    "bsp": Bsp,
    "asgd": Asgd,
    "easgd": _make_easgd,
}


def make_algorithm(config: ParallelConfig) -> ParallelAlgorithm:
    """The algorithm that `config.algorithm` names, not yet attached to a model.

    Raises:
        AsrtoolError: no algorithm of that name.
    """
    if config.algorithm not in ALGORITHMS:
        raise AsrtoolError(f"algorithm '{config.algorithm}' is unknown; known: {', '.join(ALGORITHMS)}")
    return ALGORITHMS[config.algorithm](config)


def needs_servers(config: ParallelConfig) -> bool:
    """Whether the workers ask each other for parts of the model whenever they like: `Comm.serve` and `Comm.request`."""
    return config.algorithm == "asgd" or (config.algorithm == "easgd" and not config.synchronous)
