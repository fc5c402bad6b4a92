"""A specification as keys with their sections, such as ``training.epochs``: from files, and from nested values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from conviction.audience import option
from conviction.config.text import is_exponent, newer_schema, read_yaml_file, shown, why_unread
from conviction.errors import RequestError


class NoSectionsError(ValueError):
    """YAML that is not a specification."""


class NewerSchemaError(NoSectionsError):
    """YAML that a later version has written."""


def read_sections(path: Path) -> Iterator[tuple[str, Any]]:
    """The keys and values of a YAML file that a user has named.

    Raises:
        RequestError: It cannot be read, or is not a specification.
    """
    try:
        yield from flat(read_yaml_file(path))
    except NoSectionsError as failure:
        raise RequestError(f"{option('config')} {path}: {failure}.") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise RequestError(f"{option('config')} {path}: cannot read it ({why_unread(failure)}).") from None
    except yaml.YAMLError as failure:
        raise RequestError(f"{option('config')} {path}: not valid YAML ({_one_line(failure)}).") from None


def flat(content: Any) -> Iterator[tuple[str, Any]]:
    """Sections, or keys with their sections, as keys and values.

    Raises:
        NoSectionsError: It is something else, or a key is given twice; a ``NewerSchemaError`` if a later version has
            written it.
    """
    if not isinstance(content, Mapping):
        raise NoSectionsError(f"expected sections such as 'training:'; got {shown(content)}")
    seen = set()
    if reason := newer_schema(content):
        raise NewerSchemaError(reason)
    for section, values in content.items():
        if section == "schema":
            continue
        if section == "recipe" or "." in str(section) or not isinstance(values, Mapping):
            pairs = {str(section): values}
        else:
            pairs = {f"{section}.{key}": _numbers(value) for key, value in values.items()}
        for key, value in pairs.items():
            if key in seen:
                raise NoSectionsError(f"the key {shown(key)} is given twice")
            seen.add(key)
            yield key, value


def _numbers(value: Any) -> Any:
    """Reads ``1e-3`` as a number in files as well."""
    return float(value) if isinstance(value, str) and is_exponent(value) else value


def _one_line(failure: Exception) -> str:
    return " ".join(str(failure).split())


def by_key(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested specification as ``section.key`` and value, in order."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from by_key(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as numbers and lists, whichever mapping or sequence they are in."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value
