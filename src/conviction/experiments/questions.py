"""The lab's questions as arms around a base: what each changes, and which lesson sheet says what to expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from conviction.audience import option
from conviction.config import ImageFacts, ModelSpec, Recipe, load_recipe
from conviction.config.layer_edits import Layers, dropped_out, normalised, with_settings
from conviction.config.model import Backbone, Trainable
from conviction.config.recipe import keys, parse_overrides
from conviction.config.recipes import TRANSFER_RECIPE
from conviction.config.text import shortened
from conviction.errors import RequestError, did_you_mean
from conviction.experiments.own_network import CHANGES
from conviction.lesson.claims import Claim
from conviction.lesson.record import Experiment


@dataclass(frozen=True)
class Arm:
    """One setting that is tried: ``keys`` over those of the base, then a ``change`` of its layers.

    ``question`` is the question that it belongs to, ``label`` its name in tables.
    """

    question: str
    label: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Layers], Layers] | None = None

    def recipe(self, base_keys: Mapping[str, Any], facts: ImageFacts) -> Recipe:
        """The whole specification of this arm.

        Args:
            base_keys: Keys of the base, the user's.
            facts: ImageFacts about the images, for recipes that adapt to them.

        Raises:
            RequestError: The keys contradict each other, or a value is out of range.
        """
        kept = base_keys
        if "recipe" in self.keys:
            kept = {k: v for k, v in base_keys.items() if k != "model.layers"}
        elif any(key.startswith("model.") for key in self.keys):
            kept = {k: v for k, v in base_keys.items() if k != "model.layers"}
            if "model.layers" in base_keys:
                raise RequestError(
                    f"{self.question}: it changes {next(iter(self.keys))}, which a base with model.layers "
                    "does not have. Describe the base by the shorthand keys."
                )
        out = load_recipe({**kept, **self.keys}, facts=facts)
        if self.change is None:
            return out
        return out.model_copy(update={"model": ModelSpec(layers=self.change(out.model.layers))})


BASE = Arm("", "base")


def _plain(question: str, *arms: tuple[str, Mapping[str, Any]]) -> tuple[Arm, ...]:
    return tuple(Arm(question, label, keys) for label, keys in arms)


# As ``recipe=transfer`` trains where some of the backbone learns.
_FINE_TUNED: Mapping[str, Any] = {
    "augmentation.flip": "horizontal",
    "training.epochs": 8,
    "training.learning_rate": 0.0001,
}


def _learning(layers: Layers, trainable: Trainable) -> Layers:
    return with_settings(layers, Backbone, trainable=trainable)


# By the name that a user types; each arm is compared with the base.
QUESTIONS: dict[str, tuple[Arm, ...]] = {
    "filters": _plain(
        "filters",
        ("half the filters (16, 32)", {"model.filters": [16, 32]}),
        ("twice the filters (64, 128)", {"model.filters": [64, 128]}),
    ),
    "kernel": _plain(
        "kernel", ("5x5 kernels", {"model.kernel_size": 5}), ("2x2 kernels", {"model.kernel_size": 2})
    ),
    "pooling": _plain(
        "pooling",
        ("3x3 pooling", {"model.pool_size": 3}),
        ("average pooling", {"model.pooling": "average"}),
    ),
    "depth": _plain(
        "depth",
        ("one block (32)", {"model.filters": [32]}),
        ("three blocks (32, 64, 128)", {"model.filters": [32, 64, 128]}),
        ("two convolutions a block", {"model.convs": 2, "model.padding": "same"}),
    ),
    "dense": _plain(
        "dense",
        ("no dense layer", {"model.dense": []}),
        ("two dense layers (128, 128)", {"model.dense": [128, 128]}),
        ("512 units", {"model.dense": [512]}),
    ),
    "dropout": (
        Arm(
            "dropout",
            "dropout 0.5 after the dense layer",
            change=lambda layers: dropped_out(layers, 0.0, 0.5),
        ),
        Arm("dropout", "dropout 0.25 after pooling", change=lambda layers: dropped_out(layers, 0.25, 0.0)),
        Arm("dropout", "dropout at both places", change=lambda layers: dropped_out(layers, 0.25, 0.5)),
    ),
    "batch-norm": (
        Arm("batch-norm", "batch norm. before the activation", change=normalised),
        Arm(
            "batch-norm",
            "batch norm. after the activation",
            change=lambda layers: normalised(layers, before=False),
        ),
    ),
    "learning-rate": _plain(
        "learning-rate",
        ("rate 0.0001", {"training.learning_rate": 0.0001}),
        ("rate 0.003", {"training.learning_rate": 0.003}),
        ("rate 0.01", {"training.learning_rate": 0.01}),
    ),
    "batch-size": _plain(
        "batch-size",
        ("batches of 16", {"training.batch_size": 16}),
        ("batches of 256", {"training.batch_size": 256}),
        ("batches of 256 at twice the rate", {"training.batch_size": 256, "training.learning_rate": 0.002}),
    ),
    "optimizer": _plain(
        "optimizer",
        ("sgd at 0.05", {"training.optimizer": "sgd", "training.learning_rate": 0.05}),
        ("sgd at 0.001", {"training.optimizer": "sgd", "training.learning_rate": 0.001}),
        ("rmsprop at 0.001", {"training.optimizer": "rmsprop"}),
        ("adamw at 0.001", {"training.optimizer": "adamw"}),
    ),
    "augmentation": _plain(
        "augmentation",
        ("mirrored", {"augmentation.flip": "horizontal"}),
        ("shifted by 10%", {"augmentation.shift": 0.1}),
        ("a square hidden", {"augmentation.cutout": 0.3}),
    ),
    "recipe": _plain("recipe", ("recipe=fast", {"recipe": "fast"})),
    "backbone": (
        Arm("backbone", "its last 2 blocks learn, too", _FINE_TUNED, partial(_learning, trainable=2)),
        Arm("backbone", "all of it learns", _FINE_TUNED, partial(_learning, trainable="all")),
        Arm("backbone", "recipe=best, without a backbone", {"recipe": "best"}),
    ),
}
# About blocks of layers, of which a backbone has its own.
ABOUT_BLOCKS = ("filters", "kernel", "pooling", "depth", "batch-norm")
# The lesson sheet of each question.
SHEETS = {
    "filters": "filters",
    "kernel": "kernel_size",
    "pooling": "pooling",
    "depth": "conv_layers",
    "dense": "dense_layers",
    "dropout": "dropout",
    "batch-norm": "batch_norm",
    "learning-rate": "learning_rate",
    "batch-size": "batch_size",
    "optimizer": "optimizer",
    "augmentation": "augmentation",
}


def questions_about(base_keys: Mapping[str, Any]) -> list[str]:
    """The questions that can be asked about a base, by its keys."""
    return [q for q in QUESTIONS if (q not in ABOUT_BLOCKS if has_backbone(base_keys) else q != "backbone")]


def has_backbone(base_keys: Mapping[str, Any]) -> bool:
    """Whether the network that these keys describe begins with a pretrained one."""
    layers = base_keys.get("model.layers")
    if isinstance(layers, list | tuple) and layers:
        first = layers[0]
        return (first.get("type") if isinstance(first, Mapping) else first.type) == "Backbone"
    if "model.backbone" in base_keys:
        return base_keys["model.backbone"] is not None
    return base_keys.get("recipe") == TRANSFER_RECIPE


def arms_of(question: str, *, layers: bool = False) -> tuple[Arm, ...]:
    """The arms of one of the lab's questions; ``layers`` if the base is a list of layers."""
    if layers and question in CHANGES:
        return tuple(Arm(question, label, change=change) for label, change in CHANGES[question])
    return QUESTIONS[question]


def arms_for(
    questions: Sequence[str], vary: Sequence[str], base_keys: Mapping[str, Any], *, grid: bool = False
) -> list[Arm]:
    """The arms of named questions and of ``--vary KEY=a,b,c``, in the order of the command.

    Args:
        questions: Names in ``QUESTIONS``, or ``all``.
        vary: Keys and their values.
        base_keys: Keys of the base.
        grid: Every value of one key with every value of another, instead of one key at a time.

    Raises:
        RequestError: An unknown question or key, a question that the base has no answer to, a key without values,
            nothing to vary, or a grid without two keys.
    """
    if grid and (len(vary) != 2 or questions):
        raise RequestError(f"{option('grid')}: expected {option('vary')} twice, and no {option('question')}.")
    if grid:
        one, two = map(_varied, vary)
        name = " and ".join(text.partition("=")[0] for text in vary)
        return [Arm(name, f"{a.label} {b.label}", {**a.keys, **b.keys}) for a in one for b in two]
    out: list[Arm] = []
    possible, layers = questions_about(base_keys), "model.layers" in base_keys
    for name in questions:
        if name == "all":
            out += [arm for each in possible for arm in arms_of(each, layers=layers)]
        elif name in possible:
            out += arms_of(name, layers=layers)
        elif name in QUESTIONS:
            reason = (
                f"the base has no backbone. Try recipe={TRANSFER_RECIPE}"
                if name == "backbone"
                else "the base begins with a backbone, whose layers stay as they are"
            )
            raise RequestError(
                f"{option('question')} {name}: {reason}. Questions about this base: {', '.join(possible)}."
            )
        else:
            known = [*QUESTIONS, "all"]
            raise RequestError(
                f"{option('question')}: there is no question called '{name}'.{did_you_mean(name, known)} Questions: "
                f"{', '.join(known)}."
            )
    for text in vary:
        out += _varied(text)
    if not out:
        raise RequestError(
            f"explore: nothing to vary. Give {option('question')} filters (or another, or all), or "
            f"{option('vary')} KEY=a,b,c."
        )
    return out


def arm_of_claim(claim: Claim, experiment: Experiment) -> Arm:
    """The one arm that tests a claim of the lesson."""
    if experiment.question:
        arm = next(a for a in QUESTIONS[experiment.question] if a.label == experiment.arm)
    else:
        (arm,) = _varied(experiment.arm)
    return replace(arm, question=claim.name, label=claim.measurements[0].question)


def _varied(text: str) -> list[Arm]:
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise RequestError(
            f"{option('vary')}: expected KEY=a,b,c such as model.kernel_size=3,5; got '{text}'."
        )
    if key not in keys():
        raise RequestError(f"{option('vary')}: unknown key '{shortened(key)}'.{did_you_mean(key, keys())}")
    # Lists hold commas themselves: model.filters=[16,32],[32,64].
    parts = list(_split(values))
    return [Arm(key, f"{key}={part}", dict(parse_overrides([f"{key}={part}"]))) for part in parts]


def _split(values: str) -> list[str]:
    out, depth, current = [], 0, ""
    for c in values:
        depth += (c == "[") - (c == "]")
        if c == "," and depth == 0:
            out.append(current)
            current = ""
        else:
            current += c
    return [part.strip() for part in (*out, current)]
