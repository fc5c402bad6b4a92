"""Drawing only: each figure as SVG in the page's colours, or as a file for a paper; pixels as ``data:`` addresses."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from conviction.evaluation import Binary, ReliabilityBin, best_epoch
from conviction.training import EpochRow, RateSearch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Palette:
    """Colours: text and lines, the training curve, the validation curve."""

    ink: str
    training: str
    validation: str


# Replaced after drawing, so that text and lines follow light and dark pages.
_PAGE = Palette("#010203", "#040506", "#070809")
_VARIABLES = {
    _PAGE.ink: "currentColor",
    _PAGE.training: "var(--training)",
    _PAGE.validation: "var(--validation)",
}
_PAPER = Palette("#000000", "#b4541a", "#1f5fa8")
_SIZE = (9.6, 3.6)

# What the pointer shows: the identity of a shape, and its text.
Tips = Mapping[str, str]


@dataclass(frozen=True)
class Drawing:
    """A figure: what it shows, for those who cannot see it, and how it is drawn."""

    label: str
    draw: Callable[[Figure, Palette], Tips]
    size: tuple[float, float] = _SIZE

    def svg(self) -> str:
        """For a page: in its colours, the same bytes for the same data."""
        out = io.StringIO()
        with _drawn(self, _PAGE) as (figure, tips):
            figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        svg = out.getvalue()
        svg = svg[svg.index("<svg") :]
        for placeholder, variable in _VARIABLES.items():
            svg = svg.replace(placeholder, variable)
        for name, text in tips.items():
            svg = svg.replace(f'<g id="{name}">', f'<g id="{name}"><title>{text}</title>')
        # Text carries its colour only in some matplotlib versions; the page's own is right for all.
        return re.sub(r"<svg ", f'<svg role="img" aria-label="{self.label}" ', svg, count=1)

    def figure(self) -> Figure:
        """To change, to save, and for a notebook, which shows it."""
        with _drawn(self, _PAPER) as (figure, _):
            # Notebooks show figures of pyplot once that is imported; these have never met it.
            figure._repr_png_ = lambda: _png(figure)  # type: ignore[attr-defined]
            return figure

    def save(self, path: Path) -> None:
        """For a paper or a slide, in the format that the name ends with."""
        with _drawn(self, _PAPER) as (figure, _):
            figure.savefig(path, dpi=200)


def curves(history: Sequence[EpochRow]) -> Drawing:
    """Loss and accuracy over the epochs, training and validation, the best epoch marked."""

    def draw(figure: Figure, colors: Palette) -> Tips:
        best, tips = best_epoch(history), {}
        epochs = [row.epoch for row in history]
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for prefix, label, color in (
                ("", "training", colors.training),
                ("val_", "validation", colors.validation),
            ):
                values = [getattr(row, prefix + name) for row in history]
                axes.plot(epochs, values, color=color, label=label, marker="o", markersize=3.5)
            axes.axvline(best.epoch, color=colors.ink, linewidth=0.8, linestyle=":")
            axes.set(xlabel="epoch", title=name)
            whole_numbers(axes)
            # "best" is the default, but only where it is asked for does a slow machine bring no warning.
            axes.legend(loc="best", frameon=False)
            for row in history:
                shape = axes.axvspan(row.epoch - 0.5, row.epoch + 0.5, color=colors.ink, alpha=0)
                shape.set_gid(f"tip-{name}-{row.epoch}")
                tips[f"tip-{name}-{row.epoch}"] = (
                    f"epoch {row.epoch}: {name} {getattr(row, name):.4f} in training, "
                    f"{getattr(row, 'val_' + name):.4f} in validation"
                )
        figure.axes[0].annotate(
            f"best: {best.epoch}", (best.epoch, best.val_loss), xytext=(4, 14), textcoords="offset points"
        )
        return tips

    return Drawing("Loss and accuracy per epoch", draw)


def curves_together(histories: Mapping[str, Sequence[EpochRow]]) -> Drawing:
    """Loss and accuracy of several runs over one another, each with a line style of its own.

    Validation has dots, training is thin and faint.
    """
    styles = ("-", "--", ":", "-.")

    def draw(figure: Figure, colors: Palette) -> Tips:
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for i, (run, history) in enumerate(histories.items()):
                color = colors.validation if i % 2 == 0 else colors.training
                style = styles[i // 2 % len(styles)]
                epochs = [row.epoch for row in history]
                axes.plot(
                    epochs,
                    [getattr(row, name) for row in history],
                    color=color,
                    linestyle=style,
                    linewidth=0.9,
                    alpha=0.55,
                )
                axes.plot(
                    epochs,
                    [getattr(row, f"val_{name}") for row in history],
                    color=color,
                    linestyle=style,
                    marker="o",
                    markersize=3.5,
                    label=_plain_label(run),
                )
            axes.set(xlabel="epoch", title=f"{name} (dots: validation; thin: training)")
            whole_numbers(axes)
        figure.axes[0].legend(loc="best", frameon=False)
        return {}

    return Drawing("Loss and accuracy of each run per epoch, in validation and in training", draw)


def _plain_label(text: str) -> str:
    """As Matplotlib shows it unchanged: it sets what is between dollars as a formula, and hides what begins with _."""
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def rates(search: RateSearch) -> Drawing:
    """The loss at every learning rate of each range test, the chosen rate marked."""

    def draw(figure: Figure, colors: Palette) -> Tips:
        axes = figure.subplots()
        for sweep in search.sweeps:
            axes.plot(sweep.rates, sweep.losses, color=colors.training, linewidth=1.2)
        axes.axvline(
            search.chosen, color=colors.validation, linestyle=":", label=f"chosen: {search.chosen:g}"
        )
        start = max(sweep.losses[0] for sweep in search.sweeps)
        # A loss that diverges has no bounds; what matters lies below its first value.
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed", ylim=(0, 1.5 * start))
        axes.legend(loc="best", frameon=False)
        return {}

    return Drawing("Loss at each learning rate", draw)


def confidence(bins: Sequence[ReliabilityBin]) -> Drawing:
    """Accuracy over confidence with intervals, beside the line on which both are equal; how many images lie where."""

    def draw(figure: Figure, colors: Palette) -> Tips:
        left, right = figure.subplots(1, 2)
        at = [b.confidence for b in bins]
        ends = [[b.accuracy - b.ci95[0] for b in bins], [b.ci95[1] - b.accuracy for b in bins]]
        left.plot([0, 1], [0, 1], color=colors.ink, linewidth=0.8, linestyle=":")
        left.errorbar(
            at,
            [b.accuracy for b in bins],
            np.abs(ends),
            color=colors.validation,
            fmt="o",
            markersize=4,
            capsize=2,
        )
        left.set(xlabel="highest probability", title="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
        tips = {}
        for i, (bar, b) in enumerate(
            zip(right.bar(at, [b.n for b in bins], width=0.04, color=colors.validation), bins, strict=True)
        ):
            bar.set_gid(f"tip-bin-{i}")
            tips[f"tip-bin-{i}"] = (
                f"{b.n:,} images, {b.confidence:.1%} sure on average, {b.accuracy:.1%} right"
            )
        right.set(xlabel="highest probability", title="images", xlim=(0, 1.02))
        return tips

    return Drawing("Accuracy at each level of confidence", draw)


def two_class_curves(binary: Binary) -> Drawing:
    """The ROC curve and the precision-recall curve, beside what guessing would give."""

    def draw(figure: Figure, colors: Palette) -> Tips:
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color=colors.ink, linewidth=0.8, linestyle=":")
        left.plot(*zip(*binary.roc, strict=True), color=colors.validation)
        left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        right.axhline(binary.base_rate, color=colors.ink, linewidth=0.8, linestyle=":")
        right.plot(*zip(*binary.precision_recall, strict=True), color=colors.validation)
        right.set(xlabel="recall", ylabel="precision", title="precision and recall", ylim=(0, 1.02))
        return {}

    return Drawing("ROC curve and precision-recall curve", draw)


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> Drawing:
    """Rows are true classes; counts, shaded by their share of the row."""
    side = max(4.0, 0.55 * len(class_names) + 2)

    def draw(figure: Figure, colors: Palette) -> Tips:
        axes = figure.subplots()
        counts = np.array(matrix, float)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), n in np.ndenumerate(counts):
            if n:
                dark = shares[i, j] > 0.55
                axes.text(j, i, f"{n:.0f}", ha="center", va="center", fontsize=9, color="w" if dark else "k")
        axes.set_xticks(range(len(class_names)), class_names, rotation=90)
        axes.set_yticks(range(len(class_names)), class_names)
        axes.set(xlabel="predicted", ylabel="true")
        return {}

    return Drawing("Confusion matrix", draw, (side, side))


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return out.getvalue()


@contextmanager
def _drawn(drawing: Drawing, colors: Palette) -> Iterator[tuple[Figure, Tips]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot, which would keep global state

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "conviction",
        "pdf.fonttype": 42,  # text stays text
        "font.size": 11,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), colors.ink),
        **dict.fromkeys(("xtick.color", "ytick.color"), colors.ink),
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        figure = Figure(figsize=drawing.size, layout="constrained")
        yield figure, drawing.draw(figure, colors)


def whole_numbers(axes: Axes) -> None:
    """Ticks of the horizontal axis at whole numbers only: epochs, trials."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


# Rows of a picture that is shown with every value as it is. As PNG, the pictures of 224x224 pixels in a report take
# 10 MB and 11 s.
LARGEST_EXACT = 96


def image_address(pixels: np.ndarray) -> str:
    """(h, w, 1 or 3) uint8 as a ``data:`` address: every value as it is where pixels can be seen, JPEG beyond that."""
    squeezed = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    picture = Image.fromarray(np.ascontiguousarray(squeezed))
    out = io.BytesIO()
    if len(pixels) > LARGEST_EXACT:
        picture.save(out, format="JPEG", quality=90)
        kind = "jpeg"
    else:
        picture.save(out, format="PNG", optimize=True)
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def strip(pixels: np.ndarray, gap: int = 1) -> np.ndarray:
    """Images side by side on white: (k, h, w, c) -> (h, k*(w+gap) - gap, c)."""
    k, height, width, channels = pixels.shape
    out = np.full((height, k * (width + gap) - gap, channels), 255, np.uint8)
    for i, image in enumerate(pixels):
        out[:, i * (width + gap) : i * (width + gap) + width] = image
    return out
