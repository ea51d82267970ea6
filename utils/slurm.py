#!/usr/bin/env python3
"""Runs a command, or one copy a job, through Slurm, with a log for each (the contract of Kaldi's slurm.pl).

    slurm.py [options] [JOB=1:4] exp/log/step.JOB.log command --option JOB ...
    slurm.py --num-hosts H [options] exp/log/train.log command ...

Options: --max-jobs-run N, --mem 4G, --num-threads N, --gpu N (of each host), --time H:MM:SS, --partition NAME, --account NAME,
--num-hosts H or MIN:MAX, --port P (for the hosts to meet, default 29400). The jobs are one `sbatch --wait --array`; the script
that was submitted stays beside the logs. The exit status is 1 if any job failed.

With --num-hosts it is one job: the command runs once on each host at the same time (srun), with ASRTOOL_RENDEZVOUS, the first
host and a port, ASRTOOL_NUM_HOSTS and ASRTOOL_HOST_RANK in its environment: utils/torchrun.py takes these. SIGTERM, which Slurm
sends three minutes before the time is up or when the job has to make way for another, is passed on to it. A command that ends
with status 143 has saved what it needs to go on: the job is requeued, and its log goes on.
"""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run

OPTIONS = {
    "--mem": "--mem",
    "--num-threads": "--cpus-per-task",
    "--time": "--time",
    "--partition": "--partition",
    "--account": "--account",
}

TOGETHER = """\
export ASRTOOL_NUM_HOSTS=$SLURM_JOB_NUM_NODES
ASRTOOL_RENDEZVOUS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):@port@
export ASRTOOL_RENDEZVOUS
srun --ntasks-per-node=1 --kill-on-bad-exit=0 bash "@step@" &
step=$!
trap 'kill -TERM $step 2>/dev/null' TERM
wait $step
while kill -0 $step 2>/dev/null; do wait $step; done  # a signal ends the first wait
wait $step; code=$?
"""
"""What the batch script does with the command, which is in a script of its own: each host's task fills in its rank."""
REQUEUE = """if [ "$code" = 143 ] && [ ! -f "@stop@" ]; then scontrol requeue "$SLURM_JOB_ID" && sleep 60; fi
"""
"""Slurm ends the script meanwhile. The file is there when it was slurm.py itself that was told to stop."""


def header(options: dict[str, str]) -> list[str]:
    """The lines that tell Slurm what the job needs."""
    lines = ["#!/usr/bin/env bash", "#SBATCH --output=/dev/null"]
    lines += [f"#SBATCH {slurm}={options[ours]}" for ours, slurm in OPTIONS.items() if ours in options]
    if options.get("--gpu", "0") != "0":
        lines.append(f"#SBATCH --gres=gpu:{options['--gpu']}")
    return lines


def script(options: dict[str, str], variable: str, first: int, last: int, log: str, command: str) -> str:
    """The text of the batch script; one array task a job."""
    limit = f"%{options['--max-jobs-run']}" if "--max-jobs-run" in options else ""
    task = "${SLURM_ARRAY_TASK_ID}"
    shown, log_name = (command.replace(variable, task), log.replace(variable, task)) if variable else (command, log)
    lines = [*header(options), f"#SBATCH --array={first}-{last}{limit}"]
    return "\n".join([*lines, *logged(shown, log_name, f"( set -o pipefail; {shown} )\ncode=$?")]) + "\n"


def script_for_hosts(options: dict[str, str], log: str, command: str, base: str) -> str:
    """The text of the batch script of one job on several hosts; the command is in `base`.step.sh."""
    lines = header(options)
    lines += [f"#SBATCH --nodes={options['--num-hosts'].replace(':', '-')}", "#SBATCH --ntasks-per-node=1"]
    lines += ["#SBATCH --requeue", "#SBATCH --signal=B:TERM@180"]
    base = os.path.abspath(base)
    work = TOGETHER.replace("@port@", options.get("--port", "29400")).replace("@step@", f"{base}.step.sh")
    *before, last = logged(command, log, work.rstrip())
    return "\n".join([*lines, *before, REQUEUE.replace("@stop@", f"{base}.stop").rstrip(), last]) + "\n"


def logged(command: str, log: str, work: str) -> list[str]:
    """Lines that do `work`, which sets `code`, with the command and the times in the log; a requeued job adds to its log."""
    return [
        f'cd "{os.getcwd()}" || exit 1',
        f'if [ "${{SLURM_RESTART_COUNT:-0}}" = 0 ]; then exec >"{log}" 2>&1; else exec >>"{log}" 2>&1; fi',
        f"cat <<EOF\n# {command}\n# Started at $(date)\n#\nEOF",
        "start=$SECONDS",
        work,
        'echo "# Accounting: time=$((SECONDS - start)) threads=1"',
        'echo "# Ended (code $code) at $(date)"',
        "exit $code",
    ]


def write_scripts(options: dict[str, str], variable: str, first: int, last: int, log: str, command: str, base: str) -> None:
    """Writes what is submitted: `base`.sh, and for several hosts `base`.step.sh."""
    text = script(options, variable, first, last, log, command)
    if "--num-hosts" in options:
        with open(f"{base}.step.sh", "w", encoding="utf-8") as file:
            file.write(f"export ASRTOOL_HOST_RANK=${{SLURM_NODEID:-0}}\n{command}\n")
        text = script_for_hosts(options, log, command, base)
    with open(f"{base}.sh", "w", encoding="utf-8") as file:
        file.write(text)


def submit(base: str, several_hosts: bool) -> int:
    """Submits `base`.sh and waits; a signal to this process ends the job, that on several hosts after it has saved."""
    if os.path.exists(f"{base}.stop"):
        os.unlink(f"{base}.stop")
    command = ["sbatch", "--parsable", "--wait", f"{base}.sh"]
    sbatch = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    told = []

    def stop(number: int, _frame: object) -> None:
        told.append(number)
        if several_hosts:
            open(f"{base}.stop", "w").close()
        if job:
            subprocess.run(["scancel", *(["--signal=TERM", "--batch"] if several_hosts else []), job])

    job = ""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    job = sbatch.stdout.readline().decode().strip().partition(";")[0]
    if told:  # before there was a job to end
        stop(told[0], None)
    code = sbatch.wait()
    return 128 + told[0] if told and code else code


def main() -> int:
    run.IGNORED |= {"--partition", "--account", "--num-hosts", "--port"}
    options, variable, first, last, log, words = run.parse(sys.argv[1:])
    if "--num-hosts" in options and variable:
        sys.exit(f"slurm.py: --num-hosts makes one job of several hosts, it does not go with {variable}={first}:{last}")
    os.makedirs(os.path.dirname(log) or ".", exist_ok=True)
    base = log.replace(variable, "batch") if variable else log
    write_scripts(options, variable, first, last, log, run.shell_line(words), base)
    try:
        code = submit(base, "--num-hosts" in options)
    except FileNotFoundError:
        sys.exit("slurm.py: ERROR: sbatch not found: run this on a Slurm login node, or set train_cmd=utils/run.py in cmd.sh")
    if code:
        print(f"slurm.py: jobs failed (sbatch says {code}), log is in {log}", file=sys.stderr)
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
