"""Damaged files of every kind are read, or refused with one line that names them: no other error, crash, hang or flood of memory.

tests/support/run_fuzz.py does the same with as many inputs as one likes.
"""

import tempfile
from pathlib import Path

import fuzz_kaldi
import fuzz_text
import numpy as np
import pytest
from fuzz import Target, fuzz

from asrtool.errors import AsrtoolError

INPUTS, INPUTS_FIX = 200, 25  # what writes whole directories takes longer
SOUND = tempfile.TemporaryDirectory()
TARGETS = [*fuzz_kaldi.targets(), *fuzz_text.targets(Path(SOUND.name))]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_files_are_read_or_refused(target, tmp_path):
    outcome = fuzz(target, INPUTS_FIX if target.name.startswith("fix data/") else INPUTS, tmp_path)
    assert [(number, said) for number, said, _ in outcome.failures] == []
    assert outcome.refused or target.name == "data/spk2utt"  # which is only reported on, and written anew


class Broken:
    """A reader as it must not be; `fuzz` must notice."""

    def __init__(self, what: str) -> None:
        self.what, self.calls = what, 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        if self.calls == 1:  # the sound file
            return
        if self.what == "memory":
            np.ones(1 << 40, np.uint8)
        if self.what == "hang":
            while True:
                pass
        if self.what == "another error":
            raise KeyError(path)
        if self.what == "no name":
            raise AsrtoolError("damaged")
        np.float64(1e300).astype(np.float32)


@pytest.mark.parametrize("what", ["memory", "hang", "another error", "no name", "warning"])
def test_bad_readers_are_noticed(what, tmp_path, monkeypatch):
    monkeypatch.setattr("fuzz.LIMIT_S", 0.05)
    outcome = fuzz(Target("bad", (b"1 2 3",), Broken(what)), 1, tmp_path)
    (failure,) = outcome.failures
    said = {
        "memory": "MemoryError",
        "hang": "TooSlowError",
        "another error": "KeyError",
        "no name": "does not name",
        "warning": "Warn",
    }
    assert said[what] in failure[1]


def test_messages_are_one_short_line():
    error = AsrtoolError("x.ark: u\n1\x1b[2J: " + "9" * 5000 + "\u2028")
    assert str(error).startswith("x.ark: u\\n1\\x1b[2J: 99") and len(str(error)) < 500
    assert str(error).splitlines() == [str(error)]


ONCE_FOUND = [  # damage that readers have fallen for: (kind, what stands in the sound file, what in the damaged one)
    ("alignments, binary", b"one-1 \0B\4\5\0\0\0", b"one-1 \0B\4\xff\xff\xff\xff"),  # would be read for ever
    ("tree, text", b"TE -1 ", b"TE 9 "),  # a phone outside the window, which kernels would look for
    ("tree, text", b"CE 4 ", b"CE -4 "),
    ("topology, text", b"<PdfClass> 1", b"<PdfClass> 2147483647"),  # would take gigabytes
    ("topology, text", b"<ForPhones> \n2 3", b"<ForPhones> \n2 \xc2\xb2"),  # a digit that is no number
    ("a vector of integers", b"70000", b"99999999999"),
    ("matrices, text", b"one-1", b"one-1 [ 1 2\n1e99 3 ]\nfour"),
    ("posteriors, text", b"[ 1 ", b"[ 99999999999 "),
    ("compact lattices, text", b",5_", b",0_"),
    ("FST, for OpenFst", b"\2\0\0\0" + bytes(4) + b"\3", b"\2\0\0\0" + bytes(4) + b"\0" * 8 + b"\3"),
    ("word_boundary", b"4 singleton", b"99999999999 singleton"),
    ("align_lexicon", b"3 3 9", b"3 3 2147483647"),
    ("roots", b"not-shared", b"\xd1"),
    ("wav", b"\x40\x1f\0\0", bytes(4)),  # 0 Hz
    ("nnet1, text", b"[ -1 0 1 ]", b"[ -1 0 2147483647 ]"),
    ("data/frame_shift", b"0.01", b"nan"),
    ("data/utt2num_frames", b"s1-b 4", b"s1-b -4"),
]


@pytest.mark.parametrize(("kind", "sound", "damaged"), ONCE_FOUND, ids=lambda one: one if isinstance(one, str) else "")
def test_what_was_once_found_is_refused(kind, sound, damaged, tmp_path):
    (target,) = (target for target in TARGETS if target.name == kind)
    (data,) = (seed for seed in target.seeds if sound in seed)
    for name, content in target.beside.items():
        (tmp_path / name).write_bytes(content)
    path = tmp_path / target.file
    path.write_bytes(data.replace(sound, damaged))
    with pytest.raises(AsrtoolError, match=str(tmp_path)):
        target.read(path)
