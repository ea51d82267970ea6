"""Kaldi's scoring: the best LM weight and word insertion penalty over the lattices of a decoding.

Writes into a decoding directory, as steps/scoring/score_kaldi_wer.sh lays it out: `wer_<LMWT>_<WIP>` (or `cer_...`),
`scoring_kaldi/penalty_<WIP>/<LMWT>.txt` (hypotheses), `scoring_kaldi/best_wer`, `scoring_kaldi/wer_details/per_utt`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.lattice.lattice import Lattice, best_path
from asrtool.score.edit_distance import ErrorCounts, count_errors, to_characters

Hypotheses = dict[str, list[str]]
Setting = tuple[int, float] | None
"""LM weight and word insertion penalty; None for words that were decoded with fixed ones."""


def setting_name(setting: Setting) -> str:
    """As in the names of files: "17_0.5"; "hyp" without a setting."""
    return f"{setting[0]}_{setting[1]:.1f}" if setting else "hyp"


def settings_grid(min_lm_weight: int, max_lm_weight: int, penalties: str) -> list[Setting]:
    """All pairs of an LM weight in the range and a penalty of the comma-separated list.

    Raises:
        AsrtoolError: an empty range, a weight below 1, or something that is not a number.
    """
    if not 1 <= min_lm_weight <= max_lm_weight:
        raise AsrtoolError(f"--min-lmwt {min_lm_weight} --max-lmwt {max_lm_weight}: expected 1 <= min <= max")
    try:
        values = [float(penalty) for penalty in penalties.split(",")]
    except ValueError:
        raise AsrtoolError(f"--word-ins-penalty {penalties}: expected numbers separated by commas, 0.0,0.5,1.0") from None
    return [(weight, penalty) for weight in range(min_lm_weight, max_lm_weight + 1) for penalty in values]


@dataclass(frozen=True)
class Score:
    """Errors of one setting: summed, a sentence each, and the sentences with any."""

    counts: ErrorCounts
    per_utterance: dict[str, ErrorCounts]
    missing: int

    @property
    def wrong_sentences(self) -> int:
        return sum(counts.errors > 0 for counts in self.per_utterance.values())


def sweep_lattices(
    lattices: Iterable[tuple[str, Lattice]], settings: list[Setting], word_of_id: Callable[[int], str]
) -> dict[Setting, Hypotheses]:
    """The best path of every lattice at acoustic scale 1 / LMWT with every setting."""
    hypotheses: dict[Setting, Hypotheses] = {setting: {} for setting in settings}
    for utterance, lattice in lattices:
        for lm_weight, penalty in settings:
            path = best_path(lattice, acoustic_scale=1.0 / lm_weight, word_insertion_penalty=penalty)
            words = [] if path is None else [word_of_id(int(word)) for word in path.words]
            hypotheses[lm_weight, penalty][utterance] = words
    return hypotheses


def score_text(
    references: Mapping[str, list[str]], hypotheses: Hypotheses, metric: str = "wer", ignored: frozenset[str] = frozenset()
) -> Score:
    """Errors against `references`; an utterance without a hypothesis counts as all deleted.

    Args:
        metric: "wer" counts words, "cer" characters.
        ignored: words taken out of both sides (silence and unknown-word symbols).

    Raises:
        AsrtoolError: a hypothesis of an utterance that has no reference, or no reference words at all.
    """
    unknown = sorted(set(hypotheses) - set(references))
    if unknown:
        raise AsrtoolError(f"{unknown[0]}: decoded but not in the reference text: score with the data directory that was decoded")
    per_utterance = {}
    for utterance, reference in references.items():
        sides = ([word for word in words if word not in ignored] for words in (reference, hypotheses.get(utterance, [])))
        reference, hypothesis = (to_characters(words) if metric == "cer" else words for words in sides)
        per_utterance[utterance] = count_errors(reference, hypothesis)
    counts = sum(per_utterance.values(), ErrorCounts())
    if counts.total == 0:
        raise AsrtoolError("the reference text has no words: nothing to score")
    return Score(counts, per_utterance, len(references) - len(hypotheses))


def error_line(counts: ErrorCounts, metric: str) -> str:
    """`%WER 65.36 [ 853 / 1305, 40 ins, 266 del, 547 sub ]`, as compute-wer prints it."""
    edits = f"{counts.insertions} ins, {counts.deletions} del, {counts.substitutions} sub"
    return f"%{metric.upper()} {counts.rate:.2f} [ {counts.errors} / {counts.total}, {edits} ]"


def write_scores(
    directory: Path,
    references: Mapping[str, list[str]],
    hypotheses: dict[Setting, Hypotheses],
    metric: str,
    ignored: frozenset[str],
) -> tuple[Setting, Score]:
    """Scores every setting, writes the files, and returns the best setting (the first of equals) with its score."""
    scores = {setting: score_text(references, texts, metric, ignored) for setting, texts in hypotheses.items()}
    scoring = directory / "scoring_kaldi"
    for setting, score in scores.items():
        share = 100.0 * score.wrong_sentences / len(score.per_utterance)
        lines = [
            error_line(score.counts, metric),
            f"%SER {share:.2f} [ {score.wrong_sentences} / {len(score.per_utterance)} ]",
            f"Scored {len(score.per_utterance)} sentences, {score.missing} not present in hyp.",
        ]
        write_text(directory / f"{metric}_{setting_name(setting)}", "\n".join(lines) + "\n")
        if setting is None:
            continue
        texts = hypotheses[setting]
        text = "".join(" ".join([utterance, *texts[utterance]]) + "\n" for utterance in sorted(texts))
        write_text(scoring / f"penalty_{setting[1]:.1f}" / f"{setting[0]}.txt", text)
    best = min(scores, key=lambda setting: scores[setting].counts.errors)
    name = directory / f"{metric}_{setting_name(best)}"
    rows = [
        f"{utterance} ref {c.total} errors {c.errors} ins {c.insertions} del {c.deletions} sub {c.substitutions}\n"
        for utterance, c in scores[best].per_utterance.items()
    ]
    write_text(scoring / f"{metric}_details" / "per_utt", "".join(rows))
    write_text(scoring / f"best_{metric}", f"{error_line(scores[best].counts, metric)} {name}\n")  # last: scoring is done
    return best, scores[best]


def read_best_setting(directory: str | Path, metric: str) -> Setting:
    """LM weight and penalty that were best in another decoding directory (a development set's).

    Raises:
        AsrtoolError: it was not scored.
    """
    path = Path(directory) / "scoring_kaldi" / f"best_{metric}"
    found = re.search(rf"{metric}_(\d+)_([\d.]+)\s*$", path.read_text(encoding="utf-8")) if path.is_file() else None
    if found is None:
        raise AsrtoolError(f"{path}: no best LM weight in it; score {directory} first")
    return int(found[1]), float(found[2])


def read_text(path: str | Path) -> Hypotheses:
    """Reads a Kaldi text: an utterance and its words a line.

    Raises:
        AsrtoolError: no such file, or an utterance twice.
    """
    path = Path(path)
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; decode first")
    text: Hypotheses = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        utterance, *words = line.split() or [""]
        if not utterance or utterance in text:
            raise AsrtoolError(f"{path}: {utterance or 'an empty line'}: each utterance must stand once; decode again")
        text[utterance] = words
    return text
