"""Held-out figures of models as evaluate-nnet wrote them: a table, a heat map of phones, the top confusions."""

from typing import Any

import numpy as np

from asrtool.report.experiment import Experiment, hours
from asrtool.report.html import figure, grid, html, paragraph, table

MOST = 45  # phones in the heat map
TOP = 20  # confusions in the table
HINT = (
    "steps/nnet/report.sh --ali-dir ALI --data-dir DATA EXP, or asrtool evaluate-nnet --out EXP/evaluation_NAME.json, makes it."
)


def held_out_section(experiment: Experiment) -> str:
    """Tables and heat map of the evaluation with the lowest FER."""
    usable = {name: found for name, found in experiment.evaluations.items() if _is_whole(found)}
    damaged = sorted(set(experiment.evaluations) - set(usable))
    notes = [paragraph(f"{name} is not a file of evaluate-nnet and was left out.") for name in damaged]
    if not usable:
        return "\n".join([*notes, paragraph(f"No evaluation on held-out frames in this directory. {HINT}")])
    best = min(usable, key=lambda name: usable[name]["fer"])
    rows = [
        [
            name,
            f"{found['utterances']:,}",
            f"{found['frames']:,}",
            f"{hours(found['frames']):.2f}",
            f"{found['loss']:.4f}",
            f"{100 * found['fer']:.2f}",
            f"{100 * found['frame_accuracy']:.2f}",
            f"{100 * found['phone_accuracy']:.2f}",
        ]
        for name, found in usable.items()
    ]
    header = ["file", "utterances", "10 ms frames", "hours", "loss", "FER %", "frame accuracy %", "phone accuracy %"]
    confusion_CC, names = np.array(usable[best]["confusion"], np.int64), usable[best]["phones"]
    text = f"Phones of {best}, model {usable[best].get('model')}, on {usable[best].get('data_dir')}."
    return "\n".join(
        [
            *notes,
            table(header, rows),
            paragraph(
                "Frame accuracy and phone accuracy: the outputs whose best pdf is the alignment's, or one of its phone's.",
                soft=True,
            ),
            "<h3>Confusion of phones</h3>",
            paragraph(text),
            grid([heat_map(confusion_CC, names), f"<div><h3>The most frequent</h3>{_confusions(confusion_CC, names)}</div>"]),
            "<h3>Phones</h3>",
            _phones(confusion_CC, names),
        ]
    )


def _is_whole(found: dict[str, Any]) -> bool:
    numbers = ("utterances", "frames", "loss", "fer", "frame_accuracy", "phone_accuracy")
    if not all(isinstance(found.get(name), int | float) for name in numbers) or not found.get("phones"):
        return False
    rows = found.get("confusion")
    return isinstance(rows, list) and [len(row) for row in rows] == [len(found["phones"])] * len(found["phones"])


def order_of_phones(confusion_CC: np.ndarray) -> np.ndarray:
    """The most frequent phones, in an order that puts those side by side that are taken for one another."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    frequency = confusion_CC.sum(axis=1)
    chosen = np.sort(np.argsort(-frequency, kind="stable")[: min(MOST, np.count_nonzero(frequency))])
    if len(chosen) < 3:
        return chosen
    part = confusion_CC[np.ix_(chosen, chosen)]
    share = part / np.maximum(part.sum(axis=1, keepdims=True), 1)
    distance = 1.0 - np.sqrt((share + share.T) / 2)
    return chosen[leaves_list(linkage(distance[np.triu_indices(len(chosen), 1)], "average", optimal_ordering=True))]


def heat_map(confusion_CC: np.ndarray, names: list[str]) -> str:
    """An SVG with one square a pair of phones; its figures show under the pointer."""
    order = order_of_phones(confusion_CC)
    totals = np.maximum(confusion_CC.sum(axis=1), 1)
    cell, left, top = 14, 46, 46
    size = cell * len(order)
    squares, labels = [], []
    for row, reference in enumerate(order):
        y = top + cell * row
        labels.append(f'<text x="{left - 4}" y="{y + 10}" text-anchor="end">{html(names[reference])}</text>')
        x = left + cell * row + 10
        labels.append(f'<text x="{x}" y="{top - 4}" transform="rotate(-90 {x} {top - 4})">{html(names[reference])}</text>')
        for column, other in enumerate(order):
            count = int(confusion_CC[reference, other])
            share = count / totals[reference]
            if share < 0.002:
                continue
            colour = "accent" if row == column else "heat"
            label = f"{names[reference]} as {names[other]}: {count:,}, {100 * share:.1f} %"
            squares.append(
                f'<rect x="{left + cell * column}" y="{y}" width="{cell}" height="{cell}" fill="var(--{colour})" '
                f'fill-opacity="{share**0.5:.2f}"><title>{html(label)}</title></rect>'
            )
    frame = f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="var(--line)"/>'
    width, height = left + size + 2, top + size + 2
    left_out = np.count_nonzero(confusion_CC.sum(axis=1)) - len(order)
    others = f" {left_out} rarer phones are not shown." if left_out else ""
    opening = (
        f'<svg class="plot" style="max-width: {max(1.2 * width, 300):.0f}px" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Confusion of phones" font-size="9.5" fill="currentColor">'
    )
    caption = (
        "Rows: the phone of the alignment; columns: the network's. Depth of colour: square root of the share of the row, the "
        "diagonal in blue, confusions in orange; hold the pointer over a square for its figures. Phones that are taken for one "
        f"another stand side by side.{others}"
    )
    return figure("\n".join([opening, frame, *squares, *labels, "</svg>"]), caption)


def _confusions(confusion_CC: np.ndarray, names: list[str]) -> str:
    totals, all_wrong = confusion_CC.sum(axis=1), confusion_CC.sum() - np.trace(confusion_CC)
    wrong = confusion_CC - np.diag(np.diag(confusion_CC))
    pairs = [divmod(int(index), len(names)) for index in np.argsort(-wrong, axis=None, kind="stable")[:TOP]]
    rows = [
        [
            names[r],
            names[c],
            f"{wrong[r, c]:,}",
            f"{100 * wrong[r, c] / totals[r]:.1f}",
            f"{100 * wrong[r, c] / all_wrong:.1f}",
        ]
        for r, c in pairs
        if wrong[r, c]
    ]
    if not rows:
        return paragraph("None: every phone was recognised.")
    return table(["phone", "taken for", "targets", "% of the phone", "% of all confusions"], rows)


def _phones(confusion_CC: np.ndarray, names: list[str]) -> str:
    total = max(int(confusion_CC.sum()), 1)
    rows = []
    for index in np.argsort(-confusion_CC.sum(axis=1), kind="stable"):
        count, right, answered = (
            int(n) for n in (confusion_CC[index].sum(), confusion_CC[index, index], confusion_CC[:, index].sum())
        )
        if not count:
            continue
        others = confusion_CC[index].copy()
        others[index] = 0
        worst = int(others.argmax())
        confused = f"{names[worst]} ({100 * others[worst] / count:.1f} %)" if others[worst] else None
        precision = f"{100 * right / answered:.1f}" if answered else None
        rows.append([names[index], f"{count:,}", f"{100 * count / total:.2f}", f"{100 * right / count:.1f}", precision, confused])
    header = ["phone", "targets", "% of all", "recall %", "precision %", "most often taken for"]
    half = max(12, -(-len(rows) // 2))
    return grid([table(header, part) for part in (rows[:half], rows[half:]) if part])
