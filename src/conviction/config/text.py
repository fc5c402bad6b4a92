"""YAML text to plain values, for every file and field in which somebody writes it."""

from __future__ import annotations

import reprlib
from typing import Any

import yaml

# PyYAML's time grows with the square of what is open at once, and nothing that is asked for nests as deeply.
MOST_OPEN = 100


def read_yaml(text: str) -> Any:
    """The values of a YAML document.

    Raises:
        yaml.YAMLError: It is none; whatever PyYAML makes of that.
    """
    opened = 0
    for character in text:
        opened += (character in "[{") - (character in "]}")
        if opened > MOST_OPEN:
            raise yaml.YAMLError(f"more than {MOST_OPEN} brackets are open at once")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except Exception as failure:  # a date that no calendar has is a ValueError, and there is more of the kind
        raise yaml.YAMLError(" ".join(str(failure).split()) or type(failure).__name__) from None


def shown(value: Any) -> str:
    """A value for a message: whole where it is short; what refers to itself many times over could fill the memory."""
    return _SHORT.repr(value)[:1000]


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
