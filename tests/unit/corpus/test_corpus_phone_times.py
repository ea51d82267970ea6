"""When the phones of mini_mandarin's corpus were spoken, as the synthesiser says."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_wav
from asrtool.io.ctm import read_ctm
from asrtool.lang.pinyin import word_phones

pytest.importorskip("espeakng_loader", reason="espeakng-loader speaks the corpus: pip install 'asrtool[synthesis]'")
TINY = ["--hours", "0.004", "--train-speakers", "1", "--held-out-speakers", "2", "--lm-sentences", "10", "--clean", "true"]


@pytest.fixture(scope="module")
def times(repository, tmp_path_factory):
    """(corpus, CTM of the lexicon's phones in its test set)."""
    recipe, root = repository / "egs" / "mini_mandarin" / "s5", tmp_path_factory.mktemp("phones")
    for command in (
        ["make_corpus.py", *TINY, str(root / "corpus")],
        ["phone_times.py", str(root / "corpus"), "test", str(root / "ctm")],
    ):
        done = subprocess.run([sys.executable, f"local/{command[0]}", *command[1:]], cwd=recipe, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return root / "corpus", root / "ctm"


def test_phones_are_the_lexicons_in_the_order_of_time(times):
    corpus, ctm = times
    found = {}
    for phone in read_ctm(ctm):
        found.setdefault(phone.recording, []).append(phone)
    text = dict(line.split(" ", 1) for line in (corpus / "test" / "text").read_text(encoding="utf-8").splitlines())
    assert len(found) >= 0.9 * len(text) > 0
    for utterance, phones in found.items():
        assert [one.word for one in phones] == [phone for word in text[utterance].split() for phone in word_phones(word)[0]]
        starts = np.array([one.start_s for one in phones])
        ends = starts + [one.duration_s for one in phones]
        samples = read_wav(str(corpus / "test" / "wav" / utterance.partition("-")[0] / f"{utterance}.wav"), 16000)
        assert starts[0] > 0.05 and ends[-1] < len(samples) / 16000
        assert np.all(starts[1:] >= ends[:-1] - 1e-3) and np.all(ends > starts)


def test_there_is_sound_where_phones_are_and_none_before_the_first(times):
    corpus, ctm = times
    firsts = {}
    for phone in read_ctm(ctm):
        firsts.setdefault(phone.recording, phone)
    louder = []
    for utterance, phone in firsts.items():
        samples = read_wav(str(corpus / "test" / "wav" / utterance.partition("-")[0] / f"{utterance}.wav"), 16000)
        begin, end = (round(16000 * time) for time in (phone.start_s, phone.start_s + phone.duration_s))
        louder.append(np.std(samples[begin : end + 800]) / np.std(samples[: begin - 80]))
    assert np.median(louder) > 20


def test_a_plosive_begins_with_its_closure(repository, monkeypatch):
    path = repository / "egs" / "mini_mandarin" / "s5" / "local" / "speak.py"
    spec = importlib.util.spec_from_file_location("speak", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    events = [
        (900, "t"),
        (1500, "'a"),
        (4000, "_|"),
        (4900, "kh"),
        (6000, ",i"),
        (9000, "ph"),
        (9500, "u"),
        (12000, "_:"),
        (12100, "_"),
    ]
    assert module.phones_of(events, 900) == [
        ("t", 0, 1500), ("a", 1500, 4000), ("kh", 4000, 6000), ("i", 6000, 8100), ("ph", 8100, 9500), ("u", 9500, 12000),
    ]  # fmt: skip


def test_a_corpus_without_phone_times_is_refused(repository, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "egs" / "mini_mandarin" / "s5" / "local"))
    import phone_times

    with pytest.raises(AsrtoolError, match="make the corpus again"):
        phone_times.convert(tmp_path, "test", tmp_path / "ctm")
