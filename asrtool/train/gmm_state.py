"""Where GMM training stands, on disk after each iteration: a killed run goes on from there with the same results."""

import hashlib
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.gmm.backend import CPU
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.io.atomic_file import atomic_path

STATE_FILE = "state.npz"


@dataclass
class GmmState:
    """
    Attributes:
        iteration: the one that comes next, from 0; model is Kaldi's <iteration>.mdl.
        model, log_probs: GMMs; float32 [num_transition_ids + 1].
        occupancies: float64 [P] of the last update.
        alignment: int32 [frames of the corpus], 0 where not aligned.
        alignment_iteration: the iteration that made it; it has a file of its own, written only then.
        loglikes: of each update so far, a frame.
        backend: the name of the one that computed it.
    """

    iteration: int
    model: AmDiagGmm
    log_probs: np.ndarray
    occupancies: np.ndarray
    alignment: np.ndarray
    alignment_iteration: int
    loglikes: list[float]
    backend: str = CPU.name

    def save(self, directory: Path, fingerprint: str) -> None:
        """Replaces the state in `directory`."""
        alignment_file = directory / _alignment_name(fingerprint, self.alignment_iteration)
        if not alignment_file.is_file():
            with atomic_path(alignment_file) as temporary:
                np.save(temporary, self.alignment)
        with atomic_path(directory / STATE_FILE) as temporary:
            np.savez(
                temporary,
                fingerprint=np.array(fingerprint),
                iteration=self.iteration,
                pdf_begin=self.model.pdf_begin,
                weights=self.model.weights,
                means_invvars=self.model.means_invvars,
                inv_vars=self.model.inv_vars,
                log_probs=self.log_probs,
                occupancies=self.occupancies,
                alignment_iteration=self.alignment_iteration,
                loglikes=np.array(self.loglikes),
                backend=np.array(self.backend),
            )
        for path in directory.glob("alignment.*.npy"):
            if path != alignment_file:
                path.unlink()

    @classmethod
    def load(cls, directory: Path, fingerprint: str) -> "GmmState | None":
        """The state of a run with the same fingerprint; None where there is none."""
        path = directory / STATE_FILE
        if not path.is_file():
            return None
        try:
            with np.load(path) as arrays:
                if str(arrays["fingerprint"]) != fingerprint:
                    print(f"{path}: made with other data or options: starting anew", file=sys.stderr)
                    return None
                model = AmDiagGmm(*(arrays[name] for name in ("pdf_begin", "weights", "means_invvars", "inv_vars")))
                return cls(
                    int(arrays["iteration"]),
                    model,
                    arrays["log_probs"],
                    arrays["occupancies"],
                    np.load(directory / _alignment_name(fingerprint, int(arrays["alignment_iteration"]))),
                    int(arrays["alignment_iteration"]),
                    arrays["loglikes"].tolist(),
                    str(arrays.get("backend", CPU.name)),
                )
        except (ValueError, KeyError, zipfile.BadZipFile, EOFError, FileNotFoundError):
            print(f"{path}: damaged: starting anew", file=sys.stderr)
            return None


def _alignment_name(fingerprint: str, iteration: int) -> str:
    return f"alignment.{fingerprint[:16]}.{iteration}.npy"


def fingerprint(parts: Iterable[object]) -> str:
    """A digest of all that determines a run's results: options, utterances, texts, the contents of files (given as Path)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            data = part.read_bytes()
        elif isinstance(part, np.ndarray):
            data = np.ascontiguousarray(part).tobytes()
        else:
            data = repr(part).encode()
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()
