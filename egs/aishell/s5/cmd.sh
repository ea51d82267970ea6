# shellcheck shell=bash
# How jobs are run: utils/run.py on this machine, utils/slurm.py on a Slurm cluster
# (for example train_cmd="utils/slurm.py --partition cpu --mem 4G"). Networks can be trained on several hosts of the cluster:
# steps/nnet/train.sh --cmd "utils/slurm.py --partition gpu --gpu 4 --num-threads 16" --num-hosts 2 --num-workers 4 ...
export train_cmd="utils/run.py"
export decode_cmd="utils/run.py"
