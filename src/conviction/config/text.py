"""YAML text to plain values, for every file and field in which a user writes it."""

from __future__ import annotations

import reprlib
from typing import Any

import yaml

# PyYAML's time grows with the square of the brackets that are open at once, and no valid input nests this deeply.
MOST_OPEN = 100


def read_yaml(text: str) -> Any:
    """The values of a YAML document.

    Raises:
        yaml.YAMLError: It is not one, whatever PyYAML raises for it.
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
    except Exception as failure:  # an impossible date is a ValueError, and there are more such cases
        raise yaml.YAMLError(" ".join(str(failure).split()) or type(failure).__name__) from None


def expectation(message: str) -> str:
    """What pydantic expected, as a clause after ``expected``; empty where its message says something else.

    >>> expectation("Input should be a valid integer"), expectation("Field required")
    ('an integer', '')
    """
    for beginning in ("Input should be ", "Value error, expected "):
        if message.startswith(beginning):
            clause = message.removeprefix(beginning)
            return clause.replace("a valid ", "a ").replace("a integer", "an integer")
    return ""


def shown(value: Any) -> str:
    """A value for a message, whole if it is short; one that refers to itself many times could fill the memory."""
    return _SHORT.repr(value)[:1000]


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
