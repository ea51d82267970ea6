"""What a GMM experiment or alignment directory holds, in Kaldi's formats: ali.1.gz, final.mdl, tree, final.occs, counts, ..."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.model import write_model
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import write_alignments
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.io.kaldi_binary import KaldiWriter
from asrtool.io.symbols import SymbolTable
from asrtool.train.gmm_corpus import GmmCorpus


def utterance_alignments(corpus: GmmCorpus, alignment: np.ndarray) -> dict[str, np.ndarray]:
    """Utterance -> int32 [T], of those that are aligned."""
    rows = ((utterance, alignment[corpus.frames_of(index)]) for index, utterance in enumerate(corpus.utterances))
    return {utterance: row for utterance, row in rows if len(row) and row[0]}


def write_alignment_files(directory: Path, alignments: Mapping[str, np.ndarray], transition_model: TransitionModel) -> None:
    """Writes ali.1.gz, num_jobs and ali_train_pdf.counts; older ali.N.gz are removed."""
    for path in directory.glob("ali.*.gz"):
        if path.name != "ali.1.gz":
            path.unlink()
    write_alignments(directory / "ali.1.gz", alignments)
    write_text(directory / "num_jobs", "1\n")
    counts = np.zeros(transition_model.num_pdfs)
    for row in alignments.values():
        counts += np.bincount(transition_model.tid_to_pdf[row], minlength=len(counts))
    with KaldiWriter.open(directory / "ali_train_pdf.counts", binary=False) as writer:
        writer.write_float_vector(counts + 0.5)  # half a frame each, as Kaldi's analyze-counts: no prior may be zero


def write_trained_model(
    directory: Path, transition_model: TransitionModel, model: AmDiagGmm, occupancies: np.ndarray, lang: Path
) -> None:
    """Writes final.occs, phones.txt and last final.mdl."""
    with KaldiWriter.open(directory / "final.occs", binary=False) as writer:
        writer.write_float_vector(occupancies.astype(np.float32))
    copy_file(lang / "phones.txt", directory / "phones.txt")
    write_model(directory / "final.mdl", transition_model, model)


def copy_file(source: Path, destination: Path) -> None:
    """Copies a file whole or not at all."""
    with atomic_path(destination) as temporary:
        shutil.copyfile(source, temporary)


def summarise_alignments(
    alignments: Mapping[str, np.ndarray],
    transition_model: TransitionModel,
    phones: SymbolTable,
    silence_phones: set[int],
    head: list[str],
) -> str:
    """The text of alignment_summary.txt: `head`, then silence shares and how long phones are (frames)."""
    segments = [transition_model.phone_segments(row) for row in alignments.values()]
    phone = np.concatenate([one for one, _ in segments])
    length = np.concatenate([two for _, two in segments])
    silence = np.isin(phone, sorted(silence_phones))
    starts = np.mean([int(one[0]) in silence_phones for one, _ in segments])
    ends = np.mean([int(one[-1]) in silence_phones for one, _ in segments])
    total = int(length.sum())
    lines = [
        *head,
        f"utterances {len(segments)}, frames {total}, phones {len(phone)}",
        f"silence: {length[silence].sum() / total:.1%} of the frames; {starts:.1%} of utterances begin, {ends:.1%} end with it",
    ]
    speech = length[~silence]
    if len(speech):
        low, median, high = np.percentile(speech, [5, 50, 95])
        lines.append(f"speech phones: mean {speech.mean():.1f} frames, 5 % {low:.0f}, median {median:.0f}, 95 % {high:.0f}")
    lines.append("phone occurrences share_of_frames mean median percentile_95")
    for one in np.unique(phone).tolist():
        its = length[phone == one]
        percentiles = f"{np.median(its):.0f} {np.percentile(its, 95):.0f}"
        lines.append(f"{phones.symbol(one)} {len(its)} {its.sum() / total:.4f} {its.mean():.1f} {percentiles}")
    return "\n".join(lines) + "\n"
