"""Pdf-ids of a large corpus in one file that all workers of a machine map into memory.

Alignments come in archives that have to be unpacked whole: 4 bytes a frame and 100 an utterance in every worker. Where they
are large they are unpacked once, 2 bytes a frame, and read from there a shard at a time, in the order of the archives.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.alignment import alignment_files, iterate_alignments
from asrtool.io.atomic_file import write_text


class PdfFile(Mapping[str, np.ndarray]):
    """Utterance -> pdf-ids [T] (uint16, or int32 where there are more), mapped into memory.

    Args:
        folder: made by `write_pdf_file`.
    """

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text())
        self.num_pdfs: int = about["num_pdfs"]
        self.pdf_N = np.asarray(np.memmap(folder / "pdf_ids", about["dtype"], "r"))
        with open(folder / "utterances", encoding="utf-8") as lines:
            pairs = [line.split() for line in lines]
        ends = np.cumsum([int(length) for _, length in pairs], dtype=np.int64)
        self._begin_U1 = np.concatenate(([0], ends))
        self._number = {utterance: number for number, (utterance, _) in enumerate(pairs)}

    def __getitem__(self, utterance: str) -> np.ndarray:
        number = self._number[utterance]
        return self.pdf_N[self._begin_U1[number] : self._begin_U1[number + 1]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._number)

    def __len__(self) -> int:
        return len(self._number)


def is_current(folder: Path, directory: Path) -> bool:
    """Whether `folder` holds the alignments that are in `directory` now."""
    try:
        return json.loads((folder / "about.json").read_text())["sources"] == _sources(directory)
    except (FileNotFoundError, ValueError, KeyError):
        return False


def write_pdf_file(directory: Path, folder: Path, to_pdfs: Callable[[str, np.ndarray], np.ndarray], num_pdfs: int) -> None:
    """Unpacks the alignments of `directory` into `folder`, little of them in memory at a time; about.json comes last.

    Args:
        to_pdfs: utterance and transition-ids -> pdf-ids.
    Raises:
        AsrtoolError: see `iterate_alignments`; an utterance that occurs twice.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    dtype = np.dtype("<u2" if num_pdfs <= 1 << 16 else "<i4")
    seen: set[str] = set()
    with open(folder / "pdf_ids", "wb") as ids, open(folder / "utterances", "w", encoding="utf-8") as utterances:
        for file in alignment_files(directory):
            for utterance, tids in iterate_alignments(file):
                if utterance in seen:
                    raise AsrtoolError(f"{file}: {utterance}: occurs twice")
                seen.add(utterance)
                ids.write(to_pdfs(utterance, tids).astype(dtype).tobytes())
                utterances.write(f"{utterance} {len(tids)}\n")
    about = {"num_pdfs": num_pdfs, "dtype": dtype.str, "sources": _sources(directory)}
    write_text(folder / "about.json", json.dumps(about, indent=1) + "\n")


def _sources(directory: Path) -> list[list]:
    files = [*alignment_files(directory), directory / "final.mdl"]
    return [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
