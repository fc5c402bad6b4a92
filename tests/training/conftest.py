"""Everything here is trained as the product trains: with deterministic kernels, whichever tests ran before."""

from __future__ import annotations

import pytest

from conviction.backend import prepare, usable_cores


@pytest.fixture(scope="session", autouse=True)
def _deterministic() -> None:
    prepare(usable_cores())
