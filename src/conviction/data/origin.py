"""What kind of source images came from, as a value that whoever loads them sets."""

from __future__ import annotations


class Origin:
    """The base of every kind: each is a frozen dataclass beside its loader, with what it takes to read the source."""
