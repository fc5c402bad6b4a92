"""The verdict on a training: its curves, the gap to unseen images, and what that number of images could have shown.

docs/overfitting.md has the rule, its reasons and its error rates. Words are made of it in ``reporting/verdict.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from conviction.config import DataSpec, Recipe
from conviction.config.recipe import parse_overrides
from conviction.config.recipes import TRANSFER_RECIPE
from conviction.evaluation.gap import Gap, live_gap, measure_gap
from conviction.training import Curves, EpochRow, read_curves
from conviction.training.augment import active_augmentations

Kind = Literal[
    "fitting well",
    "cannot tell",
    "memorising",
    "large gap",
    "overfitting",
    "underfitting",
    "still improving",
    "unstable",
]

# A problem that would have been noticed less often than this cannot be ruled out.
ENOUGH_POWER = 0.5
# Smaller pictures, in pixels, show too little of what a backbone has learned to see.
LEAST_PHOTOGRAPH = 64


@dataclass(frozen=True)
class Power:
    """What the data could have shown, each a probability from 0 to 1.

    Attributes:
        turn: That a validation loss which has risen by a quarter since its lowest would be called a turn.
        gap: That the interval of a true gap of 10 points would lie above 0.
    """

    turn: float
    gap: float


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Attributes:
        keys: To change, ``("training.early_stopping=3",)``.
        resumes: Whether it continues the same run instead of starting another.
    """

    keys: tuple[str, ...]
    resumes: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The keys with their values."""
        return dict(parse_overrides(self.keys))


@dataclass(frozen=True)
class Verdict:
    """What is known of how a training went.

    Attributes:
        kind: One of eight.
        curves: Whether validation loss has turned, and more.
        gap: Training beside unseen images.
        power: What could have been seen.
        advice: What to try, the best first; empty where there is nothing to improve, or no key improves it.
        smoothing: ``training.label_smoothing``, which is in the losses of the curves and in no others.
    """

    kind: Kind
    curves: Curves
    gap: Gap
    power: Power
    advice: tuple[Advice, ...] = ()
    smoothing: float = 0.0

    @property
    def since(self) -> int | None:
        """For overfitting, the epoch of the lowest validation loss."""
        return self.curves.since if self.kind == "overfitting" else None

    @property
    def name(self) -> str:
        """``overfitting since epoch 6``, or the kind alone."""
        return f"{self.kind} since epoch {self.since}" if self.since is not None else self.kind

    def to_json(self) -> dict[str, Any]:
        """For ``evaluation.json``."""
        parts = asdict(self)
        return {"verdict": parts.pop("kind"), "since": self.since, **parts}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verdict:
        """What ``to_json`` has written.

        Raises:
            ValueError: It is something else.
        """
        from pydantic import TypeAdapter

        parts = {name: value for name, value in content.items() if name not in ("verdict", "since")}
        return TypeAdapter(cls).validate_python({"kind": content.get("verdict"), **parts})


def judge(curves: Curves, gap: Gap, recipe: Recipe) -> Verdict:
    """The verdict on curves and a gap, by the first of these that holds.

    What has gone wrong comes before what may still get better; only then is the absence of both looked at, and it
    counts for something only where there was a chance to see the opposite.

    Args:
        curves: What they show.
        gap: Of the same network, at the end or, while it trains, of the last epoch.
        recipe: What it was trained with, which decides what is still to be tried.
    """
    power = Power(curves.turn_power, gap.power)
    if curves.kind == "unstable":
        kind: Kind = "unstable"
    elif curves.kind == "turned":
        kind = "overfitting"
    elif gap.is_memorising:
        kind = "memorising"
    elif curves.kind == "underfitting":
        kind = "underfitting"
    elif curves.kind == "still improving":
        kind = "still improving"
    elif gap.is_large:
        kind = "large gap"
    elif gap.may_be_large or min(power.turn, power.gap) < ENOUGH_POWER:
        kind = "cannot tell"
    else:
        kind = "fitting well"
    advice = tuple(_advice(kind, curves, gap, recipe))
    return Verdict(kind, curves, gap, power, advice, recipe.training.label_smoothing)


def judge_run(
    history: Sequence[EpochRow],
    accuracies: Mapping[str, tuple[float, int]],
    *,
    classes: int,
    recipe: Recipe,
) -> Verdict:
    """The verdict on a finished training.

    Args:
        history: At least one epoch.
        accuracies: On ``train``, ``validation`` and, once it is opened, ``test`` images, each with their number.
        classes: At least 2.
        recipe: Of the run.
    """
    curves = read_curves(history, classes=classes, validation_images=accuracies["validation"][1])
    # The validation images have had a say in the network where it was stopped early; the test images have not.
    part: Literal["test", "validation"] = "test" if "test" in accuracies else "validation"
    return judge(curves, measure_gap(accuracies["train"], accuracies[part], part), recipe)


def judge_live(
    history: Sequence[EpochRow],
    *,
    train_images: int,
    validation_images: int,
    classes: int,
    recipe: Recipe,
    finished: bool = False,
) -> Verdict:
    """The verdict while training is still running, from its history alone.

    Args:
        history: At least one epoch.
        train_images: At least 1.
        validation_images: At least 1.
        classes: At least 2.
        recipe: Of the run.
        finished: Whether this is the last look, not one of many.
    """
    curves = read_curves(history, classes=classes, validation_images=validation_images, finished=finished)
    return judge(curves, live_gap(history[-1], train_images, validation_images), recipe)


def _advice(kind: Kind, curves: Curves, gap: Gap, recipe: Recipe) -> list[Advice]:
    if recipe.model.own is not None:  # no key changes it
        return []
    if kind == "unstable":
        # A schedule may have brought the last epoch's rate to nearly 0; what was too high is its highest.
        return [Advice((f"training.learning_rate={curves.numbers['highest_rate'] / 10:g}",))]
    if kind == "overfitting":
        stop = [] if recipe.training.early_stopping else [Advice(("training.early_stopping=3",))]
        # Stopping early keeps the best weights; what made them no better is the gap.
        return [*stop, *(_against_memorising(recipe) if gap.is_large or not stop else [])]
    if kind == "memorising":
        return _against_memorising(recipe)
    if kind == "underfitting":
        if curves.case == "nothing learned":
            return [Advice((f"training.epochs={max(4, 2 * curves.epochs)}",), True)]
        return [Advice(("training.learning_rate=auto",))] if curves.case == "crawling" else _networks(recipe)
    if kind == "still improving":
        return [Advice((f"training.epochs={max(4, 2 * curves.epochs)}",), True)]
    if kind == "large gap":
        return [*_networks(recipe), *_augmentation(recipe)]
    return []


def _against_memorising(recipe: Recipe) -> list[Advice]:
    return [*_augmentation(recipe), *_networks(recipe)]


def _augmentation(recipe: Recipe) -> list[Advice]:
    # Features of varied pictures cannot be kept, so a frozen backbone would compute them in every epoch.
    none = active_augmentations(recipe.augmentation) or recipe.model.backbone
    return [] if none else [Advice(("augmentation.shift=0.1",))]


def _networks(recipe: Recipe) -> list[Advice]:
    """Other networks, the likeliest to be better first."""
    backbone = recipe.model.backbone
    if backbone is not None:
        more = Advice((f"recipe={TRANSFER_RECIPE}", "model.trainable=2"))
        return [more] if backbone.trainable == "head" else []
    recipes = [TRANSFER_RECIPE] if takes_photographs(recipe.data) else []
    recipes += [] if recipe.recipe == "best" else ["best"]
    return [Advice((f"recipe={name}",)) for name in recipes]


def takes_photographs(data: DataSpec) -> bool:
    """Whether the network takes colour pictures that are large enough to be photographs."""
    size = data.image_size
    return data.color_mode == "rgb" and size is not None and min(size) >= LEAST_PHOTOGRAPH
