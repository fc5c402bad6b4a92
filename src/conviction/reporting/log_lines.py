"""What is shown as lines, as records of Python's ``logging``."""

from __future__ import annotations

import io
import logging

LOGGER = logging.getLogger("conviction")
"""Its records are at the level INFO; ``logging.basicConfig(level="INFO")`` shows them."""


class LogLines(io.StringIO):
    """A text file of which every line that is not empty becomes a record.

    >>> import logging.handlers
    >>> records = logging.handlers.BufferingHandler(10)
    >>> LOGGER.addHandler(records)
    >>> LOGGER.setLevel("INFO")
    >>> print("epoch 1", "of 3", file=LogLines())
    >>> [record.getMessage() for record in records.buffer]
    ['epoch 1 of 3']
    >>> LOGGER.removeHandler(records)
    >>> LOGGER.setLevel("NOTSET")
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun = ""

    def write(self, text: str) -> int:
        """Logs the lines that are whole."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                LOGGER.info("%s", line.rstrip())
        return len(text)
