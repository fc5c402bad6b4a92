"""The one specification of a run, and how defaults, a recipe, a file and KEY=VALUE become it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from conviction.audience import option
from conviction.config.data import DataSpec
from conviction.config.evaluation import EvaluationSpec
from conviction.config.flat import NewerSchemaError, NoSectionsError, flat, plain, read_sections
from conviction.config.model import (
    LAYER_TYPES,
    WITH_BACKBONE,
    ModelSpec,
    Shorthand,
    Strict,
    expand,
    layers_of,
)
from conviction.config.recipes import DEFAULT_RECIPE, RECIPES, TRANSFER_RECIPE, ImageFacts, fine_tuning
from conviction.config.text import (
    expectation,
    is_exponent,
    read_yaml,
    read_yaml_file,
    shortened,
    shown,
)
from conviction.config.training import AugmentationSpec, TrainingSpec
from conviction.errors import RequestError, RunFileError, UnknownKeyError, did_you_mean, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Spec = TypeVar("Spec", bound=BaseModel)


class Recipe(Strict):
    """The whole specification of a run, as ``config.yaml`` holds it."""

    # A plain string, so that a run of a recipe that a later version drops can still be read.
    recipe: str = DEFAULT_RECIPE
    data: DataSpec = DataSpec()
    model: ModelSpec = expand(Shorthand())
    augmentation: AugmentationSpec = AugmentationSpec()
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()

    def to_yaml(self) -> str:
        """YAML text that ``load_recipe`` reads back to an equal specification."""
        return yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110
        )


# What ``fit`` and ``assess`` say of a network that a user has given; nobody types it.
OWN, OWN_RECIPE = "model.own", "own"
Overrides: TypeAlias = str | Sequence[str] | Mapping[str, Any] | Recipe
SECTIONS: dict[str, type[Strict]] = {
    "data": DataSpec,
    "augmentation": AugmentationSpec,
    "training": TrainingSpec,
    "evaluation": EvaluationSpec,
}


def keys() -> list[str]:
    """Every dotted key that a user may set, shorthand and ``model.layers`` included."""
    plain = [f"{name}.{key}" for name, spec in SECTIONS.items() for key in spec.model_fields]
    return ["recipe", *plain, *(f"model.{key}" for key in Shorthand.model_fields), "model.layers"]


def load_recipe(
    overrides: Overrides = (),
    config: Path | str | None = None,
    facts: ImageFacts | None = None,
) -> Recipe:
    """Resolves defaults < recipe < ``config`` (a YAML file) < ``overrides`` into one specification.

    Args:
        overrides: ``["training.epochs=3"]``, or a mapping ``{"training.epochs": 3}``.
        config: A YAML file with the sections of ``config.yaml``, for instance that of another run.
        facts: What the recipe may adapt to; the default is Fashion-MNIST. The section ``data`` and the
            seed never depend on them, so that the data can be loaded with what this returns without facts.

    Raises:
        RequestError: An unknown key (the nearest known one is named), a wrong type, a value out of
            range, both ``model.layers`` and a shorthand key, or a file that cannot be read.
    """
    settings = user_settings(overrides, config)
    for key in settings:
        if key not in keys() and key != OWN:
            raise UnknownKeyError(
                f"Unknown key '{shortened(key)}'.{did_you_mean(key, keys())}",
                key=key,
                suggestion=nearest(key, keys()),
            )
    standing = settings.get("model.backbone") is not None
    name = settings.pop("recipe", TRANSFER_RECIPE if standing else DEFAULT_RECIPE)
    if OWN in settings and name == OWN_RECIPE:
        return _validate(name, {**_without_model(RECIPES["lab"](facts or ImageFacts())), **settings})
    if not isinstance(name, str) or name not in RECIPES:
        raise _refused("recipe", f"one of {', '.join(RECIPES)}", shown(name), near=_nearest(name, RECIPES))
    base = RECIPES[name](facts or ImageFacts())
    if name == TRANSFER_RECIPE and _what_learns(settings) != "head":
        base |= fine_tuning(facts or ImageFacts())
    if "model.layers" in settings or (standing and name != TRANSFER_RECIPE):  # describes the whole network
        base = _without_model(base)
    return _validate(name, {**base, **settings})


def _without_model(base: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in base.items() if not key.startswith("model.")}


def read_recipe(path: Path) -> Recipe:
    """The specification of a run, from the ``config.yaml`` that it has written.

    Raises:
        OSError, ValueError, yaml.YAMLError: The file cannot be read, or is not YAML with sections.
        RequestError: It holds a key or a value that the specification does not take.
        RunFileError: A later version has written it.
    """
    try:
        return load_recipe(dict(flat(read_yaml_file(path))))
    except NewerSchemaError as failure:
        raise RunFileError(f"{path}: {failure}", "newer") from None


def user_settings(overrides: Overrides = (), config: Path | str | None = None) -> dict[str, Any]:
    """What the user set, ``config`` < ``overrides``, before defaults and recipe.

    Raises:
        RequestError: A file that cannot be read, or something that is not KEY=VALUE.
    """
    settings = dict(read_sections(Path(config).expanduser())) if config is not None else {}
    # A key on the command line replaces the file's; layers and shorthand are two ways to say one
    # thing, so the later one wins as a whole over the earlier one.
    named = settings_of(overrides)
    if ("model.layers" in settings and any(k.startswith("model.") for k in named)) or "model.layers" in named:
        settings = {k: v for k, v in settings.items() if not k.startswith("model.")}
    return {**settings, **named}


def _validate(name: str, flat: dict[str, Any]) -> Recipe:
    sections: dict[str, dict[str, Any]] = {"model": {}, **{s: {} for s in SECTIONS}}
    for key, value in flat.items():
        section, _, field = key.partition(".")
        sections[section][field] = value
    own, layers = sections["model"].pop("own", None), sections["model"].pop("layers", None)
    short = sections.pop("model")
    if own is not None and (layers is not None or short):
        key = "model.layers" if layers is not None else f"model.{next(iter(short))}"
        raise RequestError(
            f"{key}: the network is the one that is given as {option('model')}, which is not built by keys.",
            key=key,
        )
    if layers is not None and short:
        raise RequestError(
            f"model.layers and model.{next(iter(short))} both describe the network: give the list of "
            "layers or the shorthand keys, not both."
        )
    if own is not None:
        model = _check("model", ModelSpec, {"own": own})
    elif layers is not None:
        _check_layer_types(layers)
        model = _check("model", ModelSpec, {"layers": layers})
    else:
        _check_beside_backbone(short)
        model = _check("model", ModelSpec, {"layers": layers_of(_check("model", Shorthand, short))})
    return Recipe(
        recipe=name,
        data=_check("data", DataSpec, sections["data"]),
        model=model,
        augmentation=_check("augmentation", AugmentationSpec, sections["augmentation"]),
        training=_check("training", TrainingSpec, sections["training"]),
        evaluation=_check("evaluation", EvaluationSpec, sections["evaluation"]),
    )


def _what_learns(settings: Mapping[str, Any]) -> Any:
    """How much of a backbone is asked to learn, by its key or in the list of layers."""
    layers = settings.get("model.layers")
    first = layers[0] if isinstance(layers, list | tuple) and layers else None
    if isinstance(first, Mapping):
        return first.get("trainable", "head")
    return getattr(first, "trainable", settings.get("model.trainable", "head"))


def _check_beside_backbone(short: Mapping[str, Any]) -> None:
    """Refuses keys that describe blocks of convolutions where a backbone takes their place, and the other way round."""
    if short.get("backbone") is None:
        if short.get("trainable", "head") != "head":
            raise RequestError(
                "model.trainable says what of a backbone learns; name one with model.backbone.",
                key="model.trainable",
            )
        return
    other = next((key for key in short if key not in WITH_BACKBONE), None)
    if other is not None:
        raise RequestError(
            f"model.{other} describes a network that learns from the beginning, and model.backbone={short['backbone']} "
            f"takes its place; beside it there are {', '.join(f'model.{k}' for k in WITH_BACKBONE[1:])}.",
            key=f"model.{other}",
        )


def _check(section: str, spec: type[Spec], values: dict[str, Any]) -> Spec:
    try:
        return spec.model_validate(values)
    except ValidationError as failure:
        first = failure.errors()[0]
        if not first["loc"]:  # a rule over several keys, whose message names them
            raise RequestError(f"{first['msg'].removeprefix('Value error, ')}.") from None
        where = ".".join([section, *(str(p) for p in first["loc"] if p not in LAYER_TYPES)])
        if first["type"] == "too_long":
            most, got = first["ctx"]["max_length"], first["ctx"]["actual_length"]
            raise _refused(where, f"at most {most} entries", f"{got:,}") from None
        if first["type"] == "extra_forbidden":
            owner = LAYER_TYPES.get(str(first["loc"][-2])) if len(first["loc"]) > 1 else None
            known = list((owner or spec).model_fields)
            word = str(first["loc"][-1])
            raise UnknownKeyError(
                f"Unknown key '{where}'.{did_you_mean(word, known)} Known: {', '.join(known)}.",
                key=where,
                suggestion=nearest(word, known),
            ) from None
        got, clause = shown(first["input"]), expectation(first["msg"])
        if not clause:
            message = first["msg"].removeprefix("Value error, ")
            raise RequestError(f"{where}: {message}; got {got}.", key=where, got=got) from None
        near = _nearest(first["input"], _words(spec, first["loc"]))
        raise _refused(where, clause, got, _bound(first), near) from None


def _words(spec: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The words out of which a field takes one; empty if it takes something else."""
    owner = LAYER_TYPES.get(str(location[-2])) if len(location) > 1 else None
    field = (owner or spec).model_fields.get(str(location[-1]))
    if field is None:
        return []
    # ``Literal["a", "b"]``, or one out of several types, such as ``Literal["a", "b"] | None``.
    parts = [field.annotation, *get_args(field.annotation)]
    return [word for part in parts for word in get_args(part) if isinstance(word, str)]


def _nearest(value: Any, known: Iterable[str]) -> str:
    """The known word that was probably meant."""
    return nearest(value, known) if isinstance(value, str) else ""


# By the type of pydantic's error: the shorter word for a bound, and where its number is.
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("above", "gt"),
    "less_than": ("below", "lt"),
}


def _bound(error: ErrorDetails) -> str:
    """The bound that a number has not kept to, ``at least 1``; empty for any other error."""
    if error["type"] not in _BOUNDS:
        return ""
    word, name = _BOUNDS[error["type"]]
    return f"{word} {error['ctx'][name]}".removesuffix(".0")


def _refused(key: str, clause: str, got: str, expected: str = "", near: str = "") -> RequestError:
    """The error for a value that is not what ``clause`` says.

    Args:
        key: Whose value it is.
        clause: What was expected.
        got: The value.
        expected: What was expected in fewer words, if there are any.
        near: What was probably meant.
    """
    message = f"{key}: expected {clause}; got {got}." + (f" Did you mean '{near}'?" if near else "")
    return RequestError(message, key=key, expected=expected or clause, got=got, suggestion=near)


def _check_layer_types(layers: Any) -> None:
    """Names the layer that has no known type; pydantic's own message for unions is a paragraph."""
    if not isinstance(layers, list | tuple):
        raise _refused("model.layers", "a list of layers", shown(layers))
    for i, layer in enumerate(layers):
        kind = layer.get("type") if isinstance(layer, Mapping) else getattr(layer, "type", layer)
        if not isinstance(kind, str) or kind not in LAYER_TYPES:
            expected, near = f"a mapping with a type out of {', '.join(LAYER_TYPES)}", ""
            hint = ""
            if isinstance(kind, str):
                hint, near = did_you_mean(kind, LAYER_TYPES), nearest(kind, LAYER_TYPES)
            raise RequestError(
                f"model.layers.{i}: expected {expected}; got {shown(kind)}.{hint}",
                key=f"model.layers.{i}",
                expected=expected,
                got=shown(kind),
                suggestion=near,
            )


def settings_of(overrides: Overrides) -> dict[str, Any]:
    """Keys and values, however they were given.

    >>> settings_of({"training": {"epochs": 3}, "data.image_size": (32, 32)})
    {'training.epochs': 3, 'data.image_size': [32, 32]}

    Raises:
        RequestError: One is not KEY=VALUE, or a key is given twice; or it is something else.
    """
    if isinstance(overrides, Recipe):
        return dict(flat(read_yaml(overrides.to_yaml())))
    if isinstance(overrides, Mapping):
        try:
            return {key: plain(value) for key, value in flat(overrides)}
        except NoSectionsError as failure:
            raise RequestError(f"overrides: {failure}.") from None
    if isinstance(overrides, str):
        overrides = [overrides]
    if isinstance(overrides, Sequence) and all(isinstance(pair, str) for pair in overrides):
        return dict(parse_overrides(overrides))
    raise RequestError(
        "overrides: expected keys and values such as {'training.epochs': 3}, ['training.epochs=3'], or the config of "
        f"a run; got {shown(overrides)}."
    )


def parse_overrides(pairs: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """``["training.epochs=3"]`` as keys and values.

    Raises:
        RequestError: One is not KEY=VALUE, or a key is given twice.
    """
    seen: set[str] = set()
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise RequestError(
                f"Expected KEY=VALUE such as training.epochs=3; got '{shortened(pair)}'."
                f"{did_you_mean(pair, keys())}"
            )
        if key in seen:
            raise RequestError(f"'{shortened(key)}' is given twice: give it once.")
        seen.add(key)
        yield key, _value(key, text)


def _value(key: str, text: str) -> Any:
    try:
        return float(text) if is_exponent(text) else read_yaml(text)
    except yaml.YAMLError:
        raise RequestError(
            f"{shortened(key)}: cannot read the value '{shortened(text)}' (YAML is expected).",
            key=key,
            got=shortened(text),
        ) from None
