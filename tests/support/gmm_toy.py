"""A synthetic corpus of known alignment for the training of GMMs, and what its tests compare."""

from pathlib import Path

import numpy as np

from asrtool.gmm.model import read_model
from asrtool.io.alignment import read_alignments
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.io.symbols import SymbolTable
from asrtool.lang.prepare import LangOptions, prepare_lang
from asrtool.train.align_pass import AlignOptions
from asrtool.train.gmm_run import RunOptions
from asrtool.train.gmm_state import GmmState
from asrtool.train.gmm_trainer import GmmTrainingOptions

LEXICON = {"ab": "a b", "ba": "b a", "cab": "c a b", "dad": "d a d", "bcd": "b c d", "acd": "a c d"}
PHONES = ["SIL", "a", "b", "c", "d"]
RUN = RunOptions(delta_opts="--delta-order=1")
SCHEDULE = GmmTrainingOptions(10, 6, 60, (1, 2, 3, 4, 5, 7), initial_beam=20.0, align=AlignOptions(beam=20, retry_beam=60))


def write_lang(root: Path) -> Path:
    dictionary = root / "dict"
    dictionary.mkdir(parents=True)
    (dictionary / "lexicon.txt").write_text("<UNK> SPN\n" + "".join(f"{word} {phones}\n" for word, phones in LEXICON.items()))
    (dictionary / "silence_phones.txt").write_text("SIL\nSPN\n")
    (dictionary / "optional_silence.txt").write_text("SIL\n")
    (dictionary / "nonsilence_phones.txt").write_text("a\nb\nc\nd\n")
    (dictionary / "extra_questions.txt").write_text("")
    options = LangOptions(position_dependent_phones=False, sil_prob=0.5)
    prepare_lang(dictionary, "<UNK>", root / "tmp", root / "lang", options)
    return root / "lang"


def write_data(data: Path, num_utterances: int = 60) -> dict[str, list[str]]:
    """Each phone is three states of a few frames around its own means; returns the true phone of each frame."""
    data.mkdir(parents=True)
    random = np.random.default_rng(7)
    means = {phone: random.normal(scale=4, size=(3, 6)) for phone in PHONES}
    truth, words_of = {}, {}
    with MatrixWriter(data / "feats.ark", data / "feats.scp", None) as writer:
        for number in range(num_utterances):
            utterance = f"s{number % 3}-u{number:03d}"
            words = random.choice(list(LEXICON), size=3).tolist()
            phones = [
                "SIL",
                *(phone for word in words for phone in [*LEXICON[word].split(), *(["SIL"] * (random.random() < 0.3))]),
            ]
            phones += [] if phones[-1] == "SIL" else ["SIL"]
            labels, rows = [], []
            for phone in phones:
                for state in range(3):
                    length = int(random.integers(3, 7)) * (3 if phone == "SIL" else 1)
                    rows.append(means[phone][state] + random.normal(size=(length, 6)))
                    labels += [phone] * length
            truth[utterance], words_of[utterance] = labels, words
            writer.write(utterance, np.concatenate(rows).astype(np.float32))
    names = sorted(truth)
    (data / "utt2num_frames").write_text("".join(f"{name} {len(truth[name])}\n" for name in names))
    (data / "text").write_text("".join(f"{name} {' '.join(words_of[name])}\n" for name in names))
    (data / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in names))
    with MatrixWriter(data / "cmvn.ark", data / "cmvn.scp", None) as writer:
        for speaker in ("s0", "s1", "s2"):  # a mean of zero for all
            writer.write(speaker, np.concatenate([np.zeros((2, 6)), [[1.0], [0.0]]], axis=1))
    return truth


def frame_accuracy(directory: Path, truth: dict[str, list[str]]) -> float:
    transition_model, _ = read_model(directory / "final.mdl")
    phones = SymbolTable.read(directory / "phones.txt")
    right = total = 0
    for utterance, alignment in read_alignments(directory).items():
        found = [phones.symbol(int(phone)) for phone in transition_model.tid_to_phone[alignment]]
        right += sum(one == two for one, two in zip(found, truth[utterance], strict=True))
        total += len(found)
    return right / total


def results(directory: Path) -> list[bytes]:
    return [(directory / name).read_bytes() for name in ("final.mdl", "ali.1.gz", "tree", "final.occs", "loglikes.json")]


class Killed(Exception):
    pass


def kill_after(monkeypatch, number: int) -> None:
    save = GmmState.save

    def save_and_die(self, directory, fingerprint):
        save(self, directory, fingerprint)
        if self.iteration == number:
            raise Killed

    monkeypatch.setattr(GmmState, "save", save_and_die)
