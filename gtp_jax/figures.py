"""Curves, intervals and distributions, one panel a PNG file, so that a page can place them by its width.

Needs matplotlib, which is in the extra `report`.
"""

import contextlib
import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot, ticker

# Okabe and Ito's colours, which differ to the colour-blind too, and a line's style where there are more agents.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
MARKERS = "osD^vP*"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}
SIZE = (3.6, 2.7)  # inches: what a phone shows without making it smaller

WHOLE = {"ylim": (-0.03, 1.03)}  # of shares

Estimate = tuple[float, float, float]  # with the lower and the upper end of its interval


@contextlib.contextmanager
def _panel(file: pathlib.Path, size=SIZE, labels: Collection[str] = ()) -> Iterator[pyplot.Axes]:
    """Axes to draw on; the legend of several labels comes below them."""
    columns = max(1, min(3, 44 // (max(map(len, map(_short, labels)), default=0) + 6)))
    rows = -(-len(labels) // columns) if len(labels) > 1 else 0
    with matplotlib.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(size[0], size[1] + 0.19 * rows))
        yield axes
        if rows:
            figure.legend(loc="outside lower center", ncols=columns)
        figure.savefig(file, dpi=160)
        pyplot.close(figure)


def _look(number: int) -> dict:
    return {"color": COLOURS[number % len(COLOURS)], "ls": LINES[number // len(COLOURS) % len(LINES)]}


def draw_curves(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    labels: Sequence[str],
    x_name: str,
    y_name: str,
    file: pathlib.Path,
    *,
    is_share: bool = False,
) -> None:
    """Lines with bands.

    Args:
        curves: x, y, and the lower and the upper end of the band, (S,) each, by label.
        labels: of all pictures that are seen together; each keeps its colour in all of them.
        is_share: y lies between 0 and 1, all of which is shown.
    """
    with _panel(file, labels=curves) as axes:
        for label, (x, y, low, high) in curves.items():
            look = _look(labels.index(label))
            axes.plot(x, y, label=_short(label), lw=1.3, marker="o" if len(x) == 1 else None, **look)
            axes.fill_between(x, low, high, color=look["color"], alpha=0.2, lw=0)
        axes.set(xlabel=x_name, ylabel=y_name, **WHOLE if is_share else {})
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))


def draw_by_steps(
    points: Mapping[str, Mapping[int, Estimate]],
    labels: Sequence[str],
    y_name: str,
    file: pathlib.Path,
    *,
    is_share: bool = False,
) -> None:
    """Estimates with their intervals against K, side by side where several labels have the same K.

    Args:
        labels, is_share: as of `draw_curves`.
    """
    steps = sorted({k for estimates in points.values() for k in estimates})
    with _panel(file, labels=points) as axes:
        for i, (label, estimates) in enumerate(points.items()):
            x = np.array([steps.index(k) for k in estimates]) + (i - (len(points) - 1) / 2) * 0.5 / len(points)
            y, low, high = np.array(list(estimates.values())).T
            number = labels.index(label)
            marker = MARKERS[number % len(MARKERS)]
            axes.errorbar(x, y, (y - low, high - y), label=_short(label), marker=marker, ms=4, lw=1, **_look(number))
        axes.set(xlabel="sampling steps K", ylabel=y_name, xticks=range(len(steps)), xticklabels=steps)
        axes.set_xlim(-0.5, len(steps) - 0.5)
        axes.set(**WHOLE if is_share else {"ylim": (0, None)})


def draw_intervals(
    estimates: Mapping[str, Estimate],
    x_name: str,
    file: pathlib.Path,
    *,
    most: float,
    reference: float | None = None,
) -> None:
    """One estimate a row, with its interval.

    Args:
        most: up to which the axis goes at least, from 0 at most.
        reference: a value to compare with, as a dashed line.
    """
    with _panel(file, (SIZE[0], 0.8 + 0.28 * len(estimates))) as axes:
        if reference is not None:
            axes.axvline(reference, color="0.4", ls="--", lw=1)
        for row, (mean, low, high) in enumerate(estimates.values()):
            axes.barh(row, high - low, left=low, height=0.5, color=COLOURS[0], alpha=0.35)
            axes.plot([mean, mean], [row - 0.25, row + 0.25], color=COLOURS[0], lw=2)
        axes.set_yticks(range(len(estimates)), map(_short, estimates))
        axes.set(xlabel=x_name, ylim=(len(estimates) - 0.5, -0.5))
        ends = [0.0, most, *(end for estimate in estimates.values() for end in estimate)]
        margin = 0.03 * (max(ends) - min(ends))
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.grid(axis="y", visible=False)


def draw_distribution(values: np.ndarray, x_name: str, file: pathlib.Path) -> None:
    """A histogram of values (N,), and their median as a dashed line."""
    with _panel(file) as axes:
        axes.hist(values, bins=60, weights=np.full(len(values), 1 / len(values)), color=COLOURS[0])
        axes.axvline(np.median(values), color="0.2", ls="--", lw=1)
        axes.set(xlabel=x_name, ylabel="share of transitions", yscale="log")


def _short(label: str) -> str:
    """A label as matplotlib shows it: no formulas, and not wider than half a picture."""
    text = label.replace("$", r"\$")
    return text if len(text) <= 28 else text[:27] + "…"
