"""Say what a recipe needs: hours of data directories; a table of disk, memory and time; or check the disk before a stage."""

from pathlib import Path

from asrtool.arguments import parser
from asrtool.report.resources import Task, check_disk, data_hours, load_resources, table


def main(arguments: list[str]) -> int:
    options = parser("plan-resources", __doc__, "asrtool plan-resources table --hours 150 --gpus '1 4 8'")
    options.add_argument("--config", type=Path, help="rates of the stages (default: conf/resources.yaml)")
    kinds = options.add_subparsers(dest="kind", required=True)
    hours = kinds.add_parser("hours", help="print the hours of speech of data directories")
    hours.add_argument("data_dir", type=Path, nargs="+")
    check = kinds.add_parser("check", help="fail where a directory has less room than a stage needs")
    check.add_argument("stage", help="a stage of the rates")
    check.add_argument("hours", type=float, help="of speech")
    check.add_argument("dir", type=Path)
    wanted = kinds.add_parser("table", help="print what the stages and the networks need")
    wanted.add_argument("--hours", type=float, required=True, help="of the training set")
    wanted.add_argument("--test-hours", type=float, default=10.0, help="of the test sets (default: %(default)s)")
    wanted.add_argument("--copies", type=int, default=3, help="of the training set, the perturbed ones included (default: 3)")
    wanted.add_argument("--cores", type=int, default=16, help="of the CPU machine (default: %(default)s)")
    wanted.add_argument("--gpus", default="1 4 8", help="numbers of GPUs, in quotes (default: %(default)s)")
    wanted.add_argument("--epochs", type=int, default=4, help="of network training over all copies (default: %(default)s)")
    wanted.add_argument("--frames-per-s", type=float, help="10 ms frames that one GPU trains in a second (default: published)")
    wanted.add_argument("--skip", default="", help="stages that are not wanted, in quotes")
    args = options.parse_args(arguments)
    if args.kind == "hours":
        print(f"{sum(data_hours(path) for path in args.data_dir):.4f}")
        return 0
    resources = load_resources(args.config)
    if args.kind == "check":
        print(check_disk(resources, args.stage, args.hours, args.dir))
        return 0
    try:
        gpus = [int(count) for count in args.gpus.split()]
    except ValueError:
        options.error(f"--gpus '{args.gpus}': expected numbers, in quotes")
    task = Task(args.hours, args.test_hours, args.copies, args.cores, gpus, args.epochs, args.frames_per_s, args.skip.split())
    print(f"Rates measured on {resources.measured_on}\n\n{table(resources, task)}")
    return 0
