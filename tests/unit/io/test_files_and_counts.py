"""Atomic files, counts of failures, progress."""

import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.io.progress import progress
from asrtool.io.tally import Tally


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.txt"
    write_text(path, "old\n")
    with pytest.raises(RuntimeError, match="disk"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_name_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "a.b.gz") as temporary:
        assert temporary.suffix == ".gz" and temporary.parent == tmp_path
        temporary.write_bytes(b"1")


def test_tally_allows_the_stated_rate_only(capsys):
    tally = Tally(max_failed=0.5)
    tally.ok()
    tally.failed("utt1", "too short")
    tally.close()
    tally.failed("utt2", "too short")
    with pytest.raises(AsrtoolError, match=r"2 of 3 utterances failed \(allowed: 50%\); the first: utt1: too short"):
        tally.close()
    assert "WARNING: utt2: too short" in capsys.readouterr().err


def test_tally_of_nothing_is_an_error():
    with pytest.raises(AsrtoolError, match="no utterances in the input"):
        Tally().close()


def test_progress_passes_items_on_and_reports_plain_lines(capsys):
    assert list(progress(range(3), 3, "aligning", log_every_s=0)) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("aligning: 1 of 3 (33%)") and "\r" not in "".join(lines)
