"""Where the arithmetic of GMMs happens: numba on the CPU, or torch on a GPU. A program chooses once and hands its choice on.

What is summed over all frames is behind this: log-likelihoods, and the statistics of EM, fMLLR and MLLT. Estimates from
statistics, trees and Viterbi alignment are the CPU's.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from asrtool.errors import AsrtoolError

USE_GPU = {"auto": "auto", "yes": "yes", "no": "no", "optional": "auto", "true": "yes", "false": "no"}
OUTER_ROWS = 2048  # of products that are made at a time on the CPU


class Backend(Protocol):
    """The functions take and give numpy arrays, and may be called in several threads.

    Attributes:
        name: stands for the rounding: results of backends of one name are the same to the last bit.
        one_at_a_time: calls from several threads take turns, so that one call with all the work is better than many.
    """

    name: str
    one_at_a_time: bool

    def pdf_loglikes(
        self, frames: Sequence[np.ndarray], parameters: np.ndarray, pdf_begin: np.ndarray, pdf_ids: Sequence[np.ndarray]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(its number, float32 [K, T]) of each utterance, in any order: natural-log likelihoods of its frames for its pdfs.

        Args:
            frames: float32 [T, D] of each utterance; pdf_ids: int32 [K] of each.
            parameters: float32 [G, 1 + 2D], see AmDiagGmm.parameters; pdf_begin: int64 [P + 1].
        """
        ...

    def accumulate(
        self, features, frame_order, task_frames, task_gaussians, task_out, parameters, first_task, end_task, stats, loglikes
    ) -> None:
        """As `gmm_kernels.accumulate`; the tasks of a call write rows of `stats` of their own."""
        ...

    def accumulate_fmllr(
        self, features, frame_begin, pdf, weight, pdf_begin, parameters, targets, k, g
    ) -> tuple[float, float]:  # fmt: skip
        """As `fmllr_kernels.accumulate_fmllr`."""
        ...

    def add_outer_products(self, sums: np.ndarray, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        """Adds sum over rows n of weights[n, i] x[n, j] x[n, k], for j <= k, to `sums` float64 [I, J (J + 1) / 2].

        Args:
            parts: (weights float32 [N, I], x float32 [N, J]), pieces of the rows.
        """
        ...


class CpuBackend:
    """The kernels in numba; the callers' threads do the work."""

    name = "cpu"
    one_at_a_time = False

    def pdf_loglikes(self, frames, parameters, pdf_begin, pdf_ids):
        """One utterance after the other, each when it is asked for."""
        from asrtool.gmm.gmm_kernels import pdf_loglikes

        for index, (frames_TD, pdfs) in enumerate(zip(frames, pdf_ids, strict=True)):
            loglikes = np.empty((len(pdfs), len(frames_TD)), dtype=np.float32)
            pdf_loglikes(np.require(frames_TD, np.float32, ["C", "W"]), parameters, pdf_begin, pdfs, loglikes)
            yield index, loglikes

    def accumulate(
        self, features, frame_order, task_frames, task_gaussians, task_out, parameters, first_task, end_task, stats, loglikes
    ):
        from asrtool.gmm.gmm_kernels import accumulate

        accumulate(
            features, frame_order, task_frames, task_gaussians, task_out, parameters, first_task, end_task, stats, loglikes
        )  # fmt: skip

    def accumulate_fmllr(self, features, frame_begin, pdf, weight, pdf_begin, parameters, targets, k, g):
        from asrtool.gmm.fmllr_kernels import accumulate_fmllr

        return accumulate_fmllr(features, frame_begin, pdf, weight, pdf_begin, parameters, targets, k, g)

    def add_outer_products(self, sums, parts):
        for weights, rows in parts:
            one, two = np.triu_indices(rows.shape[1])
            for start in range(0, len(rows), OUTER_ROWS):
                part = slice(start, start + OUTER_ROWS)
                sums += weights[part].T @ (rows[part][:, one] * rows[part][:, two])


CPU: Backend = CpuBackend()


def choose_backend(use_gpu: str) -> Backend:
    """
    Args:
        use_gpu: "yes", "no", or "auto": the GPU where there is one that can be used.

    Raises:
        AsrtoolError: another word; "yes", and no GPU can be used.
    """
    if use_gpu not in USE_GPU:
        raise AsrtoolError(f"--use-gpu '{use_gpu}': expected auto, yes or no")
    wish = USE_GPU[use_gpu]
    if wish == "no" or (wish == "auto" and not gpu_in_sight()):
        return CPU
    from asrtool.gmm.torch_backend import TorchBackend, why_no_gpu

    reason = why_no_gpu()
    if not reason:
        return TorchBackend("cuda")
    if wish == "yes":
        raise AsrtoolError(f"--use-gpu yes: {reason}; --use-gpu no computes on the CPU")
    print(f"WARNING: {reason}: GMMs are computed on the CPU", file=sys.stderr)
    return CPU


def gpu_in_sight(devices: Path = Path("/dev")) -> bool:
    """Whether it is worth the seconds that torch takes to start: there is an NVIDIA device, and it is not hidden."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any((devices / name).exists() for name in ("nvidiactl", "nvidia0", "dxg"))
