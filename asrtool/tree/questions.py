"""Questions about phones: derived from the data (Kaldi's cluster-phones) or read from a lang directory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import read_text
from asrtool.tree.stats import log_likelihood, sum_by_value


def automatic_questions(
    event_keys: np.ndarray,
    stats: np.ndarray,
    phone_sets: Sequence[Sequence[int]],
    central_position: int,
    pdf_classes: Sequence[int] = (1,),
) -> list[tuple[int, ...]]:
    """Sets of phones that sound alike, from splitting all phones again and again in two.

    The statistics of the central phone in `pdf_classes` (the middle state) are summed for each set of `phone_sets`
    (lang/phones/sets.int); the sets are split by two-means under the Gaussian log-likelihood until each stands alone,
    and every node of that tree is a question (Kaldi's AutomaticallyObtainQuestions). The start of the two-means is the
    principal axis of the means instead of Kaldi's random one, so that the result depends on nothing else.

    Returns:
        Sorted tuples of phones, without duplicates, larger ones first.

    Raises:
        AsrtoolError: no statistics for these pdf classes.
    """
    wanted = np.isin(event_keys[:, -1], pdf_classes)
    if not wanted.any():
        raise AsrtoolError(f"tree statistics: none for the pdf classes {', '.join(map(str, pdf_classes))}: align first")
    phones, sums = sum_by_value(event_keys[wanted, central_position], stats[wanted])
    of_phone = dict(zip(phones.tolist(), sums))
    zero = np.zeros(stats.shape[1])
    points = np.array([sum((of_phone.get(phone, zero) for phone in phones), zero) for phones in phone_sets])
    questions: set[tuple[int, ...]] = set()
    stack = [np.arange(len(phone_sets))]
    while stack:
        members = stack.pop()
        questions.add(tuple(sorted(phone for index in members for phone in phone_sets[index])))
        if len(members) > 1:
            first = _two_means(points[members])
            stack += [members[first], members[~first]]
    return sorted(questions, key=lambda question: (-len(question), question))


def _two_means(points: np.ndarray) -> np.ndarray:
    """bool [M]: the first of two non-empty clusters of the points [M, 1 + 2D], moved one by one to a local optimum."""
    first = _principal_halves(points)
    for _ in range(10 * len(points)):
        inside, outside = points[first].sum(0), points[~first].sum(0)
        now = log_likelihood(inside) + log_likelihood(outside)
        sign = np.where(first, -1.0, 1.0)[:, None]
        gain = log_likelihood(inside + sign * points) + log_likelihood(outside - sign * points) - now
        alone = np.where(first, first.sum() == 1, (~first).sum() == 1)
        gain[alone | (points[:, 0] <= 0)] = -np.inf
        best = int(gain.argmax())
        if not gain[best] > 1e-9 * max(1.0, abs(now)):  # a gain of rounding size would move points for ever
            break
        first[best] = ~first[best]
    return first


def _principal_halves(points: np.ndarray) -> np.ndarray:
    """Splits at the mean along the axis of largest between-point variance, in units of the pooled deviation."""
    dim = (points.shape[1] - 1) // 2
    count = np.maximum(points[:, :1], 1e-10)
    mean = points[:, 1 : 1 + dim] / count
    centre = (count * mean).sum(0) / count.sum()
    within = np.maximum(points[:, 1 + dim :].sum(0) / count.sum() - centre**2, 1e-10)
    scaled = np.where(points[:, :1] > 0, (mean - centre) / np.sqrt(within), 0.0)
    _, _, axes = np.linalg.svd(np.sqrt(count) * scaled, full_matrices=False)
    axis = axes[0] * np.sign(axes[0][np.abs(axes[0]).argmax()])  # the sign of a singular vector is arbitrary
    first = scaled @ axis > 0
    if first.all() or not first.any():
        first = np.arange(len(points)) < len(points) // 2
    return first


def read_questions(path: str | Path) -> list[tuple[int, ...]]:
    """A file such as lang/phones/extra_questions.int: phones of one question a line.

    Raises:
        AsrtoolError: a line holds something else than phone numbers.
    """
    questions = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            question = tuple(sorted({int(word) for word in line.split()}))
        except ValueError:
            raise AsrtoolError(f"{path}: line {number}: a question must be a list of phone numbers: give the .int file") from None
        if question:
            questions.append(question)
    return questions
