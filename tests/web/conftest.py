"""A lab for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.labs import Served, lab


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The real command on a free port, with a folder of its own."""
    with lab(tmp_path_factory.mktemp("lab")) as one:
        yield one
