"""Words in time against what Kaldi wrote: CTM with confidences, MBR words and risk, phones of alignments."""

import gzip
import re

import numpy as np
import pytest
from word_lattices import number_of_paths

from asrtool.cli import main
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, read_text_ints
from asrtool.lattice.align_words import align_words
from asrtool.lattice.align_words_files import BEGIN, NONWORD, SINGLETON, AlignLexicon, WordBoundary
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.ctm import WordAligner, best_arcs, best_path_times, word_times
from asrtool.lattice.lattice import best_path
from asrtool.lattice.mbr import mbr_decode
from asrtool.lattice.phone_alignment import align_phones

SCALE = 0.083333


@pytest.fixture(scope="module")
def kaldi(kaldi_reference):
    model = TransitionModel.read_file(kaldi_reference / "lattice" / "final.mdl")
    phones = kaldi_reference / "lang" / "phones"
    places = {
        "place": WordBoundary.read(phones / "word_boundary.int"),
        "lexicon": AlignLexicon.read(phones / "align_lexicon.int"),
    }
    return model, places, dict(read_lattices(kaldi_reference / "lattice" / "compact_lat.gz"))


@pytest.mark.parametrize(
    "verb, file", [("lattice-align-words", "word_boundary"), ("lattice-align-words-lexicon", "align_lexicon")]
)
def test_ctm_with_confidences_is_kaldis(kaldi_reference, tmp_path, verb, file):
    lattice = kaldi_reference / "lattice"
    places, aligned = kaldi_reference / "lang" / "phones" / f"{file}.int", tmp_path / "aligned.gz"
    assert main([verb, str(places), str(lattice / "final.mdl"), str(lattice / "compact_lat.gz"), str(aligned)]) == 0
    assert main(["lattice-to-ctm-conf", "--acoustic-scale", str(SCALE), str(aligned), str(tmp_path / "out.ctm")]) == 0
    found, expected = ((path.read_text().splitlines()) for path in (tmp_path / "out.ctm", lattice / "ctm_conf.int"))
    assert len(found) == len(expected) == 45
    without_confidence = [[line.rpartition(" ")[0] for line in lines] for lines in (found, expected)]
    assert without_confidence[0] == without_confidence[1]  # words and times
    confidences = [np.array([float(line.split()[-1]) for line in lines]) for lines in (found, expected)]
    # where alignments are equally good, rounding decides which counts
    assert np.abs(confidences[0] - confidences[1]).max() < 0.011 and np.sum(confidences[0] != confidences[1]) <= 1


def test_mbr_words_and_risk_are_kaldis(kaldi_reference, kaldi):
    expected = read_text_ints(kaldi_reference / "lattice" / "mbr_words.int")
    results = {utterance: mbr_decode(lattice, SCALE) for utterance, lattice in kaldi[2].items()}
    assert {utterance: result.words.tolist() for utterance, result in results.items()} == {
        utterance: words.tolist() for utterance, words in expected.items()
    }
    log = (kaldi_reference / "lattice" / "mbr.log").read_text()
    a_sentence, a_word = map(float, re.search(r"per sentence is (\S+) and per word, (\S+)", log).groups())
    total, num_words = sum(result.risk for result in results.values()), sum(len(result.words) for result in results.values())
    assert total / len(results) == pytest.approx(a_sentence, abs=1.5e-5) and total / num_words == pytest.approx(a_word, abs=2e-6)


@pytest.mark.parametrize("kind", ["place", "lexicon"])
def test_paths_keep_words_alignments_and_costs(kaldi, kind):
    model, places, lattices = kaldi
    for lattice in lattices.values():
        aligned, complete = align_words(lattice, model, places[kind])
        assert complete and number_of_paths(aligned) == number_of_paths(lattice)
        for scale in (0.02, SCALE, 0.2, 1.0):
            one, two = best_path(lattice, scale), best_path(aligned, scale)
            assert one.words.tolist() == two.words.tolist()
            np.testing.assert_array_equal(one.transition_ids, two.transition_ids)
            assert (two.graph_cost, two.acoustic_cost) == pytest.approx((one.graph_cost, one.acoustic_cost), rel=1e-5)


def word_starts(model, places, alignment):
    """(first frames, lengths) of words by their phones' places, with a loop over the phones."""
    frame, starts, lengths = 0, [], []
    for phone, frames in model.alignment_to_phones(alignment):
        if places.place[phone] in (BEGIN, SINGLETON):
            starts.append(frame)
            lengths.append(frames)
        elif places.place[phone] != NONWORD:
            lengths[-1] += frames
        frame += frames
    return starts, lengths


@pytest.mark.parametrize("system", ["tri3b_ali", "chain_tree"])
def test_words_of_alignments(kaldi_reference, kaldi, system):
    directory = kaldi_reference / "gmm" / system
    model = TransitionModel.read_file(directory / "final.mdl")
    for alignment in list(read_alignments(directory).values())[:100]:
        starts, lengths = word_starts(model, kaldi[1]["place"], alignment)
        words = np.arange(1, len(starts) + 1)
        times = word_times(alignment, words, model, kaldi[1]["place"])
        assert [(one.word, one.start_frame, one.num_frames) for one in times] == list(zip(words, starts, lengths))


def test_all_ways_to_times_agree(kaldi_reference, kaldi):
    model, places, lattices = kaldi
    by_place, by_lexicon = (WordAligner(model, places[kind]) for kind in ("place", "lexicon"))
    alignments = read_text_ints(kaldi_reference / "lattice" / "best_ali.txt")
    for utterance, lattice in lattices.items():
        best = best_path(lattice, SCALE)
        np.testing.assert_array_equal(best.transition_ids, alignments[utterance])
        times = by_place(best)
        starts, lengths = word_starts(model, places["place"], alignments[utterance])
        assert [(one.word, one.start_frame, one.num_frames) for one in times] == list(zip(best.words, starts, lengths))
        assert (
            times == by_lexicon(best) == best_path_times(lattice, by_place, SCALE) == best_path_times(lattice, by_lexicon, SCALE)
        )
        sure = by_place(lattice, SCALE)
        assert [one.word for one in sure] == best.words.tolist() and all(0 < one.confidence <= 1.0001 for one in sure)
        assert by_place(lattice, SCALE, words=best.words) == sure


def test_phone_aligned_lattices(kaldi):
    model, _, lattices = kaldi
    for lattice in lattices.values():
        for replace in (True, False):
            aligned, complete = align_phones(lattice, model, replace)
            assert complete and number_of_paths(aligned) <= number_of_paths(lattice)  # words that sound alike become one
            assert replace or number_of_paths(aligned) == number_of_paths(lattice)
            best = best_path(lattice, SCALE)
            arcs = best_arcs(aligned, SCALE)
            phones, lengths = model.phone_segments(best.transition_ids)
            frames = np.diff(aligned.tid_begin)[arcs]
            assert frames[frames > 0].tolist() == lengths.tolist()
            assert best_path(aligned, SCALE).words.tolist() == (phones if replace else best.words).tolist()


def test_alignment_verbs_write_what_kaldi_wrote(kaldi_reference, tmp_path):
    directory = kaldi_reference / "gmm" / "chain_tree"
    model, ali, out = str(directory / "final.mdl"), str(directory), tmp_path / "out"
    first = [line.split()[0] for line in gzip.decompress((directory / "pdf_first100.text.gz").read_bytes()).decode().splitlines()]

    def lines(path):
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        return [line.rstrip() for line in text.splitlines() if line.split()[0] in first]

    assert main(["ali-to-phones", "--write-lengths", "true", model, ali, str(out)]) == 0
    assert lines(out) == lines(directory / "phones_first100.text.gz")
    assert main(["ali-to-pdf", model, ali, f"ark,t:{out}"]) == 0
    assert lines(out) == lines(directory / "pdf_first100.text.gz")
    alignments = read_alignments(directory)
    assert main(["ali-to-phones", "--per-frame", "true", model, ali, str(out)]) == 0
    tid_to_phone = TransitionModel.read_file(model).tid_to_phone
    for utterance, phones in read_alignments(out).items():
        np.testing.assert_array_equal(phones, tid_to_phone[alignments[utterance]])
    assert main(["ali-to-phones", "--ctm-output", "true", "--frame-shift", "0.03", model, ali, str(out)]) == 0
    assert out.read_text().startswith("0001-000010011 1 0.00 0.57 1\n0001-000010011 1 0.57 0.15 151\n")
