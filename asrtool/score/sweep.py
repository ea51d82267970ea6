"""Kaldi's scoring: the best LM weight and word insertion penalty over the lattices of a decoding.

Writes into a decoding directory, as steps/scoring/score_kaldi_wer.sh lays it out: `wer_<LMWT>_<WIP>` (or `cer_...`),
`scoring_kaldi/test_filt.txt` (references), `scoring_kaldi/penalty_<WIP>/<LMWT>.txt` (hypotheses; `.chars.txt` for CER),
`scoring_kaldi/best_wer`, and `scoring_kaldi/wer_details/` of the best setting: see `write_details`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.lattice.lattice import Lattice, best_path
from asrtool.score.bootstrap import bootstrap_interval, units
from asrtool.score.details import align_texts, operation_lines, per_speaker_lines, per_utterance_lines, system_table
from asrtool.score.edit_distance import ErrorCounts, count_errors
from asrtool.score.preparation import Preparation
from asrtool.score.text_files import Texts, write_kaldi_text, write_trn

Setting = tuple[int, float] | None
"""LM weight and word insertion penalty; None for words that were decoded with fixed ones."""


def setting_name(setting: Setting) -> str:
    """As in the names of files: "17_0.5"; "hyp" without a setting."""
    return f"{setting[0]}_{setting[1]:.1f}" if setting else "hyp"


def hypothesis_path(directory: str | Path, setting: Setting, suffix: str = "") -> Path:
    """Where the hypotheses of a setting are, as they were compared."""
    scoring = Path(directory) / "scoring_kaldi"
    return scoring / f"penalty_{setting[1]:.1f}" / f"{setting[0]}{suffix}.txt" if setting else scoring / f"hyp_filt{suffix}.txt"


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
) -> dict[Setting, Texts]:
    """The best path of every lattice at acoustic scale 1 / LMWT with every setting."""
    hypotheses: dict[Setting, Texts] = {setting: {} for setting in settings}
    for utterance, lattice in lattices:
        for lm_weight, penalty in settings:
            path = best_path(lattice, acoustic_scale=1.0 / lm_weight, word_insertion_penalty=penalty)
            words = [] if path is None else [word_of_id(int(word)) for word in path.words]
            hypotheses[lm_weight, penalty][utterance] = words
    return hypotheses


def score_text(
    references: Mapping[str, list[str]], hypotheses: Texts, metric: str = "wer", ignored: frozenset[str] = frozenset()
) -> Score:
    """Errors against `references`; an utterance without a hypothesis counts as all deleted.

    Args:
        metric: "wer" counts words, "cer" characters.
        ignored: words taken out of both sides (silence and unknown-word symbols).

    Raises:
        AsrtoolError: a hypothesis of an utterance that has no reference, or no reference words at all.
    """
    preparation = Preparation(ignored, metric=metric)
    return score_words(preparation.references(references), preparation.hypotheses(hypotheses), preparation)


Memory = dict[tuple[str, tuple[str, ...]], ErrorCounts]
"""Errors of hypotheses of utterances that were scored before: most settings of a sweep give the same words."""


def score_words(references: Texts, hypotheses: Texts, preparation: Preparation, memory: Memory | None = None) -> Score:
    """As `score_text`, of words that went through `preparation`."""
    unknown = sorted(set(hypotheses) - set(references))
    if unknown:
        raise AsrtoolError(f"{unknown[0]}: decoded but not in the reference text: score with the data directory that was decoded")
    memory = {} if memory is None else memory
    per_utterance = {}
    for utterance, reference in references.items():
        hypothesis = hypotheses.get(utterance, [])
        key = utterance, tuple(hypothesis)
        if key not in memory:
            memory[key] = count_errors(preparation.tokens(reference), preparation.tokens(hypothesis))
        per_utterance[utterance] = memory[key]
    counts = add_up(per_utterance.values())
    if counts.total == 0:
        raise AsrtoolError("the reference text has no words: nothing to score")
    return Score(counts, per_utterance, len(references) - len(hypotheses))


def add_up(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """The sum of many."""
    columns = zip(*((c.insertions, c.deletions, c.substitutions, c.total) for c in counts))
    return ErrorCounts(*map(sum, columns))


def error_line(counts: ErrorCounts, metric: str) -> str:
    """`%WER 65.36 [ 853 / 1305, 40 ins, 266 del, 547 sub ]`, as compute-wer prints it."""
    edits = f"{counts.insertions} ins, {counts.deletions} del, {counts.substitutions} sub"
    return f"%{metric.upper()} {counts.rate:.2f} [ {counts.errors} / {counts.total}, {edits} ]"


def write_scores(
    directory: Path,
    references: Mapping[str, list[str]],
    hypotheses: dict[Setting, Texts],
    preparation: Preparation,
    utt2spk: Mapping[str, str] | None = None,
) -> tuple[Setting, Score]:
    """Scores every setting, writes the files, and returns the best setting (the first of equals) with its score."""
    metric, memory = preparation.metric, {}
    references = preparation.references(references)
    hypotheses = {setting: preparation.hypotheses(texts) for setting, texts in hypotheses.items()}
    scores = {setting: score_words(references, texts, preparation, memory) for setting, texts in hypotheses.items()}
    for setting, score in scores.items():
        share = 100.0 * score.wrong_sentences / len(score.per_utterance)
        lines = [
            error_line(score.counts, metric),
            f"%SER {share:.2f} [ {score.wrong_sentences} / {len(score.per_utterance)} ]",
            f"Scored {len(score.per_utterance)} sentences, {score.missing} not present in hyp.",
        ]
        write_text(directory / f"{metric}_{setting_name(setting)}", "\n".join(lines) + "\n")
        write_kaldi_text(hypothesis_path(directory, setting), hypotheses[setting])
    best = min(scores, key=lambda setting: scores[setting].counts.errors)
    scoring = directory / "scoring_kaldi"
    write_kaldi_text(scoring / "test_filt.txt", references)
    compared = [
        {utterance: preparation.tokens(words) for utterance, words in texts.items()} for texts in (references, hypotheses[best])
    ]
    if metric == "cer":
        write_kaldi_text(scoring / "test_filt.chars.txt", compared[0])
        write_kaldi_text(hypothesis_path(directory, best, ".chars"), compared[1])
    name = directory / f"{metric}_{setting_name(best)}"
    write_details(scoring / f"{metric}_details", *compared, best, scores[best], metric, utt2spk or {})
    write_text(scoring / f"best_{metric}", f"{error_line(scores[best].counts, metric)} {name}\n")  # last: scoring is done
    return best, scores[best]


def write_details(
    directory: Path,
    references: Texts,
    hypotheses: Texts,
    setting: Setting,
    score: Score,
    metric: str,
    utt2spk: Mapping[str, str],
) -> None:
    """Kaldi's wer_details: lmwt, wip, per_utt (alignments), per_spk, ops, wer_bootci; and sclite's ref.trn, hyp.trn and sys."""
    alignments = align_texts(references, hypotheses)
    errors, totals = units([score.per_utterance])
    interval = bootstrap_interval(errors[0], totals)
    bounds = f"95% Conf Interval [ {interval.low:.2f}, {interval.high:.2f} ]"
    tables = {
        "per_utt": per_utterance_lines(alignments),
        "per_spk": per_speaker_lines(score.per_utterance, utt2spk),
        "ops": operation_lines(alignments),
        "sys": system_table(f"{metric.upper()} of {directory.parent.parent.name}", score.per_utterance, utt2spk),
        f"{metric}_bootci": [f"Set1: %{metric.upper()} {score.counts.rate:.2f} {bounds}"],
        "lmwt": [str(setting[0])] if setting else [],
        "wip": [f"{setting[1]:.1f}"] if setting else [],
    }
    for name, lines in tables.items():
        write_text(directory / name, "".join(f"{line}\n" for line in lines))
    write_trn(directory / "ref.trn", references, utt2spk)
    write_trn(directory / "hyp.trn", hypotheses, utt2spk)


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
