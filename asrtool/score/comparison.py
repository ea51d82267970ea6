"""Two systems side by side: error rates with their intervals, probability of improvement, significance."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.score.bootstrap import Interval, compare_systems, units
from asrtool.score.details import align_texts
from asrtool.score.preparation import Preparation
from asrtool.score.significance import matched_pairs, mcnemar, segment_errors
from asrtool.score.sweep import error_line, hypothesis_path, read_best_setting, score_words
from asrtool.score.text_files import Texts, read_text, read_trn


def load_texts(path: str | Path) -> Texts:
    """A Kaldi text, or a trn by the suffix."""
    return read_trn(path) if Path(path).suffix == ".trn" else read_text(path)


def load_system(path: str | Path, reference: str | Path | None, preparation: Preparation) -> tuple[Texts, Texts]:
    """References and hypotheses of a system, cut into what is compared.

    Args:
        path: a scored decoding directory, whose best setting is taken, or a file of hypotheses.
        reference: the text that a file of hypotheses is compared with; not used for directories.

    Raises:
        AsrtoolError: the directory was not scored with this metric, or there is no reference for a file.
    """
    if not Path(path).is_dir():
        if reference is None:
            raise AsrtoolError(f"{path}: a file of hypotheses needs --text with the references")
        sides = preparation.references(load_texts(reference)), preparation.hypotheses(load_texts(path))
        references, hypotheses = ({u: preparation.tokens(words) for u, words in side.items()} for side in sides)
        return references, hypotheses
    suffix = ".chars" if preparation.metric == "cer" else ""
    only = hypothesis_path(path, None, suffix)
    best = Path(path) / "scoring_kaldi" / f"best_{preparation.metric}"
    words_were_fixed = best.is_file() and best.read_text(encoding="utf-8").rstrip().endswith(f"{preparation.metric}_hyp")
    chosen = only if words_were_fixed else hypothesis_path(path, read_best_setting(path, preparation.metric), suffix)
    return read_text(Path(path) / "scoring_kaldi" / f"test_filt{suffix}.txt"), read_text(chosen)


def compare(
    first: tuple[Texts, Texts],
    second: tuple[Texts, Texts],
    metric: str = "wer",
    utt2spk: Mapping[str, str] | None = None,
    num_samples: int = 10000,
    seed: int = 0,
) -> list[str]:
    """The lines of a report.

    Args:
        first, second: (references, hypotheses) of the two systems; the references must be equal.
        utt2spk: draw whole speakers in the bootstrap (utterances of a speaker are not independent).

    Raises:
        AsrtoolError: the references differ.
    """
    if first[0] != second[0]:
        differs = next(u for u in sorted(set(first[0]) | set(second[0])) if first[0].get(u) != second[0].get(u))
        raise AsrtoolError(f"{differs}: the references of the two systems differ; score both with the same text and options")
    whole = Preparation()  # the texts are cut already
    scores = [score_words(*system, whole) for system in (first, second)]
    errors, totals = units([score.per_utterance for score in scores], utt2spk)
    result = compare_systems(*errors, totals, num_samples, seed)
    test = matched_pairs(*segment_errors(*(align_texts(*system) for system in (first, second))))
    wrong = [np.array([counts.errors > 0 for counts in score.per_utterance.values()]) for score in scores]
    only_first, only_second, p_sentences = mcnemar(*wrong)
    unit = "utterances" if utt2spk is None else "speakers"
    lines = [
        f"{name}: {error_line(score.counts, metric)} {_bounds(interval)}"
        for name, score, interval in zip(("system 1", "system 2"), scores, (result.first, result.second))
    ]
    few = "" if test.num_segments >= 50 else "; fewer than 50 segments: the normal approximation is rough"
    return [
        *lines,
        f"difference (2 - 1): {result.difference.rate:+.2f} {_bounds(result.difference)}, bootstrap of {num_samples} samples "
        f"over {len(totals)} {unit}, seed {seed}",
        f"probability of improvement (2 better than 1): {result.probability_of_improvement:.4f}",
        f"matched pairs (MAPSSWE): {test.num_segments} segments, mean difference {test.mean:+.4f}, standard deviation "
        f"{test.standard_deviation:.4f}, z {test.z:+.3f}, p {test.p:.4g} (two-sided{few})",
        f"sentences (McNemar): {only_first} wrong only in 1, {only_second} only in 2, p {p_sentences:.4g} (two-sided, exact)",
    ]


def _bounds(interval: Interval) -> str:
    return f"95% interval [ {interval.low:.2f}, {interval.high:.2f} ], standard error {interval.standard_error:.2f}"
