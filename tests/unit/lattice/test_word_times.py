"""Words in time from paths and lattices of small models, and the CTM files of a small decoding."""

import numpy as np
import pytest
from word_lattices import (
    BY_LEXICON,
    BY_PLACE,
    PLACES,
    SILENCE,
    compact_lattice,
    lexicon_text,
    move_about,
    small_model,
    transition_ids,
    word_arcs,
)

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.io.ctm import CtmWord
from asrtool.io.kaldi_binary import KaldiWriter
from asrtool.lattice.align_words_files import read_word_places
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.ctm import Recordings, WordAligner, WordTime, ctm_words, linear_lattice, word_times
from asrtool.lattice.lattice import BestPath, best_path


@pytest.fixture(params=["place", "lexicon"])
def language(request, tmp_path):
    """(model, lexicon, lang directory)"""
    (tmp_path / "lang" / "phones").mkdir(parents=True)
    by_place = request.param == "place"
    if by_place:
        (tmp_path / "lang" / "phones" / "word_boundary.int").write_text(PLACES)
    else:
        (tmp_path / "lang" / "phones" / "align_lexicon.int").write_text(lexicon_text(BY_LEXICON))
    (tmp_path / "lang" / "words.txt").write_text("<eps> 0\nyi 1\ner 2\nsan 3\nsi 4\nwu 5\n")
    return small_model(9 if by_place else 3), BY_PLACE if by_place else BY_LEXICON, tmp_path / "lang"


def sentence(model, lexicon, seed, words=12):
    """(words, transition-ids, [(word, first frame, frames), ...] with silences as word 0)."""
    random = np.random.default_rng(seed)
    said, tids, expected = [], [], []
    for word in random.integers(1, len(lexicon) + 1, words).tolist():
        for unit in [0] * int(random.integers(0, 3)) + [word]:
            phones = lexicon[unit][random.integers(len(lexicon[unit]))] if unit else [SILENCE]
            new = transition_ids(model, phones, random)
            expected.append((unit, len(tids), len(new)))
            tids += new
        said.append(word)
    return np.array(said, np.int32), np.array(tids, np.int32), expected


def test_words_of_paths(language):
    model, lexicon, lang = language
    aligner = WordAligner.of_graph_dir(lang, model)
    for seed in range(10):
        words, tids, expected = sentence(model, lexicon, seed)
        found = word_times(tids, words, model, aligner.places, print_silence=True)
        assert [one[:3] for one in found] == expected and all(one.confidence == 1 for one in found)
        found = aligner(BestPath(words, tids, 0.0, 0.0))
        assert [one[:3] for one in found] == [one for one in expected if one[0]]
    assert word_times(tids[:0], words[:0], model, aligner.places) == []


def test_words_of_lattices(language):
    model, lexicon, lang = language
    aligner = WordAligner.of_graph_dir(lang, model)
    for seed in range(10):
        arcs = move_about(word_arcs(model, lexicon, seed, 2), 3, seed)
        more = word_arcs(model, lexicon, seed + 100, 2)
        for arc in more:
            arc.start, arc.end = 1, 2
        lattice = compact_lattice(arcs + more, 3)  # one path, so that all its frames are known
        lattice.num_frames = len(lattice.transition_id)
        best = best_path(lattice)
        sure = aligner(lattice)
        assert [one.word for one in sure] == best.words.tolist() == [one.word for one in aligner(best)]
        assert [one[1:3] for one in sure] == [one[1:3] for one in aligner(best)]
        assert all(one.confidence == pytest.approx(1) for one in sure)


def test_paths_that_do_not_fit_are_refused(language):
    model, lexicon, lang = language
    words, tids, _ = sentence(model, lexicon, 0)
    with pytest.raises(AsrtoolError, match="made with another model"):
        word_times(tids + model.num_transition_ids, words, model, read_word_places(lang))


def test_lines():
    times = [WordTime(7, 55, 39), WordTime(9, 94.5, 35.26, 0.725)]
    found = ctm_words("utt", times, 0.01, {7: "he", 9: "likes"}.get, confidences=False)
    assert [word.line() for word in found] == ["utt 1 0.55 0.39 he", "utt 1 0.94 0.35 likes"]
    found = ctm_words("utt", times, 0.03, str, confidences=True)
    assert found[1].line(3) == "utt 1 2.835 1.058 9 0.725" and found[1].line(1, 2) == "utt 1 2.8 1.1 9 0.72"
    recordings = Recordings({"utt": ("reco", 10.5, -1.0)}, None, "segments")
    assert recordings.place(found[0]) == CtmWord("reco", "1", found[0].start_s + 10.5, found[0].duration_s, "7", 1.0)
    with pytest.raises(AsrtoolError, match="segments: recording reco is not in reco2file_and_channel"):
        Recordings({"utt": ("reco", 10.5, -1.0)}, {}, "segments").place(found[0])
    with pytest.raises(AsrtoolError, match="segments: utt: not in it"):
        Recordings({}, None, "segments").place(found[0])


def test_ctm_of_a_decoding(language, tmp_path):
    model, lexicon, lang = language
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utt2spk").write_text("u1 u1\nu2 u2\n")
    (tmp_path / "exp" / "decode").mkdir(parents=True)
    with KaldiWriter.open(tmp_path / "exp" / "final.mdl") as writer:
        model.write(writer)
    sentences = {f"u{number}": sentence(model, lexicon, number) for number in (1, 2)}
    lattices = [(utterance, linear_lattice(words, tids)) for utterance, (words, tids, _) in sentences.items()]
    write_lattices(tmp_path / "exp" / "decode" / "lat.1.gz", lattices)
    names = (lang / "words.txt").read_text().split()[::2]
    expected = [
        f"{utterance} 1 {first * 0.01:.2f} {frames * 0.01:.2f} {names[word]}"
        for utterance, (_, _, units) in sentences.items()
        for word, first, frames in units
        if word
    ]
    command = ["get-ctm", str(tmp_path / "data"), str(lang), str(tmp_path / "exp" / "decode"), "--min-lmwt", "9"]
    assert main([*command, "--max-lmwt", "10"]) == 0
    for weight in (9, 10):
        assert (tmp_path / "exp" / "decode" / f"score_{weight}" / "data.ctm").read_text().splitlines() == expected
    assert main([*command, "--max-lmwt", "9", "--confidence", "true"]) == 0
    found = (tmp_path / "exp" / "decode" / "score_9" / "data.ctm").read_text().splitlines()
    assert found == [f"{line} 1.00" for line in expected]
