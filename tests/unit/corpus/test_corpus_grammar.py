"""The grammar of mini_mandarin: its size, its reader's errors, the plan of who says what."""

import random
import re

import pytest

from asrtool.errors import AsrtoolError
from asrtool.lang.pinyin import word_syllables


@pytest.fixture(scope="module")
def local(repository):
    """Imports local/*.py of the recipe as it runs them: with local/ on the path."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(repository / "egs" / "mini_mandarin" / "s5" / "local"))
    import grammar
    import plan
    import speakers

    yield grammar, plan, speakers
    patch.undo()


def test_the_language_is_large_enough(local):
    grammar = local[0].Grammar()
    generator = random.Random(3)
    sentences = [grammar.sentence(generator) for _ in range(20000)]
    assert len(grammar.words()) >= 800
    assert len({word for words in sentences for word in words}) >= 800
    assert len({"".join(words) for words in sentences}) >= 12000
    assert all(2 <= len("".join(words)) <= 16 for words in sentences)
    assert {word for words in sentences for word in words} <= set(grammar.words())


def test_words_are_chinese_characters_only(local):
    assert [word for word in local[0].Grammar().words() if not re.fullmatch("[\u4e00-\u9fff]+", word)] == []


def test_every_character_has_one_syllable_with_a_tone(local):
    words = local[0].Grammar().words()
    for word in words:
        syllables = re.findall("[a-z]+[1-5]", local[1].pinyin([word]))
        assert len(syllables) == len(word), word
        assert "".join(syllables) == local[1].pinyin([word])


def test_what_is_spoken_is_what_the_lexicon_says(local):
    for word in local[0].Grammar().words():
        assert ["".join(reading) for reading in word_syllables(word)] == [local[1].pinyin([word])], word


def test_weights_options_and_choices_are_followed(local, tmp_path):
    (tmp_path / "grammar.txt").write_text("query:\n  3 | 一 [ 二 ] 三\n  1 | <fruit> ( 大 | 小 )\n", encoding="utf-8")
    (tmp_path / "fruit.txt").write_text("苹果\n大 香蕉\n", encoding="utf-8")
    grammar = local[0].Grammar(tmp_path)
    generator = random.Random(1)
    drawn = [" ".join(grammar.sentence(generator)) for _ in range(4000)]
    assert set(drawn) == {"一 三", "一 二 三", "苹果 大", "苹果 小", "大 香蕉 大", "大 香蕉 小"}
    assert sum(text.startswith("一") for text in drawn) / 4000 == pytest.approx(0.75, abs=0.03)
    assert sum("二" in text for text in drawn) / 3000 == pytest.approx(0.5, abs=0.04)
    assert grammar.words() == sorted(["一", "二", "三", "苹果", "大", "香蕉", "小"])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("一 [ 二", r"line 2: '\[' is not closed"),
        ("一 ( 二 ]", r"line 2: '\(' is not closed"),
        ("一 ) 二", r"line 2: '\)' closes nothing"),
        ("<nothing>", r"<nothing>: neither a rule of that name nor a list nothing.txt"),
    ],
)
def test_a_faulty_grammar_is_named(local, tmp_path, pattern, message):
    (tmp_path / "grammar.txt").write_text(f"query:\n  {pattern}\n", encoding="utf-8")
    with pytest.raises(AsrtoolError, match=message):
        local[0].Grammar(tmp_path)


def test_an_empty_list_is_named(local, tmp_path):
    (tmp_path / "grammar.txt").write_text("query:\n  <fruit>\n", encoding="utf-8")
    (tmp_path / "fruit.txt").write_text("\n")
    with pytest.raises(AsrtoolError, match=r"fruit.txt: empty word list"):
        local[0].Grammar(tmp_path)


def test_the_default_plan_has_distinct_sentences_and_speakers(local):
    grammar, plan = local[0].Grammar(), local[1]
    settings = plan.Settings()
    planned = plan.make_plan(grammar, settings)
    assert plan.make_plan(grammar, settings) == planned
    sentences = {split: ["".join(u.words) for utterances in planned[split].values() for u in utterances] for split in planned}
    everything = [text for texts in sentences.values() for text in texts]
    assert len(everything) == len(set(everything)) >= 5000
    voices = {split: {(s.variant, s.pitch, s.rate, s.pitch_range, s.resample_down) for s in planned[split]} for split in planned}
    assert {split: len(voices[split]) for split in voices} == {"train": 40, "valid": 6, "test": 6}
    assert len(set().union(*voices.values())) == 52
    extra = {line.replace(" ", "") for line in plan.lm_text(grammar, plan.Settings(lm_sentences=3000), planned)}
    assert not extra & {*sentences["valid"], *sentences["test"]}
    other = plan.make_plan(grammar, plan.Settings(seed=2))
    assert set(other["test"]) != set(planned["test"])


def test_more_hours_scale_the_held_out_sets_above_a_floor(local):
    settings = local[1].Settings
    assert settings(hours=2.5).split_hours("test") == pytest.approx(0.3)
    assert settings(hours=10).split_hours("valid") == pytest.approx(1.2)
    assert settings(hours=0.05).split_hours("test") == pytest.approx(0.02)
