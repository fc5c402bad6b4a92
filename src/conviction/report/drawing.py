"""Drawing only: curves as SVG that follows the page's colours, pixels as PNG data addresses."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from conviction.evaluation import ReliabilityBin, best_epoch
from conviction.training import EpochRow, RateSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Drawn in these and replaced afterwards, so that text and lines follow light and dark pages.
_INK, _TRAIN, _VALIDATION = "#010203", "#040506", "#070809"
_VARIABLES = {_INK: "currentColor", _TRAIN: "var(--training)", _VALIDATION: "var(--validation)"}


def curves_svg(history: Sequence[EpochRow]) -> str:
    """Loss and accuracy over the epochs, training and validation, the best epoch marked."""
    with _figure((9.6, 3.6), "Loss and accuracy per epoch") as drawn:
        best = best_epoch(history)
        epochs = [row.epoch for row in history]
        for axes, name in zip(drawn.figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for prefix, label, color in (("", "training", _TRAIN), ("val_", "validation", _VALIDATION)):
                values = [getattr(row, prefix + name) for row in history]
                axes.plot(epochs, values, color=color, label=label, marker="o", markersize=3.5)
            axes.axvline(best.epoch, color=_INK, linewidth=0.8, linestyle=":")
            axes.set(xlabel="epoch", title=name)
            axes.xaxis.set_major_locator(drawn.whole_numbers())
            axes.legend(frameon=False)
        drawn.figure.axes[0].annotate(
            f"best: {best.epoch}",
            (best.epoch, best.val_loss),
            xytext=(4, 14),
            textcoords="offset points",
        )
    return drawn.svg


def rates_svg(search: RateSearch) -> str:
    """The loss at every learning rate of each range test, the chosen rate marked."""
    with _figure((9.6, 3.6), "Loss at each learning rate") as drawn:
        axes = drawn.figure.subplots()
        for sweep in search.sweeps:
            axes.plot(sweep.rates, sweep.losses, color=_TRAIN, linewidth=1.2)
        axes.axvline(search.chosen, color=_VALIDATION, linestyle=":", label=f"chosen: {search.chosen:g}")
        start = max(sweep.losses[0] for sweep in search.sweeps)
        # Where it diverges the loss has no bounds; what matters lies below where it began.
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed", ylim=(0, 1.5 * start))
        axes.legend(frameon=False)
    return drawn.svg


def reliability_svg(bins: Sequence[ReliabilityBin]) -> str:
    """Accuracy over confidence with intervals, beside the line on which both are equal; how many images lie where."""
    with _figure((9.6, 3.6), "Accuracy at each level of confidence") as drawn:
        left, right = drawn.figure.subplots(1, 2)
        at = [b.confidence for b in bins]
        ends = [
            [b.accuracy - b.ci95[0] for b in bins],
            [b.ci95[1] - b.accuracy for b in bins],
        ]
        left.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
        left.errorbar(
            at,
            [b.accuracy for b in bins],
            np.abs(ends),
            color=_VALIDATION,
            fmt="o",
            markersize=4,
            capsize=2,
        )
        left.set(xlabel="highest probability", title="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
        right.bar(at, [b.n for b in bins], width=0.04, color=_VALIDATION)
        right.set(xlabel="highest probability", title="images", xlim=(0, 1.02))
    return drawn.svg


@dataclass
class _Drawn:
    """A figure to draw on, and once drawn, its SVG."""

    figure: Figure
    svg: str = ""

    @staticmethod
    def whole_numbers() -> Any:
        """Where ticks stand that count something."""
        from matplotlib.ticker import MaxNLocator

        return MaxNLocator(integer=True)


@contextlib.contextmanager
def _figure(size: tuple[float, float], label: str) -> Iterator[_Drawn]:
    """A figure of ``size`` inches in the page's style, whose ``svg`` is there after the block."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot, which would keep global state

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "conviction",  # the same history gives the same bytes
        "font.size": 11,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), _INK),
        **dict.fromkeys(("xtick.color", "ytick.color"), _INK),
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        drawn = _Drawn(Figure(figsize=size, layout="constrained"))
        yield drawn
        out = io.StringIO()
        drawn.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    for placeholder, variable in _VARIABLES.items():
        svg = svg.replace(placeholder, variable)
    # Text carries its colour only in some matplotlib versions; the page's own is right for all.
    drawn.svg = re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', svg, count=1)


def png_address(pixels: np.ndarray) -> str:
    """(h, w, 1 or 3) uint8 as a ``data:`` address."""
    squeezed = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(squeezed)).save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def strip(pixels: np.ndarray, gap: int = 1) -> np.ndarray:
    """Images side by side on white: (k, h, w, c) -> (h, k*(w+gap) - gap, c)."""
    k, height, width, channels = pixels.shape
    out = np.full((height, k * (width + gap) - gap, channels), 255, np.uint8)
    for i, image in enumerate(pixels):
        out[:, i * (width + gap) : i * (width + gap) + width] = image
    return out
