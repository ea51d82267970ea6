"""Advise on parallel training: block momentum, sync period, efficiency, bytes and memory from model, speed and link."""

from asrtool.arguments import parser

EXAMPLE = "asrtool plan-parallel --params 13e6 --frames-per-s 5000 --link 1gbit --num-workers 8 --workers-per-host 4"


def main(arguments: list[str]) -> int:
    options = parser("plan-parallel", __doc__, EXAMPLE)
    options.add_argument("--params", type=float, required=True, help="parameters of the model, e.g. 13e6")
    options.add_argument("--frames-per-s", type=float, required=True, help="10 ms frames that one worker trains in a second")
    options.add_argument("--link", required=True, help="between hosts, each way: 1gbit, 100mbit, ...")
    options.add_argument("--latency-ms", type=float, default=0.1, help="of a message between hosts (default 0.1)")
    options.add_argument("--inner-link", default="40gbit", help="between workers of one host (default 40gbit)")
    options.add_argument("--num-workers", type=int, default=8, help="N (default 8)")
    options.add_argument("--workers-per-host", type=int, default=1, help="workers that share a host and its link (default 1)")
    options.add_argument("--total-frames", type=float, help="of the whole training: epochs x frames; warns when they are too few")
    options.add_argument("--averages", type=int, default=2, help="MA and EMAs that are kept (default 2)")
    options.add_argument("--exchange-dtype", choices=("float32", "bfloat16"), default="float32")
    options.add_argument("--update-ns", type=float, default=5.0, help="a sync's sum and update of a parameter (default 5)")
    options.add_argument("--share", type=float, default=0.05, help="of the time that exchanging may take (default 0.05)")
    given = options.parse_args(arguments)

    from asrtool.errors import AsrtoolError
    from asrtool.parallel.planning import Situation, describe, parse_link
    from asrtool.parallel.simulation.simulated_time import Link, SimulatedTime

    if given.num_workers < 1:
        raise AsrtoolError(f"--num-workers must be at least 1, not {given.num_workers}")
    try:
        times = SimulatedTime(
            link=Link(parse_link(given.link), given.latency_ms / 1e3),
            inner=Link(parse_link(given.inner_link), 2e-5),
            update_s_per_element=given.update_ns * 1e-9,
        )
    except ValueError as error:
        raise AsrtoolError(str(error)) from None
    situation = Situation(
        num_parameters=round(given.params),
        frames_per_s=given.frames_per_s,
        times=times,
        workers_per_host=given.workers_per_host,
        num_averages=given.averages,
        element_bytes=2 if given.exchange_dtype == "bfloat16" else 4,
        share=given.share,
    )
    print(describe(situation, given.num_workers, given.total_frames))
    return 0
