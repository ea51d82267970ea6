"""Curves of a training against the epoch: loss, frame error rate, learning rate, and the table of validations."""

import numpy as np

from asrtool.report.experiment import Experiment
from asrtool.report.figures import MARKERS, MODEL_NAMES
from asrtool.report.html import bold, figure, grid, paragraph, table
from asrtool.report.pictures import COLOURS, fifth_of_an_epoch, picture, running_mean, thin
from asrtool.report.sequence_curves import is_sequence

MARKED_EVENTS = 50
BESIDE = 12  # epochs: up to so many are listed beside a picture


def curves_section(experiment: Experiment) -> str:
    """Loss, FER and learning rate of training and of every validated model."""
    train, valid = experiment.of_kind("train"), experiment.of_kind("valid")
    if not train and not valid:
        return paragraph("No training or validation record yet: the curves appear with the first of metrics.jsonl.")
    marked = bool(_marked(experiment))
    pictures = [
        figure(
            picture("fer", "Frame error rate in per cent against the epoch", lambda axes: _draw(axes, experiment, "fer", 100)),
            "Frame error rate (%). Grey: training, mean over the last fifth of an epoch, with the workers' own models as they "
            f"were at the time; coloured: validation of each model after the epoch{'; dotted: events, listed below' * marked}.",
        ),
        figure(
            picture("loss", "Cross-entropy against the epoch", lambda axes: _draw(axes, experiment, "loss", 1)),
            "Cross-entropy (nats a target), as above" + ("; validation alone." if is_sequence(experiment) else "."),
        ),
    ]
    if any("learning_rate" in record for record in train):
        pictures.append(
            figure(
                picture("rate", "Learning rate against the epoch", lambda axes: _draw_learning_rate(axes, train)),
                "Learning rate.",
            )
        )
    validations = f"<div>{validation_table(experiment)}</div>"
    beside = len({record["epoch"] for record in valid}) <= BESIDE
    return grid([*pictures, validations]) if beside else grid(pictures) + validations


def _draw(axes, experiment: Experiment, key: str, scale: float) -> None:
    train, valid = experiment.of_kind("train"), experiment.of_kind("valid")
    if key == "loss" and is_sequence(experiment):
        train = []  # the training's loss is of another kind there
    if train:
        epoch, value, weight = (np.array([record[name] for record in train], float) for name in ("epoch", key, "targets"))
        mean = running_mean(value * scale, np.maximum(weight, 1e-9), fifth_of_an_epoch(epoch))
        epoch, value, mean = thin(epoch, value * scale, mean)
        axes.plot(epoch, value, color="#7d8791", linewidth=0.6, alpha=0.4)
        axes.plot(epoch, mean, color="#7d8791", label="training")
    for index, model in enumerate(experiment.models):
        points = sorted((record["epoch"], record[key] * scale) for record in valid if record["model"] == model)
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        marker = marker if len(points) <= MARKED_EVENTS else None
        axes.plot(*zip(*points), color=colour, marker=marker, markersize=3.5, label=MODEL_NAMES.get(model, model))
    for number, event in enumerate(_marked(experiment)):
        axes.axvline(event["epoch"], color=COLOURS[3], linewidth=0.8, linestyle=":", label="event" if number == 0 else None)
    axes.set_xlim(left=0)
    axes.set_xlabel("epoch")
    # the first records of a training would press all others into a line
    later = [record[key] * scale for record in [*train, *valid] if record["epoch"] > 0.25 or len(train) < 20]
    finite = [value for value in later if np.isfinite(value)]
    if finite:
        low, high = min(finite), max(finite)
        margin = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
    axes.legend()


def _marked(experiment: Experiment) -> list[dict]:
    """The events, unless they are so many that their lines would hide the curves."""
    events = experiment.of_kind("event")
    return events if len(events) <= MARKED_EVENTS else []


def _draw_learning_rate(axes, train: list[dict]) -> None:
    from matplotlib import ticker

    found = [record for record in train if "learning_rate" in record]
    epoch, rate = thin(*(np.array([record[name] for record in found], float) for name in ("epoch", "learning_rate")))
    axes.plot(epoch, rate, color=COLOURS[0])
    axes.set_xlim(left=0)
    axes.set_xlabel("epoch")
    if rate.min() > 0 and rate.max() > 3 * rate.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_locator(ticker.NullLocator())


def validation_table(experiment: Experiment) -> str:
    """FER and loss of every model after every epoch, the lowest of each column in bold."""
    valid = experiment.of_kind("valid")
    if not valid:
        return paragraph("No validation yet: the first one comes at the end of the first epoch.")
    found = {(record["epoch"], record["model"]): record for record in valid}  # the last one where an epoch was done again
    best = {
        (model, key): min(r[key] for (_, m), r in found.items() if m == model)
        for model in experiment.models
        for key in ("fer", "loss")
    }

    def cell(epoch: float, model: str, key: str) -> object:
        record = found.get((epoch, model))
        if record is None:
            return None
        text = f"{100 * record['fer']:.2f}" if key == "fer" else f"{record['loss']:.4f}"
        return bold(text) if record[key] == best[model, key] else text

    columns = [(model, key) for key in ("fer", "loss") for model in experiment.models]
    header = ["epoch"] + [f"{'FER %' if key == 'fer' else 'loss'} {MODEL_NAMES.get(model, model)}" for model, key in columns]
    epochs = sorted({epoch for epoch, _ in found})
    return "<h3>Validation</h3>" + table(
        header, [[f"{epoch:g}", *(cell(epoch, *column) for column in columns)] for epoch in epochs]
    )
