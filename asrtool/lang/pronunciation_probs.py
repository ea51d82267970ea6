"""A dictionary with the probabilities of its pronunciations and of silence beside them (Kaldi's dict_dir_add_pronprobs.sh).

After Chen et al. 2015, "Pronunciation and silence probability modeling for ASR", sections 2 and 3. Numbers are rounded at every
place where Kaldi's files round them, so that the same counts give the same files.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_text
from asrtool.lang.dictionary import Dictionary
from asrtool.lang.pron_counts import BEGIN, END, SILENCE

SMOOTHING_AFTER = 2.0  # lambda_2: how much the overall share of silence counts, in occurrences of the word
SMOOTHING_BEFORE = 2.0  # lambda_3
COPIED = ("silence_phones.txt", "nonsilence_phones.txt", "optional_silence.txt", "extra_questions.txt")

Weighted = list[tuple[str, str, str]]  # word, probability as text, "word phones..."


def add_pron_probs(
    dict_dir: str | Path,
    pron_counts: str | Path,
    out_dir: str | Path,
    silence_files: tuple[Path, Path] | None = None,
    max_normalize: bool = True,
) -> Weighted:
    """Writes `out_dir`: the dictionary with lexiconp.txt and, from `silence_files` (sil_counts_nowb.txt and
    pron_bigram_counts_nowb.txt), lexiconp_silprob.txt and silprob.txt.

    Args:
        max_normalize: the likeliest pronunciation of each word gets 1.

    Raises:
        AsrtoolError: the dictionary or a file of counts does not fit, or counts pronunciations that the dictionary lacks.
    """
    dictionary, out_dir = Dictionary.load(dict_dir), Path(out_dir)
    prons = sorted({(entry.word, " ".join([entry.word, *entry.phones])) for entry in dictionary.entries})
    lexicon = pronunciation_probs(prons, pron_counts, max_normalize)
    if silence_files is not None:
        rows, ends = _silence_probs(lexicon, *silence_files)
        _write(out_dir / "lexiconp_silprob.txt", (" ".join([word, *rest, pron]) for word, *rest, pron in rows))
        write_text(out_dir / "silprob.txt", ends)
    else:
        for name in ("lexiconp_silprob.txt", "silprob.txt"):
            (out_dir / name).unlink(missing_ok=True)
    _write(out_dir / "lexiconp.txt", (f"{word} {share} {_phones(pron)}" for word, share, pron in lexicon))
    _write(out_dir / "lexicon.txt", (pron for _, _, pron in lexicon))
    for name in COPIED:
        if (dictionary.path / name).exists():
            shutil.copyfile(dictionary.path / name, out_dir / name)
    return lexicon


def pronunciation_probs(prons: list[tuple[str, str]], counts_file: str | Path, max_normalize: bool) -> Weighted:
    """Shares of a word's pronunciations, each counted once more than `counts_file` says; by word, share and phones.

    Args:
        prons: (word, "word phones..."), without repetitions.
    """
    counts = {pron: 1 for _, pron in prons}
    for number, line in _lines(counts_file):
        count, *pron = line.split()
        if not count.isdecimal() or not pron:
            raise AsrtoolError(f"{counts_file}: line {number}: expected 'count word phones...', found '{line[:60]}'")
        name = " ".join(pron)
        if name not in counts:
            if pron[0] == SILENCE:
                continue
            raise AsrtoolError(
                f"{counts_file}: line {number}: '{name}' is not in the lexicon; "
                "use pron_counts_nowb.txt of speech that was aligned with this dictionary"
            )
        counts[name] += int(count)
    totals: dict[str, int] = defaultdict(int)
    for word, pron in prons:
        totals[word] += counts[pron]
    lexicon = [(word, _awk(counts[pron] / totals[word]), pron) for word, pron in prons]
    lexicon.sort(key=lambda row: (row[0], float(row[1]), _phones(row[2])))
    if max_normalize:
        best: dict[str, float] = defaultdict(float)
        for word, share, _ in lexicon:
            best[word] = max(best[word], float(share))
        lexicon = [(word, _awk(float(share) / best[word]), pron) for word, share, pron in lexicon]
    return lexicon


def _silence_probs(lexicon: Weighted, silence_counts: Path, pair_counts: Path) -> tuple[list[tuple[str, ...]], str]:
    """Rows (word, probability, P(silence after), F(silence before), F(none before), phones), and the text of silprob.txt."""
    beside = defaultdict(lambda: (0, 0, 0, 0), _read_beside(silence_counts))
    before, none_before = (sum(numbers[place] for numbers in beside.values()) for place in (0, 1))
    if before + none_before == 0:
        raise AsrtoolError(f"{silence_counts}: no counts; make it again with steps/get_prons.sh")
    overall = float(f"{before / (before + none_before):.2f}")

    def share_after(pron: str) -> str:
        after = beside[pron][2] + overall * SMOOTHING_AFTER
        none_after = beside[pron][3] + (1.0 - overall) * SMOOTHING_AFTER
        return _inside(f"{after / (after + none_after):.2f}")

    after = {pron: share_after(pron) for _, _, pron in lexicon}
    expected: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for first, second, count in _read_pairs(pair_counts):
        # as in Kaldi <s>, which is in no lexicon, counts as if there were never silence after it
        probability = float(after.get(first, "0"))
        expected[second][0] += count * probability
        expected[second][1] += count * (1.0 - probability)

    def factors(pron: str) -> list[float]:
        return [(beside[pron][place] + SMOOTHING_BEFORE) / (expected[pron][place] + SMOOTHING_BEFORE) for place in (0, 1)]

    rows = []
    for word, share, pron in lexicon:
        texts = [f"{factor:.2f}" for factor in factors(pron)]
        rows.append((word, share, after[pron], *("0.01" if text == "0.00" else text for text in texts), _phones(pron)))
    rows.sort(key=lambda row: (row[0], float(row[1]), row[5]))
    end_silence, end_none = (f"{factor:.15g}" for factor in factors(END))
    # Kaldi writes an overall share of 0.00 too, and cannot read it again
    ends = f"<s> {share_after(BEGIN)}\n</s>_s {end_silence}\n</s>_n {end_none}\noverall {max(overall, 0.01):.2f}\n"
    return rows, ends


def _inside(text: str) -> str:
    return {"0.00": "0.01", "1.00": "0.99"}.get(text, text)


def _read_beside(path: Path) -> dict[str, tuple[int, ...]]:
    result = {}
    for number, line in _lines(path):
        fields = line.split()
        if len(fields) < 5 or not all(field.isdecimal() for field in fields[:4]):
            raise AsrtoolError(f"{path}: line {number}: expected four counts, a word and its phones, found '{line[:60]}'")
        result[" ".join(fields[4:])] = tuple(map(int, fields[:4]))
    return result


def _read_pairs(path: Path) -> Iterator[tuple[str, str, int]]:
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != 3 or not fields[0].isdecimal():
            raise AsrtoolError(
                f"{path}: line {number}: expected 'count<tab>pronunciation<tab>pronunciation', found '{line[:60]}'"
            )
        yield fields[1], fields[2], int(fields[0])


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    text = read_text(path, "no such file; make it with steps/get_prons.sh")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _phones(pron: str) -> str:
    return pron.split(" ", 1)[1]


def _awk(value: float) -> str:
    """A number as awk prints it."""
    return f"{value:.6g}"


def _write(path: Path, lines: Iterator[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
