"""What the verbs that train by virtual workers share: their arguments."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from asrtool.arguments import boolean

if TYPE_CHECKING:
    from asrtool.train.simulate import Simulation


def add_simulation_options(options: ArgumentParser) -> None:
    """The number of workers, and the machines that they would have."""
    options.add_argument("--num-workers", type=int, required=True, help="N")
    options.add_argument("--workers-per-host", type=int, default=1, help="workers that share a host and its link (default 1)")
    options.add_argument("--link-mbit", type=float, default=1000.0, help="a host's link, Mbit/s each way (default 1000)")
    options.add_argument("--latency-ms", type=float, default=0.1, help="of a message between hosts (default 0.1)")
    options.add_argument("--inner-mbit", type=float, default=40000.0, help="between workers of one host (default 40000)")
    options.add_argument("--inner-latency-ms", type=float, default=0.02, help="of a message within a host (default 0.02)")
    options.add_argument("--seconds-per-frame", type=float, help="of a worker; default: measured on some minibatches first")
    options.add_argument("--spread", type=float, default=0.0, help="each worker's rate differs by a factor exp(SPREAD * normal)")
    options.add_argument("--jitter", type=float, default=0.0, help="the same for each minibatch anew")
    options.add_argument("--time-seed", type=int, default=1, help="of --spread and --jitter (default 1)")
    options.add_argument("--use-gpu", type=boolean, help="true|false: train on the current GPU (default: if there is one)")


def read_simulation(given: Namespace) -> "Simulation":
    """What was given; imports torch."""
    from asrtool.train.simulate import Simulation

    return Simulation(
        num_workers=given.num_workers,
        workers_per_host=given.workers_per_host,
        link_mbit=given.link_mbit,
        latency_ms=given.latency_ms,
        inner_mbit=given.inner_mbit,
        inner_latency_ms=given.inner_latency_ms,
        seconds_per_frame=given.seconds_per_frame,
        spread=given.spread,
        jitter=given.jitter,
        seed=given.time_seed,
        use_gpu=given.use_gpu,
    )
