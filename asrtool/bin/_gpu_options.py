"""The option of the verbs that compute GMMs."""

import argparse


def add_gpu_option(options: argparse.ArgumentParser) -> None:
    options.add_argument("--use-gpu", default="auto", help="yes, no, or auto (default): the GPU where there is one")
