"""Whatever comes is answered by 200 or 4xx: mutated pictures, and whatever the OpenAPI document allows or not."""

from __future__ import annotations

from typing import Any

import httpx
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.server.conftest import Server, encoded, noise, upload

SEEDS = [
    encoded(noise(0)),
    encoded(noise(1, (40, 30, 3))),
    encoded(noise(2, (40, 30, 4))),
    encoded(noise(3, (40, 30, 3)), "JPEG"),
    encoded(noise(4, (300, 260)), "JPEG", progressive=True),
    encoded(noise(5, (40, 30, 3)), "GIF"),
    encoded(noise(6, (40, 30, 3)), "WEBP"),
    encoded(noise(7, (40, 30, 3)), "TIFF"),
    encoded(np.zeros((9, 9), np.uint8), "BMP"),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A picture file with some bytes changed, cut out or repeated."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["change", "cut", "end", "repeat", "insert"])):
            case "change" if content:
                content[at] = draw(st.integers(0, 255))
            case "cut":
                del content[at : at + draw(st.integers(1, 50))]
            case "end":
                del content[at:]
            case "repeat":
                content[at:at] = content[at : at + draw(st.integers(1, 50))]
            case _:
                content[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(content)


@pytest.fixture(scope="module")
def kept(server: Server) -> httpx.Client:
    with server.client() as client:
        yield client


@hypothesis.given(st.lists(mutated(), min_size=1, max_size=4))
@hypothesis.settings(
    max_examples=300,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
def test_mutated_pictures_are_classified_or_refused(kept: httpx.Client, contents: list[bytes]) -> None:
    response = kept.post("/v1/predict", files=upload(*contents))
    assert response.status_code in (200, 422), response.text
    if response.status_code == 200:
        assert len(response.json()["predictions"]) == len(contents)


@hypothesis.given(
    st.binary(max_size=300), st.sampled_from(["multipart/form-data; boundary=b", "application/json"])
)
@hypothesis.settings(
    max_examples=200,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_any_bytes_are_a_problem_of_the_client(kept: httpx.Client, body: bytes, kind: str) -> None:
    response = kept.post("/v1/predict", content=body, headers={"content-type": kind})
    assert 400 <= response.status_code < 500, response.text


def keeps(operation: Any, checks: list[Any]) -> None:
    """Sends what the document allows for one route, and checks what comes back."""

    @hypothesis.given(case=operation.as_strategy())
    @hypothesis.settings(
        max_examples=60,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def asked(case: Any) -> None:
        case.call_and_validate(checks=checks)

    asked()


@pytest.mark.full
# schemathesis and what it stands on use names that are being replaced.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_openapi_document_is_kept(server: Server) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
    ]
    # It cannot read the schema of a pair, which the card has; that the card is whole, another test says.
    matches = schemathesis.specs.openapi.checks.response_schema_conformance
    for found in schema.get_all_operations():
        operation = found.ok()
        these = checks if operation.path == "/v1/model" else [*checks, matches]
        keeps(operation, these)
