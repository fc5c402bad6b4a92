"""What ``tune`` may change: ranges and choices for any keys, some of them only under a condition."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from conviction.audience import option
from conviction.config.recipe import keys
from conviction.config.text import read_yaml_file, shortened, shown, why_unread
from conviction.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Parameter:
    """A key with the values it may take.

    Attributes:
        key: The key in the specification.
        choices: The values, if they are listed.
        low: Otherwise the lowest value.
        high: And the highest value.
        log: Whether values are drawn evenly by their logarithm.
        whole: Whether values are whole numbers.
        when: Values that other keys of the space must have for this key to be used.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def suggest(self, trial: optuna.Trial) -> Any:
        """A value for a trial."""
        if self.choices:
            # Optuna stores numbers and strings, so lists are stored as JSON.
            return json.loads(trial.suggest_categorical(self.key, [json.dumps(c) for c in self.choices]))
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def to_json(self) -> dict[str, Any]:
        """The parameter as the YAML file has it."""
        out: dict[str, Any] = (
            {"choices": list(self.choices)} if self.choices else {"low": self.low, "high": self.high}
        )
        if self.log:
            out["log"] = True
        if self.when:
            out["when"] = dict(self.when)
        return out


Space = tuple[Parameter, ...]

# What the lab asks about, in ranges that include both its own values and better ones.
DEFAULT: Mapping[str, Mapping[str, Any]] = {
    "model.filters": {"choices": [[16, 32], [32, 64], [64, 128], [16, 64, 128]]},
    "model.kernel_size": {"choices": [3, 5]},
    "model.padding": {"choices": ["valid", "same"]},
    "model.batch_norm": {"choices": [False, True]},
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.dense": {"choices": [[], [64], [128], [256]]},
    "training.optimizer": {"choices": ["adam", "adamw"]},
    "training.learning_rate": {"low": 0.0003, "high": 0.02, "log": True},
    "training.weight_decay": {
        "low": 0.001,
        "high": 0.1,
        "log": True,
        "when": {"training.optimizer": "adamw"},
    },
    "training.batch_size": {"choices": [32, 64, 128, 256]},
    "training.schedule": {"choices": ["constant", "one_cycle"]},
}


# The same for what follows a frozen backbone: a trial takes seconds. ``model.trainable`` would make them minutes.
WITH_BACKBONE: Mapping[str, Mapping[str, Any]] = {
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.dense": {"choices": [[], [64], [256]]},
    "training.learning_rate": {"low": 0.0003, "high": 0.02, "log": True},
    "training.weight_decay": {"low": 0.001, "high": 0.1, "log": True},
    "training.batch_size": {"choices": [16, 32, 64, 128]},
    "training.label_smoothing": {"low": 0.0, "high": 0.2},
}


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Keys and values for a trial, without parameters whose condition does not hold."""
    out: dict[str, Any] = {}
    for parameter in space:
        if all(out.get(key) == value for key, value in parameter.when.items()):
            out[parameter.key] = parameter.suggest(trial)
    return out


def base_values(space: Space, base_keys: Mapping[str, Any]) -> dict[str, Any]:
    """The base's values for keys of the space, as Optuna stores them; only those that the space includes."""
    out: dict[str, Any] = {}
    for parameter in space:
        value = base_keys.get(parameter.key)
        if value is None or any(base_keys.get(k) != v for k, v in parameter.when.items()):
            continue
        if parameter.choices and value in parameter.choices:
            out[parameter.key] = json.dumps(value)
        elif not parameter.choices and parameter.low <= value <= parameter.high:
            out[parameter.key] = value
    return out


def default_space(*, backbone: bool) -> Space:
    """What is searched unless a space is given."""
    return parse_space(WITH_BACKBONE if backbone else DEFAULT)


def read_space(path: Path) -> Space:
    """The space of a YAML file.

    Raises:
        RequestError: It cannot be read, a key is unknown, or a range is not valid.
    """
    try:
        content = read_yaml_file(path)
    except (OSError, UnicodeDecodeError) as failure:
        raise RequestError(f"{option('space')} {path}: cannot read it ({why_unread(failure)}).") from None
    except yaml.YAMLError as failure:
        reason = " ".join(str(failure).split())
        raise RequestError(f"{option('space')} {path}: not valid YAML ({reason}).") from None
    if not isinstance(content, Mapping) or not content:
        raise RequestError(
            f"{option('space')} {path}: expected keys with choices or ranges, such as 'model.kernel_size: "
            f"{{choices: [3, 5]}}'."
        )
    return parse_space(content)


def parse_space(content: Mapping[str, Any]) -> Space:
    """Checks a space; see ``read_space``."""
    out = [_parameter(str(key), value) for key, value in content.items()]
    names = [parameter.key for parameter in out]
    for i, parameter in enumerate(out):
        for key in parameter.when:
            if key not in names[:i]:
                raise RequestError(f"space: {parameter.key} depends on {key}, which must come before it.")
    return tuple(out)


def _parameter(key: str, value: Any) -> Parameter:
    if key not in keys():
        raise RequestError(f"space: unknown key '{shortened(key)}'.{did_you_mean(key, keys())}")
    if key.startswith("data.") or key in ("training.seed", "training.epochs", "recipe", "model.layers"):
        raise RequestError(f"space: {key} cannot be tuned; trials share images, seeds and epochs.")
    expected = "{choices: [...]} or {low: ..., high: ..., log: true}, and perhaps when: {KEY: VALUE}"
    if not isinstance(value, Mapping) or not set(value) <= {"choices", "low", "high", "log", "when"}:
        raise RequestError(f"space: {key}: expected {expected}; got {shown(value)}.")
    when = value.get("when", {})
    if not isinstance(when, Mapping):
        raise RequestError(f"space: {key}: expected when: {{KEY: VALUE}}; got {shown(when)}.")
    choices = value.get("choices")
    if choices is not None:
        if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices or "low" in value:
            raise RequestError(f"space: {key}: expected {expected}; got {shown(value)}.")
        if not _is_finite(choices):
            raise RequestError(f"space: {key}: expected finite numbers; got {shown(choices)}.")
        return Parameter(key, tuple(choices), when=when)
    low, high = value.get("low", ""), value.get("high", "")
    if not _is_number(low) or not _is_number(high) or not low < high or (value.get("log") and low <= 0):
        raise RequestError(
            f"space: {key}: expected numbers low < high (above 0 with log); got low={shown(low)}, high={shown(high)}."
        )
    whole = isinstance(low, int) and isinstance(high, int)
    return Parameter(key, low=low, high=high, log=bool(value.get("log", False)), whole=whole, when=when)


def _is_finite(choices: Sequence[Any]) -> bool:
    """Whether no number in them, however deep, is infinite or not a number."""
    try:
        json.dumps(choices, allow_nan=False)
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
