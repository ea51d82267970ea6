"""Large alignments unpacked into one file: the same pdf-ids, made again when the alignments change."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from toy_corpus import ToyFeatures

from asrtool.errors import AsrtoolError
from asrtool.io.alignment import write_alignments
from asrtool.loader import table
from asrtool.loader.pdf_file import PdfFile


@pytest.fixture
def alignments(tmp_path, monkeypatch):
    """A folder of two archives of 20 transition-ids, whose pdfs are 10 and up; every size counts as large."""
    folder = tmp_path / "ali"
    folder.mkdir()
    (folder / "final.mdl").write_text("a model")
    random = np.random.default_rng(0)
    for number in (1, 2):
        utterances = {f"u{number}-{k}": random.integers(1, 21, 30 + k).astype(np.int32) for k in range(5)}
        write_alignments(folder / f"ali.{number}.gz", utterances)
    model = SimpleNamespace(num_transition_ids=20, num_pdfs=40, tid_to_pdf=np.arange(10, 31, dtype=np.int32))
    monkeypatch.setattr(table.TransitionModel, "read_file", lambda path: model)
    monkeypatch.setattr(table, "LARGE_ALIGNMENTS", 0)
    return folder, model


def same(one, other):
    return list(one) == list(other) and len(one) == len(other) and all(np.array_equal(one[u], other[u]) for u in one)


@pytest.mark.parametrize("num_pdfs", [40, 70_000])
def test_the_file_holds_what_the_archives_do(alignments, tmp_path, num_pdfs):
    folder, model = alignments
    model.num_pdfs = num_pdfs
    model.tid_to_pdf = model.tid_to_pdf + (num_pdfs - 40)
    plain, count = table.read_pdf_alignments(folder)
    mapped, mapped_count = table.read_pdf_alignments(folder, tmp_path / "pdfs")
    assert isinstance(plain, dict) and isinstance(mapped, PdfFile)
    assert count == mapped_count == num_pdfs and same(plain, mapped)
    assert mapped["u2-3"].dtype == (np.uint16 if num_pdfs == 40 else np.int32)
    assert mapped.get("nobody") is None


def test_it_is_used_again_until_the_alignments_change(alignments, tmp_path, monkeypatch):
    folder, _ = alignments
    first, _ = table.read_pdf_alignments(folder, tmp_path / "pdfs")
    written = []
    make = table.write_pdf_file
    monkeypatch.setattr(table, "write_pdf_file", lambda *arguments: written.append(1) or make(*arguments))
    assert same(first, table.read_pdf_alignments(folder, tmp_path / "pdfs")[0]) and not written
    write_alignments(folder / "ali.2.gz", {"other": np.array([3, 3, 4], np.int32)})
    changed, _ = table.read_pdf_alignments(folder, tmp_path / "pdfs")
    assert written and changed["other"].tolist() == [13, 13, 14] and "u2-0" not in changed
    (tmp_path / "pdfs" / "about.json").write_text("{")  # damaged: made again
    assert same(changed, table.read_pdf_alignments(folder, tmp_path / "pdfs")[0])


def test_small_alignments_stay_in_memory(alignments, tmp_path, monkeypatch):
    folder, _ = alignments
    monkeypatch.setattr(table, "LARGE_ALIGNMENTS", sum(os.path.getsize(path) for path in folder.glob("ali.*")))
    assert isinstance(table.read_pdf_alignments(folder, tmp_path / "pdfs")[0], dict)
    assert not (tmp_path / "pdfs").exists()


def test_what_is_wrong_with_the_alignments_is_said(alignments, tmp_path):
    folder, _ = alignments
    write_alignments(folder / "ali.2.gz", {"u1-0": np.array([1], np.int32)})
    with pytest.raises(AsrtoolError, match=r"ali\.2\.gz: u1-0: occurs twice"):
        table.read_pdf_alignments(folder, tmp_path / "pdfs")
    write_alignments(folder / "ali.2.gz", {"u9": np.array([1, 21], np.int32)})
    for cache in (None, tmp_path / "pdfs"):
        with pytest.raises(AsrtoolError, match=r"u9: transition-id 21 is not in .*final\.mdl \(1\.\.20\)"):
            table.read_pdf_alignments(folder, cache)


def test_a_table_of_mapped_pdfs(alignments, tmp_path):
    mapped, _ = table.read_pdf_alignments(alignments[0], tmp_path / "pdfs")

    class Named(ToyFeatures):
        def __init__(self):
            self.lengths = {utterance: len(pdfs) for utterance, pdfs in mapped.items()}

    made = table.make_table(Named(), mapped, "toy")
    expected = np.bincount(np.concatenate(list(mapped.values())), minlength=40)
    assert made.total_frames == 320 and made.pdf_counts(40).tolist() == expected.tolist()
