"""Pictures of a comparison: FER against the epoch (1703.05880), speed-up over N, BMUF with MA and EMA (1703.01024, Fig. 1, 2)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asrtool.report.figures import MARKERS, Series
from asrtool.report.parallel_comparison_runs import GLOBAL, CellResult
from asrtool.report.parallel_comparison_table import label, speed_up
from asrtool.report.pictures import png

SIZE = (7, 4.6)


def draw_comparison(results: list[CellResult], directory: Path, curves: list[str], metric: str) -> list[Path]:
    """All pictures of one network's results; returns those that were drawn, in the order in which to show them."""
    network = results[0].cell.network if results else ""
    drawn = []
    for number in sorted({result.cell.num_workers for result in results if result.cell.num_workers > 1}):
        group = [result for result in results if result.cell.num_workers in (1, number) and _curves(result, "curves")]
        if group:
            file = directory / f"fer_{network}_n{number}.png"
            title = f"Frame error rate of the global model, validation, {network.upper()}, {number} workers"
            drawn.append(_draw(file, lambda axes, group=group: _draw_algorithms(axes[0], group), title))
    if any(result.cell.num_workers > 1 and speed_up(result, results) for result in results):
        file, title = directory / f"speed_{network}.png", f"Speed-up over one worker, {network.upper()}"
        drawn.append(_draw(file, lambda axes: _draw_speed_up(axes[0], results), title))
    for result in results:
        if result.cell.algorithm in curves and _curves(result, "curves"):
            file = directory / f"averages_{network}_{result.cell.name}.png"
            title = f"{result.label} and its averages, {network.upper()}, {result.cell.num_workers} workers"
            panels = [("curves", "FER (%), validation")]
            if _curves(result, "rate_curves"):
                panels.append(("rate_curves", f"{metric.upper()} (%), test"))
            drawn.append(_draw(file, lambda axes, r=result, p=panels: _draw_averages(axes, r, p), title, len(panels)))
    return drawn


def band(curves: list[list[tuple[float, float]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Epochs that all curves have, and there mean, lowest and highest value: four arrays [E]."""
    tables = [dict(points) for points in curves]
    epochs = sorted(set.intersection(*[set(table) for table in tables])) if tables else []
    values_RE = np.array([[table[epoch] for epoch in epochs] for table in tables]).reshape(len(tables), len(epochs))
    return np.array(epochs), values_RE.mean(0), values_RE.min(0), values_RE.max(0)


def _curves(result: CellResult, kind: str) -> dict[str, list[list[tuple[float, float]]]]:
    """Model -> the curves of the seeds that have not diverged."""
    series: list[Series] = [getattr(run, kind) for run in result.runs if not run.diverged]
    models = dict.fromkeys(model for one in series for model in one)
    return {model: [one[model] for one in series if one.get(model)] for model in models}


def _draw_algorithms(axes: Any, group: list[CellResult]) -> None:
    styles = _styles(group)
    for result in group:
        _draw_band(axes, _curves(result, "curves").get(GLOBAL, []), result.label, **styles[result.cell.algorithm])
    axes.set_ylabel("FER (%)")
    _finish(axes)


def _styles(results: list[CellResult]) -> dict[str, dict[str, str]]:
    """Algorithm -> colour and marker, the same in all pictures; one worker is black."""
    names = dict.fromkeys(result.cell.algorithm for result in results if result.cell.num_workers > 1)
    styles = {name: {"color": f"C{i % 10}", "marker": MARKERS[i % len(MARKERS)]} for i, name in enumerate(names)}
    return {**styles, "single": {"color": "black", "linestyle": "--"}}


def _draw_averages(axes: list[Any], result: CellResult, panels: list[tuple[str, str]]) -> None:
    for panel, (kind, ylabel) in zip(axes, panels):
        for index, (model, curves) in enumerate(_curves(result, kind).items()):
            name = result.label if model == GLOBAL else f"{result.label} + {label(model)}"
            _draw_band(panel, curves, name, marker=MARKERS[index % len(MARKERS)], color=f"C{index % 10}")
        panel.set_ylabel(ylabel)
        _finish(panel)


def _draw_band(axes: Any, curves: list[list[tuple[float, float]]], name: str, **style: Any) -> None:
    if not curves:
        return
    epochs, mean, low, high = band(curves)
    axes.plot(epochs, mean, markersize=4.5, label=name, **style)
    if len(curves) > 1:
        axes.fill_between(epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _finish(axes: Any) -> None:
    axes.set_xlabel("epoch")
    axes.set_xlim(left=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)


def _draw_speed_up(axes: Any, results: list[CellResult]) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        gain = speed_up(result, results)
        if gain and result.cell.num_workers > 1:
            lines.setdefault(result.cell.algorithm, [(1, 1.0)]).append((result.cell.num_workers, gain))
    most = max(number for points in lines.values() for number, _ in points)
    axes.plot([1, most], [1, most], color="black", linestyle="--", linewidth=1, label="linear")
    labels, styles = {result.cell.algorithm: result.label for result in results}, _styles(results)
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points)), markersize=5, label=labels[name], **styles[name])
    axes.set_xlabel("workers")
    axes.set_ylabel("speed-up")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)


def _draw(path: Path, draw: Callable[[list[Any]], None], title: str, panels: int = 1) -> Path:
    size = (SIZE[0] * (1 if panels == 1 else 0.78 * panels), SIZE[1])
    with png(path, size, columns=panels) as (figure, axes):
        draw(list(axes[0]))
        figure.suptitle(title, fontsize=11)
    return path
