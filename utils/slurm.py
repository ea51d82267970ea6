#!/usr/bin/env python3
"""Runs a command, or one copy a job, through Slurm, with a log for each (the contract of Kaldi's slurm.pl).

    slurm.py [options] [JOB=1:4] exp/log/step.JOB.log command --option JOB ...

Options: --max-jobs-run N, --mem 4G, --num-threads N, --gpu N, --time H:MM:SS, --partition NAME. The jobs are one
`sbatch --wait --array`; the script that was submitted stays beside the logs. The exit status is 1 if any job failed.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run

OPTIONS = {"--mem": "--mem", "--num-threads": "--cpus-per-task", "--time": "--time", "--partition": "--partition"}


def script(options: dict[str, str], variable: str, first: int, last: int, log: str, command: str) -> str:
    """The text of the batch script; one array task a job."""
    limit = f"%{options['--max-jobs-run']}" if "--max-jobs-run" in options else ""
    lines = ["#!/usr/bin/env bash", f"#SBATCH --array={first}-{last}{limit}", "#SBATCH --output=/dev/null"]
    lines += [f"#SBATCH {slurm}={options[ours]}" for ours, slurm in OPTIONS.items() if ours in options]
    if options.get("--gpu", "0") != "0":
        lines.append(f"#SBATCH --gres=gpu:{options['--gpu']}")
    task = "${SLURM_ARRAY_TASK_ID}"
    shown, log_name = (command.replace(variable, task), log.replace(variable, task)) if variable else (command, log)
    lines += [
        f'cd "{os.getcwd()}" || exit 1',
        f'exec >"{log_name}" 2>&1',
        f"cat <<EOF\n# {shown}\n# Started at $(date)\n#\nEOF",
        "start=$SECONDS",
        f"( set -o pipefail; {shown} )",
        "code=$?",
        'echo "# Accounting: time=$((SECONDS - start)) threads=1"',
        'echo "# Ended (code $code) at $(date)"',
        "exit $code",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    run.IGNORED |= {"--partition"}
    options, variable, first, last, log, words = run.parse(sys.argv[1:])
    os.makedirs(os.path.dirname(log) or ".", exist_ok=True)
    batch = (log.replace(variable, "batch") if variable else log) + ".sh"
    with open(batch, "w", encoding="utf-8") as file:
        file.write(script(options, variable, first, last, log, run.shell_line(words)))
    try:
        code = subprocess.run(["sbatch", "--wait", "--quiet", batch], stdin=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        sys.exit("slurm.py: ERROR: sbatch not found: run this on a Slurm login node, or set train_cmd=utils/run.py in cmd.sh")
    if code:
        print(f"slurm.py: jobs failed (sbatch says {code}), log is in {log}", file=sys.stderr)
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
