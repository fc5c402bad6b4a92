"""Every key of a specification with its type, bounds, default and one line of what it is."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic.fields import FieldInfo

from conviction.config.model import Shorthand, Strict
from conviction.config.recipe import SECTIONS
from conviction.config.recipes import RECIPES

WHAT = {
    "recipe": "the starting point; the defaults here are those of lab",
    "data.image_size": "pixels: one number, or [height, width]; from the data if it is not set",
    "data.fit": "what becomes of pictures of another shape: stretched, their middle, or black beside them",
    "data.color_mode": "grey or colour; auto takes it from the data",
    "data.validation": "share of the training images that is held back",
    "data.test": "share of all images that is set aside, where the source has no test set",
    "data.range": "[black, white] of arrays and of 16-bit picture files, where the type alone does not say",
    "data.group": "pictures that belong together: a CSV with file and group, a regular expression, auto for sessions",
    "data.exclude": "a CSV with a column file: images to leave out",
    "data.relabel": "a CSV with the columns file and proposed: the classes that these images get",
    "data.on_leak": "what to do with images to learn from that are also in the source's test set",
    "data.folds": "cuts everything but the test set into this many folds; 0 for none",
    "data.fold": "which of them is the validation set, from 1",
    "model.backbone": "a network that has learned on other pictures, in place of the blocks",
    "model.trainable": "how much of the backbone learns: head, its last N blocks, or all",
    "model.whitening": "a fixed first layer, fitted on training images, that decorrelates patches of 2x2 pixels",
    "model.filters": "feature maps of each block",
    "model.convs": "convolutions in each block",
    "model.kernel_size": "of each convolution; one number or [rows, columns]",
    "model.padding": "valid (maps shrink at the border) or same",
    "model.activation": "of convolutions and hidden dense layers",
    "model.kernel_initializer": "how convolutions begin: at random, or passing on their channels (dirac)",
    "model.pooling": "the largest value of each window, or the mean",
    "model.pool_size": "window and stride of each pooling; one number or [rows, columns]",
    "model.pool_first": "pooling after the first convolution of a block, before normalisation and activation",
    "model.batch_norm": "batch normalisation in each block",
    "model.dropout": "rate after each pooling and each dense layer",
    "model.head": "what turns maps into features",
    "model.dense": "units of each hidden dense layer; [] for none",
    "model.layers": "the list of layers, at most 200, instead of the other keys of the model",
    "augmentation.flip": (
        "mirrors along these axes with probability 1/2; alternate: left to right in every other epoch; auto: so where "
        "mirror images keep the class"
    ),
    "augmentation.shift": "moves by up to this share of the sides",
    "augmentation.rotate": "turns by up to this many degrees either way",
    "augmentation.zoom": "magnifies by a factor of 1 plus or minus this",
    "augmentation.brightness": "adds up to plus or minus this share of white",
    "augmentation.contrast": "multiplies the distance from the image's mean by 1 plus or minus this",
    "augmentation.cutout": "fills a square of this share of the shorter side with the mean colour",
    "augmentation.mixup": "mixes two images and their labels; the parameter of the Beta distribution",
    "training.epochs": "passes over the training images",
    "training.batch_size": "images per step; a smaller set lowers the default",
    "training.optimizer": "what turns gradients into steps",
    "training.learning_rate": "the rate, or the highest of the schedule; auto finds one",
    "training.schedule": "how the rate changes over the steps",
    "training.warmup": "share of all steps in which the rate rises; if not set, 0.3 for one_cycle, 0.05 for cosine",
    "training.label_smoothing": "share of each target that is spread over all classes",
    "training.weight_decay": "share, times the rate, that each step takes off kernels; if not set, 0.004 for adamw",
    "training.clip_norm": "largest norm of a gradient; 0 for no limit",
    "training.ema": "momentum of the moving average of the weights; 0 for none",
    "training.class_weights": "balanced: each class counts equally in the loss",
    "training.early_stopping": "end after this many epochs without a better monitor, and keep the best; 0 for never",
    "training.monitor": "what early stopping looks at",
    "training.precision": "of products; auto takes bfloat16 where the hardware gains by it",
    "training.seed": "initial weights, order, dropout, validation draw",
    "training.threads": "one of the things that the result, bit for bit, depends on; every core if it is not set",
    "training.devices": "all spreads each batch over all GPUs, on JAX",
    "training.checkpoint_minutes": "a checkpoint within an epoch, besides the one after each; 0 for none",
    "training.checkpoint_steps": "the same, by steps",
    "evaluation.test": "open the test set at the end",
    "evaluation.calibrate": "temperature scaling, on the validation images, inside the saved model",
    "evaluation.metadata": "a CSV with a column file, by whose other columns accuracy is broken down",
    "evaluation.views": "over how many versions of a picture, mirrored and shifted, each answer is averaged",
    "evaluation.folds": "cross-validation of the recipe on everything outside the test set",
}
# Where the types of Python do not say it.
_VALUES = {
    "data.image_size": "whole number or [height, width], each from 4 to 2048",
    "data.range": "[black, white], numbers",
    "model.kernel_size": "whole number or [rows, columns], each from 1 to 1024",
    "model.pool_size": "whole number or [rows, columns], each from 1 to 1024",
    "model.trainable": "head, all, or a whole number from 1 to 1000",
    "model.layers": "list of layers",
    "training.learning_rate": "auto, or a number above 0 and at most 100",
    "evaluation.folds": "FOLDS or FOLDSxREPETITIONS, 2 to 100 folds, 1 to 100 repetitions",
}


@dataclass(frozen=True)
class Key:
    """A key of a specification.

    Attributes:
        name: With its section, such as "training.epochs".
        values: What it takes, in words.
        default: As it is typed; empty where the data or the machine decides.
        what: What it is, in a line.
    """

    name: str
    values: str
    default: str
    what: str


def all_keys() -> list[Key]:
    """Every key, in the order of ``config.yaml``."""
    return [Key("recipe", f"one of {', '.join(RECIPES)}", "fast", WHAT["recipe"]), *_keys()]


def _keys() -> Iterator[Key]:
    sections: dict[str, type[Strict]] = {"data": SECTIONS["data"], "model": Shorthand, **SECTIONS}
    for section, spec in sections.items():
        for field, info in spec.model_fields.items():
            name = f"{section}.{field}"
            values = _VALUES.get(name) or _words(info.annotation, info.metadata)
            yield Key(name, values, _default(info), WHAT[name])
        if section == "model":
            yield Key("model.layers", _VALUES["model.layers"], "", WHAT["model.layers"])


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True)
    if value is None:
        return ""
    if isinstance(value, tuple):
        value = list(value)
        value = value[0] if len(set(map(str, value))) == 1 and len(value) == 2 else value
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _words(annotation: Any, metadata: list[Any]) -> str:
    """A type with its bounds."""
    if get_origin(annotation) in (Union, types.UnionType):
        first = next(a for a in get_args(annotation) if a is not type(None))
        return _words(first, metadata)
    if hasattr(annotation, "__metadata__"):
        return _words(get_args(annotation)[0], [*metadata, *_flat(annotation.__metadata__)])
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    if get_origin(annotation) is tuple:
        return f"list, each a {_words(get_args(annotation)[0], metadata)}"
    kind = {bool: "true or false", int: "whole number", float: "number", str: "text"}[annotation]
    return f"{kind}{_bounds(_flat(metadata))}"


def _flat(metadata: Any) -> list[Any]:
    """The bounds in the metadata of a field, whether they are single or together."""
    return [one for each in metadata for one in getattr(each, "metadata", [each])]


def _bounds(metadata: list[Any]) -> str:
    words = []
    for one in metadata:
        match one:
            case annotated_types.Ge(low):
                words.append(f"from {_number(low)}")
            case annotated_types.Gt(low):
                words.append(f"above {_number(low)}")
            case annotated_types.Le(high):
                words.append(f"to {_number(high)}" if words else f"at most {_number(high)}")
            case annotated_types.Lt(high):
                words.append(f"and below {_number(high)}" if words else f"below {_number(high)}")
    return f" {' '.join(words)}" if words else ""


def _number(value: Any) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"
