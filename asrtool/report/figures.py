"""The two figures of 1703.01024: frame error rate against epoch, character error rate against intermediate model."""

import json
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.report.pictures import png

# The names that the paper gives to what training saves, in its order.
MODEL_NAMES = {"bmuf": "BMUF", "ma": "BMUF + MA", "ema": "BMUF + EMA"}
MARKERS = "osD^v<>"

Series = dict[str, list[tuple[float, float]]]


def validation_fer(metrics_path: str | Path) -> Series:
    """Reads metrics.jsonl of a training run: model -> [(epoch, FER in %)], sorted by epoch.

    Raises:
        AsrtoolError: no such file, or no validation record in it.
    """
    series: Series = {}
    if not Path(metrics_path).is_file():
        raise AsrtoolError(f"{metrics_path}: no such file; train the network first")
    for number, line in enumerate(Path(metrics_path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            raise AsrtoolError(f"{metrics_path}: line {number} is not JSON; remove the line") from None
        if record["kind"] == "valid":
            series.setdefault(record["model"], []).append((record["epoch"], 100 * record["fer"]))
    if not series:
        raise AsrtoolError(f"{metrics_path}: no validation record yet; train for an epoch first")
    return {model: sorted(points) for model, points in series.items()}


def intermediate_error_rates(results: list[dict], network: str, dataset: str) -> Series:
    """From records of systems named `<network>_<model>@<epoch>`: model -> [(epoch, error rate in %)]."""
    series: Series = {}
    for record in results:
        system, at, epoch = record["system"].partition("@")
        prefix, _, model = system.rpartition("_")
        if at and prefix == network and record["set"] == dataset:
            series.setdefault(model, []).append((float(epoch), record["value"]))
    if not series:
        raise AsrtoolError(f"no result of an intermediate model of {network} on {dataset}; decode the intermediate models first")
    return {model: sorted(points) for model, points in series.items()}


def draw_curves(path: str | Path, series: Series, ylabel: str, title: str) -> None:
    """Draws one line a model against the epoch, as a PNG."""
    from matplotlib import ticker

    with png(path, (7, 4.6)) as (_, ((axes,),)):
        order = [model for model in MODEL_NAMES if model in series] + sorted(set(series) - set(MODEL_NAMES))
        for model, marker in zip(order, MARKERS * len(order)):
            epochs, values = zip(*series[model])
            axes.plot(epochs, values, marker=marker, markersize=5, label=MODEL_NAMES.get(model, model))
        axes.set_xlabel("epoch")
        axes.set_ylabel(ylabel)
        axes.set_title(title, fontsize=11)
        axes.set_xlim(left=0)
        values = [value for points in series.values() for _, value in points if value > 0]
        if values and max(values) > 4 * min(values):  # else the first models would press all others into a line
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axes.yaxis.set_major_formatter(ticker.ScalarFormatter())
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.grid(alpha=0.3)
        axes.legend()
