# shellcheck shell=bash
# How jobs are run: utils/run.py on this machine, utils/slurm.py on a Slurm cluster
# (for example train_cmd="utils/slurm.py --partition cpu --mem 4G").
export train_cmd="utils/run.py"
export decode_cmd="utils/run.py"
