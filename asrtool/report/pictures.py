"""Pictures by matplotlib: PNG files, and inline SVG that takes an HTML page's text colour, on light and dark ground."""

import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from asrtool.io.atomic_file import atomic_path

COLOURS = ("#3b82c4", "#d9822b", "#3f9e5f", "#c9504f", "#8f6bc0", "#8a7a5c")
_TEXT = "#010203"  # stands for the colour of the page's text
MAX_POINTS = 1500
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "asrtool",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _TEXT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "grid.color": _TEXT,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
}


def picture(name: str, description: str, draw: Callable[[Any], None], width: float = 5.6, height: float = 3.2) -> str:
    """Draws with `draw(axes)`; returns an <svg> element.

    Args:
        name: prefix of the element's ids, unique on the page; letters and digits.
        description: what a reader who does not see the picture is told.
        width, height: inches.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
        axes.grid()
        axes.set_axisbelow(True)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True)
        pyplot.close(figure)
    return inline(buffer.getvalue(), name, description)


@contextmanager
def png(
    path: str | Path, size: tuple[float, float], rows: int = 1, columns: int = 1, dpi: int = 120
) -> Iterator[tuple[Any, Any]]:
    """Gives (figure, axes [rows, columns]) to draw on; then writes them to a PNG file, whole or not at all.

    Args:
        size: width and height in inches.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    try:
        yield figure, axes
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=dpi)
    finally:
        pyplot.close(figure)


def inline(svg: str, name: str, description: str) -> str:
    """An SVG file of matplotlib as an element of a page: its ids made unique, its text in the page's colour and font."""
    view_box = re.search(r'viewBox="([^"]+)"', svg)[1]
    body = svg[svg.index("</defs>", svg.index("</metadata>")) + len("</defs>") :]  # without date, and the rule for all "*"
    body = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', body)
    body = re.sub(r'(href="#|url\(#)', rf"\1{name}-", body).replace("xlink:href", "href")
    body = body.replace("'DejaVu Sans', sans-serif", "system-ui, sans-serif").replace(_TEXT, "currentColor")
    body = re.sub(r"\n\s*", "\n", body.strip())
    return f'<svg class="plot" viewBox="{view_box}" role="img" aria-label="{escape(description)}">\n{body}'


def running_mean(y: np.ndarray, weight: np.ndarray, window: int) -> np.ndarray:
    """Mean of `y` over the last `window` points, weighted."""
    total, mass = np.cumsum(y * weight), np.cumsum(weight)
    total[window:], mass[window:] = total[window:] - total[:-window], mass[window:] - mass[:-window]
    return total / np.maximum(mass, 1e-12)


def fifth_of_an_epoch(epoch: np.ndarray) -> int:
    """How many of the records written at the times `epoch` make up a fifth of an epoch."""
    return max(1, round(len(epoch) / max(epoch[-1], 1.0) / 5))


def thin(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """At most MAX_POINTS rows, evenly spread, the last one kept."""
    step = math.ceil(len(columns[0]) / MAX_POINTS) if len(columns[0]) else 1
    return tuple(column[::-1][::step][::-1] for column in columns)
