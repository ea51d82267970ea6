"""What the GMM training commands share: options of a run, its log, and its end."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.atomic_file import write_text
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_output import (
    summarise_alignments,
    utterance_alignments,
    write_alignment_files,
    write_trained_model,
)
from asrtool.train.gmm_state import STATE_FILE, GmmState


@dataclass(frozen=True)
class RunOptions:
    """num_threads: does not change the results. memory_limit_mib: for features, and again for training graphs; beyond it they
    are read and compiled anew in each pass. cmvn_opts, delta_opts: as Kaldi's apply-cmvn and add-deltas take them. backend:
    changes the results by its rounding; no part of the fingerprint, see `begin`."""

    num_threads: int = 1
    memory_limit_mib: int = 2048
    cmvn_opts: str = ""
    delta_opts: str = ""
    backend: Backend = CPU

    def __post_init__(self) -> None:
        if self.num_threads < 1 or self.memory_limit_mib < 1:
            raise AsrtoolError("--nj and --memory-limit must be at least 1")

    @property
    def settings(self) -> tuple[str, str]:
        """Those that change the results."""
        return self.cmvn_opts, self.delta_opts


def pdfs_of_phones(transition_model: TransitionModel, phones: list[int]) -> np.ndarray:
    """The pdf-ids of some phones (Kaldi's GetPdfsForPhones), ascending."""
    return np.unique(transition_model.tuples[np.isin(transition_model.tuples[:, 0], phones)][:, 2:])


@contextmanager
def run_log(path: Path, resumed: bool) -> Iterator[None]:
    """Also writes what goes to standard error to a log file, which a resumed run continues."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stderr = sys.stderr
    with open(path, "a" if resumed else "w", encoding="utf-8") as file:
        sys.stderr = _Tee(stderr, file)
        try:
            yield
        finally:
            sys.stderr = stderr


class _Tee:
    def __init__(self, *streams: TextIO) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


def begin(directory: Path, digest: str, num_iters: int, backend: Backend = CPU) -> tuple[GmmState | None, bool]:
    """(the state to go on from, None to start anew; whether the directory holds the finished result already).

    A model that the directory holds from other settings is removed: final.mdl stands for a whole run of these. A finished result
    counts wherever it was computed; what a run has left on another backend does not: no model comes from two kinds of rounding.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = GmmState.load(directory, digest)
    is_done = state is not None and state.iteration >= num_iters and (directory / "final.mdl").is_file()
    if state is not None and not is_done and state.backend != backend.name:
        print(
            f"{directory}: {state.iteration} iterations were computed by {state.backend}, this run computes by {backend.name}: "
            "starting anew (--use-gpu yes or no goes on with the former)",
            file=sys.stderr,
        )
        state = None
    if state is None:
        # what other settings have left would not fit the files written from here on
        for path in (*(directory / name for name in ("final.mdl", "final.alimdl", STATE_FILE)), *directory.glob("trans.*")):
            path.unlink(missing_ok=True)
        return None, False
    print(f"{directory}: {'trained already' if is_done else f'goes on with iteration {state.iteration}'}", file=sys.stderr)
    return state, is_done


def finish(directory: Path, corpus: GmmCorpus, state: GmmState, transition_model: TransitionModel, lang: GmmLang) -> None:
    """Writes the results of training; final.mdl comes last, so that it stands for a whole directory."""
    alignments = utterance_alignments(corpus, state.alignment)
    missing = [utterance for utterance in corpus.utterances if utterance not in alignments]
    head = [
        f"log-likelihood {state.loglikes[-1]:.4f} a frame; {state.model.num_pdfs} pdfs, {state.model.num_gaussians} Gaussians",
        f"not aligned: {len(missing)} of {len(corpus.utterances)} utterances {' '.join(missing)}".rstrip(),
    ]
    write_alignment_files(directory, alignments, transition_model)
    summary = summarise_alignments(alignments, transition_model, lang.phones, set(lang.silence_phones), head)
    write_text(directory / "alignment_summary.txt", summary)
    rows = [{"iteration": number, "loglike_per_frame": value} for number, value in enumerate(state.loglikes)]
    write_text(directory / "loglikes.json", json.dumps(rows, indent=0) + "\n")
    write_trained_model(directory, transition_model, state.model, state.occupancies, lang.path)
