"""Alignments of a speed-perturbed data directory from those of the original one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.hmm.warp_alignment import warp_alignment
from asrtool.io.alignment import read_alignments
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import read_scp
from asrtool.io.symbols import SymbolTable
from asrtool.io.tally import Tally
from asrtool.train.gmm_import import OPTIONAL_FILES, named_silence
from asrtool.train.gmm_output import copy_file, summarise_alignments, write_alignment_files


def warp_alignments(
    alignment_dir: str | Path, source_data: str | Path, data_dir: str | Path, directory: str | Path, max_failed: float = 0.1
) -> Tally:
    """Writes an alignment directory for `data_dir`, with the model files of `alignment_dir`.

    An utterance of `data_dir` takes the alignment of its own name, else that of the utterance utt2uniq names, stretched to
    its frames in utt2num_frames. Where it cannot, it is counted, named on standard error, and left out.

    Args:
        alignment_dir: final.mdl, tree, phones.txt, ali.*.gz of `source_data`.
        source_data: the original data directory, with features.
        data_dir: the perturbed one, with features.
        max_failed: the share of its utterances that may be left out.

    Raises:
        AsrtoolError: missing files, or more utterances left out than allowed.
    """
    alignment_dir, directory = Path(alignment_dir), Path(directory)
    for name in ("final.mdl", "tree", "phones.txt"):
        if not (alignment_dir / name).is_file():
            raise AsrtoolError(f"{alignment_dir / name}: no such file; is {alignment_dir} an alignment directory?")
    if alignment_dir.resolve() == directory.resolve():
        raise AsrtoolError(f"{directory}: is the alignment directory itself; give another one")
    transition_model = TransitionModel.read_file(alignment_dir / "final.mdl")
    source, data = DataDir.load(source_data), DataDir.load(data_dir)
    for one in (source, data):
        one.file("feats.scp")
    warper = Warper(read_alignments(alignment_dir), alignment_dir, source, data, transition_model)
    tally = Tally("utterances", max_failed)
    possible = []
    for utterance in data.utterances:
        try:
            warper(utterance)
        except AsrtoolError as error:
            tally.failed(utterance, str(error))
        else:
            tally.ok()
            possible.append(utterance)
    tally.close()
    _write(alignment_dir, directory, Warped(warper, possible), transition_model, tally)
    return tally


class Warper:
    """Finds an utterance's original and warps its alignment.

    Args:
        alignments: transition-ids by utterance, of `source`; read from `where`.
        source, data: the original and the perturbed data directory.
    """

    def __init__(
        self,
        alignments: Mapping[str, np.ndarray],
        where: Path,
        source: DataDir,
        data: DataDir,
        transition_model: TransitionModel,
    ) -> None:
        self.alignments, self.where, self.source, self.data = alignments, where, source, data
        self.transition_model = transition_model
        path = data.path / "utt2uniq"
        self.originals = read_scp(path) if path.is_file() else {}

    def __call__(self, utterance: str) -> np.ndarray:
        """Int32 [number of frames of the perturbed utterance]; raises AsrtoolError where there is no such alignment."""
        original = self.original(utterance)
        alignment = self.alignments[original]
        frames_before, frames = _num_frames(self.source, original), _num_frames(self.data, utterance)
        if frames_before != len(alignment):
            raise AsrtoolError(
                f"{original} has {len(alignment)} aligned frames in {self.where}, {frames_before} frames of features in "
                f"{self.source.path}; align {self.source.path} again"
            )
        speed = _speed(self.data, utterance) / _speed(self.source, original)
        # edges of windows, and rounding, are worth a frame or two
        if abs(frames - frames_before / speed) > 1 + 2 / min(speed, 1):
            raise AsrtoolError(
                f"{frames} frames in {self.data.path} are not {frames_before} frames of {original} at speed {speed:.4g}; "
                "make the features again"
            )
        return warp_alignment(alignment, frames, self.transition_model)

    def original(self, utterance: str) -> str:
        """The utterance whose alignment it takes."""
        if utterance in self.alignments:
            return utterance
        original = self.originals.get(utterance)
        if original is None:
            raise AsrtoolError(f"has no alignment in {self.where}, and is not in {self.data.path}/utt2uniq")
        if original == utterance:
            raise AsrtoolError(f"has no alignment in {self.where}")
        if original not in self.alignments:
            raise AsrtoolError(f"its original {original} has no alignment in {self.where}")
        return original


class Warped(Mapping[str, np.ndarray]):
    """Utterance -> its alignment, made each time it is asked for: all of them at once would take several times the originals'
    memory."""

    def __init__(self, warper: Warper, utterances: list[str]) -> None:
        self.warper, self.utterances = warper, dict.fromkeys(utterances)

    def __getitem__(self, utterance: str) -> np.ndarray:
        if utterance not in self.utterances:
            raise KeyError(utterance)
        return self.warper(utterance)

    def __iter__(self) -> Iterator[str]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)


def _num_frames(data: DataDir, utterance: str) -> int:
    if utterance not in data.utt2num_frames:
        raise AsrtoolError(f"{utterance} is not in {data.path}/utt2num_frames; make the features again")
    return data.utt2num_frames[utterance]


def _speed(data: DataDir, utterance: str) -> float:
    """1 where a directory has features alone."""
    return data.recording(utterance).speed if data.wav_scp else 1.0


def _write(
    source: Path, directory: Path, alignments: Mapping[str, np.ndarray], transition_model: TransitionModel, tally: Tally
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    failed = " ".join(name for name, _ in tally.failures)
    head = [f"warped from {source}: {tally.done} utterances, {len(tally.failures)} left out: {failed or 'none'}"]
    phones = source / "phones.txt"
    summary = summarise_alignments(alignments, transition_model, SymbolTable.read(phones), set(named_silence(phones)), head)
    (directory / "final.mdl").unlink(missing_ok=True)  # it comes last: what is half written has none
    write_alignment_files(directory, alignments, transition_model)
    write_text(directory / "alignment_summary.txt", summary)
    for name in (*OPTIONAL_FILES, "tree", "final.mdl"):
        if (source / name).is_file():
            copy_file(source / name, directory / name)
