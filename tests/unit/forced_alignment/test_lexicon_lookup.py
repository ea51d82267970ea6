"""Dictionaries and transcripts: the forms that users have them in."""

import pytest

from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.lexicon import Lexicon, Word


@pytest.fixture
def lexicon(tmp_path):
    path = tmp_path / "english.dict"
    path.write_text(
        "hello 0.99 0.2 1.0 0.9 HH AH L OW\nhello HH EH L OW\nDon't D OW N T\nin IH N\nlaw L AO\n<unk> spn\na1 1 AH\n"
    )
    return Lexicon.read(path)


def test_probabilities_are_told_from_phones(lexicon):
    assert lexicon.entries["hello"] == {("HH", "AH", "L", "OW"): 0.99, ("HH", "EH", "L", "OW"): 1.0}
    assert lexicon.entries["a1"] == {("AH",): 1.0}
    assert lexicon.phones == sorted({"HH", "AH", "EH", "L", "OW", "D", "N", "T", "IH", "AO", "spn"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, HELLO!", [Word("Hello", "hello"), Word("HELLO", "hello")]),
        ("don\u2019t -- \u201cin\u201d", [Word("don't", "Don't"), Word("in", "in")]),
        ("in-law well-in", [Word("in", "in"), Word("law", "law"), Word("well-in", "")]),
        ("<unk> zounds?", [Word("<unk>", "<unk>"), Word("zounds", "")]),
        ("... ?!", []),
    ],
)
def test_words_are_found_whatever_their_capitals_and_punctuation(lexicon, text, words):
    assert lexicon.words_of(text) == words


def test_kaldi_dictionary_directory(tmp_path):
    (tmp_path / "lexiconp.txt").write_text("ja 0.5 j a\nja 1.0 j aa\n")
    (tmp_path / "lexicon.txt").write_text("nein n ai n\n")
    assert Lexicon.read(tmp_path).entries == {"ja": {("j", "a"): 0.5, ("j", "aa"): 1.0}}


@pytest.mark.parametrize(("text", "message"), [("word\n", "line 1: no phones"), ("<s> a\n", "reserved"), ("", "empty")])
def test_damaged_dictionaries(tmp_path, text, message):
    (tmp_path / "bad.dict").write_text(text)
    with pytest.raises(AsrtoolError, match=message):
        Lexicon.read(tmp_path / "bad.dict")
