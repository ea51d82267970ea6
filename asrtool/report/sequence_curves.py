"""Curves of sequence training against the epoch: objective, held-out loss, word error rate, staleness, silence."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.report.experiment import Experiment
from asrtool.report.figures import MARKERS
from asrtool.report.html import figure, grid, paragraph
from asrtool.report.pictures import fifth_of_an_epoch, picture, png, running_mean, thin

COLUMNS = 4
SIZE = (4.0, 3.0)
"""Inches of a panel."""

Points = tuple[np.ndarray, np.ndarray]


def sequence_curves(experiment: Experiment) -> dict[str, Points]:
    """Name of a curve -> (epochs, values) from the records of a sequence training; curves without points are left out.

    loss: in training, a frame, running mean over a fifth of an epoch (as it was found with the speech module's parameters).
    held_out: the same of held-out utterances, global model, from before the first epoch on.
    wer: of the global model, %; insertions: % of the reference words; fer: frame errors, %.
    staleness, staleness_max: steps from the parameters of a lattice to those that its gradient was taken for.
    silence: % of the denominator's posterior; held_out_silence.
    failed: utterances without outer gradient, missing: whose numerator is not in the lattice, both % of those tried;
        rejected: % of frames.
    depth: arcs of a lattice that cross a frame.
    """
    train, valid = experiment.of_kind("train"), experiment.of_kind("valid")
    name = experiment.models[0] if experiment.models else None
    last = {record["epoch"]: record for record in valid if record["model"] == name}  # the last one where an epoch was done again
    found = {
        "loss": _training(train, "loss", "targets"),
        "staleness": _training(train, "lattice_staleness_mean", "lattices"),
        "staleness_max": _training(train, "lattice_staleness_max", None),
        "silence": _training(train, "silence_share_mean", "outer_frames", 100),
        "depth": _training(train, "depth_mean", "outer_frames"),
        "rejected": _shares(train, "rejected_frames", "outer_frames"),
        "failed": _shares(train, "failed", "lattices", "failed"),
        "missing": _shares(train, "missing_numerator", "lattices"),
        "held_out": _validation(last, "sequence_loss"),
        "held_out_silence": _validation(last, "silence_share", 100),
        "wer": _validation(last, "wer", 100),
        "fer": _validation(last, "fer", 100),
        "insertions": _points([(epoch, 100 * r["insertions"] / r["words"]) for epoch, r in last.items() if r.get("words")]),
    }
    return {key: points for key, points in found.items() if len(points[0])}


def _points(pairs: list[tuple[float, float]]) -> Points:
    """Sorted, without values that are not finite."""
    usable = sorted((epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value))
    return np.array([epoch for epoch, _ in usable], float), np.array([value for _, value in usable], float)


def _validation(records: Mapping[float, dict[str, Any]], key: str, scale: float = 1.0) -> Points:
    return _points([(epoch, scale * record[key]) for epoch, record in records.items() if key in record])


def _training(records: list[dict[str, Any]], key: str, weight: str | None, scale: float = 1.0) -> Points:
    """Smoothed over a fifth of an epoch where there is a weight."""
    usable = [record for record in records if math.isfinite(record.get(key, math.nan))]
    epoch, value = _points([(record["epoch"], scale * record[key]) for record in usable])
    if weight and len(epoch):
        mass = np.array([record.get(weight, 1.0) for record in sorted(usable, key=lambda record: record["epoch"])], float)
        value = running_mean(value, np.maximum(mass, 1e-9), fifth_of_an_epoch(epoch))
    return thin(epoch, value) if len(epoch) else (epoch, value)


def _shares(records: list[dict[str, Any]], part: str, *whole: str) -> Points:
    """Of what happened since the record before, in %."""
    sums = [(record, sum(record.get(name, 0.0) for name in whole)) for record in records if part in record]
    epoch, value = _points([(record["epoch"], 100 * record[part] / total) for record, total in sums if total])
    if len(epoch):
        value = running_mean(value, np.ones(len(value)), fifth_of_an_epoch(epoch))
    return thin(epoch, value) if len(epoch) else (epoch, value)


PANELS: list[tuple[str, list[tuple[str, str, str]]]] = [
    ("loss a frame, training", [("loss", "-", "")]),
    ("loss a frame, held out", [("held_out", "-", "")]),
    ("error rate (%), held out", [("wer", "-", "")]),
    ("insertions (%), held out", [("insertions", "-", "")]),
    ("lattice staleness (steps)", [("staleness", "-", "mean"), ("staleness_max", ":", "highest")]),
    ("silence in the denominator (%)", [("silence", "-", "training"), ("held_out_silence", ":", "held out")]),
    (
        "frames and utterances (%)",
        [("rejected", "-", "frames rejected"), ("missing", ":", "numerator missing"), ("failed", "--", "failed")],
    ),
    ("lattice depth (arcs a frame)", [("depth", "-", "")]),
]
"""Label of the axis -> curve, line style, what the style means."""


CAPTIONS = [
    "1 - objective / frames, for MMI -objective / frames, as the speech module found it; mean over the last fifth of an epoch.",
    "The same of held-out utterances, global model; epoch 0 is the model that training started from.",
    "Global model.",
    "Rising insertions and falling silence mean that silence is turned into words.",
    "Steps from the parameters of a lattice to those that its gradient was taken for.",
    "Share of the denominator's posterior on silence phones.",
    "Frames that MMI rejected; utterances whose numerator is no path of the lattice, or that gave no gradient.",
    "Arcs of a denominator lattice that cross a frame.",
]
"""Of the panels, on a page."""


def sequence_section(experiment: Experiment) -> str:
    """The panels as pictures of the report's page."""
    curves, parts = {experiment.name: sequence_curves(experiment)}, []
    for number, ((label, lines), caption) in enumerate(zip(PANELS, CAPTIONS, strict=True)):
        if not any(key in curves[experiment.name] for key, _, _ in lines):
            continue

        def draw(axes: Any, lines: list[tuple[str, str, str]] = lines) -> None:
            _draw_panel(axes, curves, lines, relative=False)
            axes.set_xlim(left=0)
            axes.set_xlabel("epoch")

        text = f"{label[0].upper()}{label[1:]}. {caption}"
        parts.append(figure(picture(f"sequence{number}", f"{label} against the epoch", draw), text))
    return grid(parts) if parts else paragraph("No record of sequence training yet.")


def draw_sequence_curves(path: str | Path, experiments: Mapping[str, Experiment], title: str) -> None:
    """Draws one or several trainings as a PNG of panels; a panel for which no training has figures is left out.

    The loss is -objective a frame for MMI, 1 - objective a frame for the others (see train/sequence_loss.py), so that in one
    picture the levels of different criteria do not compare; their change is drawn where there are both kinds.

    Raises:
        AsrtoolError: no training has a record of sequence training.
    """
    from matplotlib.lines import Line2D

    curves = {label: sequence_curves(experiment) for label, experiment in experiments.items()}
    panels = [(label, lines) for label, lines in PANELS if any(key in one for one in curves.values() for key, _, _ in lines)]
    if not any(is_sequence(experiment) for experiment in experiments.values()) or not panels:
        names = ", ".join(str(experiment.path) for experiment in experiments.values())
        raise AsrtoolError(f"{names}: no record of sequence training in metrics.jsonl; train with steps/nnet/train_seq.sh")
    kinds = {_criterion(experiment) in ("mmi", "lfmmi") for experiment in experiments.values()}

    def draw(axes: Any, number: int) -> None:
        label, lines = panels[number]
        relative = "loss" in label and len(kinds) > 1
        _draw_panel(axes, curves, lines, relative)
        axes.set_ylabel(f"change of {label}" if relative else label)
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        if number == 0 and len(curves) > 1:
            handles = [Line2D([], [], color=f"C{index % 10}", label=label) for index, label in enumerate(curves)]
            axes.figure.legend(handles=handles, loc="outside lower center", ncols=min(len(curves), 8), fontsize=9)

    _save(Path(path), len(panels), draw, title)


def _draw_panel(axes: Any, curves: Mapping[str, dict[str, Points]], lines: list[tuple[str, str, str]], relative: bool) -> None:
    from matplotlib.lines import Line2D

    shown = []
    for index, (label, one) in enumerate(curves.items()):
        for key, style, _ in lines:
            if key not in one:
                continue
            epoch, value = one[key]
            value = value - value[0] if relative else value
            marker = MARKERS[index % len(MARKERS)] if len(epoch) <= 20 else None
            axes.plot(epoch, value, style, color=f"C{index % 10}", marker=marker, markersize=4, label=label)
            shown.append(key)
    styles = [(style, text) for key, style, text in lines if text and key in shown]
    if styles:
        handles = [Line2D([], [], color="0.3", linestyle=style, label=text) for style, text in styles]
        axes.legend(handles=handles, fontsize=8)
    if not {"loss", "held_out", "wer"} & set(shown):
        axes.set_ylim(0, max(axes.get_ylim()[1] * 1.05, 0.1))


def is_sequence(experiment: Experiment) -> bool:
    """Whether it is a training by a sequence criterion, with a record of it."""
    return any("lattices" in record for record in experiment.of_kind("train")) or any(
        "sequence_loss" in record for record in experiment.of_kind("valid")
    )


def _criterion(experiment: Experiment) -> str:
    settings = experiment.config.get("sequence")
    return settings.get("criterion", "smbr") if isinstance(settings, dict) else "smbr"


def _save(path: Path, number: int, draw: Callable[[Any, int], None], title: str) -> None:
    columns = min(COLUMNS, number)
    rows = math.ceil(number / columns)
    with png(path, (SIZE[0] * columns, SIZE[1] * rows + 0.4), rows, columns, dpi=110) as (drawing, axes):
        for index, panel in enumerate(axes.flat):
            if index < number:
                draw(panel, index)
            else:
                panel.set_axis_off()
        drawing.suptitle(title, fontsize=11)
