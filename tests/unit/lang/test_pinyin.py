"""Pinyin to phones, and whole dictionaries from word lists."""

import pytest

from asrtool.cli import main
from asrtool.lang.pinyin import make_dict, syllable_phones, word_phones


@pytest.mark.parametrize(
    ("syllable", "phones"),
    [
        ("bei3", "b ei3"), ("zhi1", "zh iii1"),
        ("zi5", "z ii5"), ("ri4", "r iii4"), ("ji1", "j i1"), ("yi1", "i1"), ("wu3", "u3"),
        ("yu2", "v2"), ("yuan2", "van2"), ("yue4", "ve4"), ("yun2", "vn2"), ("you3", "iou3"), ("wei4", "uei4"),
        ("wen4", "uen4"),
        ("liu2", "l iou2"), ("dui4", "d uei4"), ("lun2", "l uen2"), ("nv3", "n v3"), ("xu1", "x v1"), ("jun1", "j vn1"),
        ("er2", "er2"),
        ("a5", "a5"), ("weng1", "ueng1"), ("yong3", "iong3"), ("ng4", "eng4"), ("n2", "en2"), ("shuang1", "sh uang1"),
    ],
)  # fmt: skip
def test_syllables(syllable, phones):
    assert syllable_phones(syllable) == tuple(phones.split())


@pytest.mark.parametrize("syllable", ["bei", "xyz1", "b1", "3", "", "bei6"])
def test_not_syllables(syllable):
    with pytest.raises(ValueError):
        syllable_phones(syllable)


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("银行", "in2 h ang2"), ("重庆", "ch ong2 q ing4"), ("T恤", "t i4 x v4"), ("Ｋ歌", "k ei4 g e1"), ("5g", "u3 j i4"),
        ("〇", "l ing2"), ("儿子", "er2 z ii5"),
    ],
)  # fmt: skip
def test_words(word, phones):
    assert word_phones(word) == [tuple(phones.split())]


def test_heteronyms():
    assert len(word_phones("行")) == 1
    assert {("x", "ing2"), ("h", "ang2")} <= set(word_phones("行", heteronyms=True))
    assert word_phones("银行", heteronyms=True) == word_phones("银行")


def test_every_reading_pypinyin_knows_has_phones():
    from pypinyin.constants import PINYIN_DICT
    from pypinyin.contrib.tone_convert import to_tone3

    readings = {reading for readings in PINYIN_DICT.values() for reading in readings.split(",")}
    syllables = {to_tone3(reading, v_to_u=False, neutral_tone_with_five=True) for reading in readings}
    assert len(syllables) > 1400
    assert all(1 <= len(syllable_phones(syllable)) <= 2 for syllable in syllables)


def test_dictionary_to_lang(tmp_path, capsys):
    (tmp_path / "words.txt").write_text("<eps> 0\n!SIL 1\n<UNK> 2\n北京 3\n天气 4\n啊 5\n#0 6\n<s> 7\n</s> 8\n")
    dict_dir, lang = tmp_path / "dict", tmp_path / "lang"
    assert main(["make-pinyin-dict", str(tmp_path / "words.txt"), str(dict_dir)]) == 0
    assert (dict_dir / "lexicon.txt").read_text().splitlines() == [
        "!SIL SIL", "<UNK> SPN", "北京 b ei3 j ing1", "啊 a5", "天气 t ian1 q i4",
    ]  # fmt: skip
    nonsilence = (dict_dir / "nonsilence_phones.txt").read_text().splitlines()
    assert nonsilence[:4] == ["b", "j", "q", "t"] and "ei1 ei2 ei3 ei4 ei5" in nonsilence
    assert (dict_dir / "extra_questions.txt").read_text().splitlines()[2] == "a1 ei1 i1 ian1 ing1"
    arguments = ["--position-dependent-phones", "false", str(dict_dir), "<UNK>", str(tmp_path / "tmp"), str(lang)]
    assert main(["prepare-lang", *arguments]) == 0
    assert "shared split a1 a2 a3 a4 a5\n" in (lang / "phones" / "roots.txt").read_text()
    assert main(["validate-lang", str(lang)]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("北京\n天★气\n", "line 2: word '天★气': no reading of the character '★'"),
        ("café\n", "line 1: word 'café': no reading of the character 'é'"),
        ("<s>\n\n", "no words"),
    ],
)
def test_bad_words(tmp_path, text, message, capsys):
    (tmp_path / "words").write_text(text)
    assert main(["make-pinyin-dict", str(tmp_path / "words"), str(tmp_path / "dict")]) == 1
    error = capsys.readouterr().err
    assert message in error and f"{tmp_path}/words" in error and error.count("\n") == 1
    assert not (tmp_path / "dict").exists()


def test_old_probabilities_do_not_outlive_a_new_list(tmp_path):
    (tmp_path / "words").write_text("北京\n")
    (tmp_path / "dict").mkdir()
    (tmp_path / "dict" / "lexiconp.txt").write_text("x 1.0 SIL\n")
    assert make_dict(tmp_path / "words", tmp_path / "dict") == 1
    assert not (tmp_path / "dict" / "lexiconp.txt").exists()
