"""What kind of source images came from, as a value that their loader sets."""

from __future__ import annotations


class Origin:
    """The base of every kind: each is a frozen dataclass beside its loader, with what is needed to read the source."""
