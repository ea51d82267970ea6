"""Threads of the commands whose own threads do the work."""

import os


def one_blas_thread() -> None:
    """Our threads do the work, BLAS must not start its own; has an effect only before numpy is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
