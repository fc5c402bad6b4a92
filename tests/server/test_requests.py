"""Requests and what is answered: predictions, maps, problems, limits of content."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import conviction
from conviction.server.occlusion import Patches
from tests.server.conftest import SIDE, Made, Serve, Server, assert_problem, encoded, noise, upload


def png_that_declares(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_predictions_are_those_of_the_library(client: httpx.Client, made: Made) -> None:
    artefact = conviction.load(made.onnx)
    pixels = [noise(i) for i in range(20)]
    assert artefact.rule.shape == (SIDE, SIDE, 1)
    expected = artefact.predict_pixels(np.stack(pixels)[..., None])
    contents = [encoded(p) for p in pixels]
    said = client.post("/v1/predict", files=upload(*contents)).json()
    coded = [base64.b64encode(c).decode() for c in contents]
    also = client.post("/v1/predict", json={"images": coded}).json()
    assert said["model"] == artefact.card.name
    for i, prediction in enumerate(said["predictions"]):
        assert prediction["file"] == f"{i}.png"
        assert prediction["label"] == expected.labels[i]
        row = [prediction["probabilities"][name] for name in artefact.class_names]
        assert row == pytest.approx(expected.probabilities[i], abs=1e-6)
        assert prediction["probability"] == max(row)
        assert also["predictions"][i] == {**prediction, "file": f"images[{i}]"}


def test_pictures_of_every_kind_are_decoded_by_the_rule(client: httpx.Client, made: Made) -> None:
    from conviction.data.decode import decode

    artefact = conviction.load(made.onnx)
    big = noise(1, (300, 200, 3))
    contents = [encoded(big, kind) for kind in ("PNG", "JPEG", "BMP", "WEBP", "TIFF")]
    said = client.post("/v1/predict", files=upload(*contents)).json()["predictions"]
    expected = artefact.predict_pixels(np.stack([decode(c, artefact.rule) for c in contents]))
    for prediction, row in zip(said, expected.probabilities, strict=True):
        assert list(prediction["probabilities"].values()) == pytest.approx(row, abs=1e-6)


def test_an_unreadable_picture_spoils_no_others(client: httpx.Client) -> None:
    response = client.post("/v1/predict", files=upload(b"no picture", encoded(noise(0)), b""))
    assert response.status_code == 200
    first, second, third = response.json()["predictions"]
    assert "not a JPEG" in first["error"]["detail"]
    assert set(first) == {"file", "error"}
    assert "label" in second
    assert third["error"]["detail"] == "the file is empty"
    assert_problem(client.post("/v1/predict", files=upload(b"no", b"no")), 422, "None of the 2 pictures")


def test_a_map_is_the_drop_under_each_patch(client: httpx.Client, made: Made) -> None:
    artefact = conviction.load(made.onnx)
    pixels = noise(3)
    said = client.post("/v1/occlusion", files=upload(encoded(pixels))).json()
    whole = artefact.predict_pixels(pixels[None, ..., None])
    best = int(whole.probabilities[0].argmax())
    assert said["label"] == whole.labels[0]
    assert said["cell"] == [3, 3]
    drops = np.array(said["drops"])
    assert drops.shape == (11, 11)
    covered = pixels.copy()
    covered[5:10, 14:19] = 128  # the cell of row 2 and column 5, and half a cell around it
    after = artefact.predict_pixels(covered[None, ..., None]).probabilities[0, best]
    assert drops[2, 5] == pytest.approx(whole.probabilities[0, best] - after, abs=1e-6)
    assert_problem(client.post("/v1/occlusion", files=upload(b"no")), 422, "not a JPEG")
    two = upload(encoded(pixels), encoded(pixels))
    assert_problem(client.post("/v1/occlusion", files=two), 413, "one picture at a time")


def test_patches_cover_a_picture_of_any_size() -> None:
    for height, width in ((1, 1), (8, 8), (28, 28), (30, 97), (224, 224)):
        patches = Patches.over(height, width)
        many = patches.occluded(np.zeros((height, width, 3), np.uint8))
        assert many.shape == (patches.rows * patches.columns, height, width, 3)
        assert max(patches.rows, patches.columns) <= 14
        assert (many == 128).any(axis=0).all()
        assert all((one == 128).any() for one in many)


def test_the_card_and_the_state(client: httpx.Client, made: Made) -> None:
    assert client.get("/v1/model").json() == conviction.load(made.onnx).card.model_dump(mode="json")
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/docs").status_code == 200
    assert "/v1/predict" in client.get("/openapi.json").json()["paths"]


def test_figures_for_prometheus(client: httpx.Client) -> None:
    client.post("/v1/predict", files=upload(encoded(noise(0)), encoded(noise(1))))
    client.get("/some/path/that/is/nowhere")
    text = client.get("/metrics").text
    assert 'conviction_requests_total{route="/v1/predict",status="200"}' in text
    assert 'conviction_requests_total{route="other",status="404"}' in text
    assert 'conviction_request_seconds_bucket{le="0.1",route="/v1/predict"}' in text
    assert 'conviction_batch_images_bucket{le="2.0"}' in text
    assert "conviction_queue_images 0.0" in text
    assert "nowhere" not in text, "a path that somebody invents makes no new series"


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "part"),
    [
        ("GET", "/nothing", {}, 404, "/nothing"),
        ("GET", "/v1/predict", {}, 405, "GET"),
        ("DELETE", "/v1/model", {}, 405, "DELETE"),
        ("POST", "/v1/predict", {}, 415, "no content type"),
        ("POST", "/v1/predict", {"data": {"x": "y"}}, 415, "x-www-form-urlencoded"),
        ("POST", "/v1/predict", {"files": {"file": b"x"}}, 422, "'files'; got 'file'"),
        ("POST", "/v1/predict", {"json": {"images": []}}, 422, "no picture"),
        ("POST", "/v1/predict", {"json": {"images": [1]}}, 422, "images.0"),
        ("POST", "/v1/predict", {"json": {"images": ["!"]}}, 422, "base64"),
        ("POST", "/v1/predict", {"json": {"image": ["!"]}}, 422, "images"),
        ("POST", "/v1/predict", {"json": ["x"]}, 422, "the whole"),
        ("POST", "/v1/predict", {"json": {"images": [""] * 65}}, 413, "64 pictures"),
        ("POST", "/v1/predict", {"files": [("files", b"x")] * 65}, 413, "64 pictures"),
        ("POST", "/v1/predict", {"files": [("other", b"x")] * 65}, 413, "64 pictures"),
    ],
)
def test_problems(
    client: httpx.Client,
    *,
    method: str,
    path: str,
    how: dict[str, Any],
    status: int,
    part: str,
) -> None:
    assert_problem(client.request(method, path, **how), status, part)


JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx'


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b"{"),
        (JSON, b"\xff\xfe"),
        (JSON, b"[" * 1_000_000),
        (JSON, b'{"images":' * 100_000),
        (JSON, b'{"images": [' + b"9" * 100_000 + b"]}"),
        (FORM, b""),
        (FORM, b"no boundary at all"),
        (FORM, PART),
        (FORM, PART + b"\r\n--b"),
        (FORM, b"--b\r\n" + b"X-Header: y\r\n" * 1000 + b"\r\nx\r\n--b--\r\n"),
        (FORM, b"--b\r\nContent-Disposition: form-data; name=" + b"n" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n"),
        ({"content-type": "multipart/form-data"}, PART + b"\r\n--b--\r\n"),
        ({"content-type": f"multipart/form-data; boundary={'b' * 10_000}"}, PART),
    ],
)
def test_a_broken_body_is_a_problem(client: httpx.Client, headers: dict[str, str], body: bytes) -> None:
    response = client.post("/v1/predict", content=body, headers=headers)
    assert response.status_code in (400, 422)
    assert_problem(response, response.status_code)


def test_a_content_encoding_is_refused(client: httpx.Client) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    assert_problem(client.post("/v1/predict", content=b"x", headers=headers), 415, "encoding")


def test_pixels_are_counted_before_they_are_decoded(client: httpx.Client) -> None:
    files = upload(png_that_declares(10_000, 10_000))
    assert_problem(client.post("/v1/predict", files=files), 422, "10000x10000", "50,000,000")
    files = upload(png_that_declares(2**31 - 1, 2**31 - 1))
    assert_problem(client.post("/v1/predict", files=files), 422, "pixels")


def test_a_body_is_counted_while_it_arrives(serve: Serve) -> None:
    with serve(limits={"body_bytes": 100_000}) as server, server.client() as client:
        good = encoded(noise(0, (200, 200)))
        assert len(good) < 100_000
        assert client.post("/v1/predict", files=upload(good)).status_code == 200
        large = bytes(2_000_000)
        declared = client.post("/v1/predict", content=large, headers=JSON)
        assert_problem(declared, 413, "100,000 bytes")

        def chunks() -> Any:
            yield from (large[:10_000] for _ in range(200))

        undeclared = client.post("/v1/predict", content=chunks(), headers=JSON)
        assert "content-length" not in undeclared.request.headers
        assert_problem(undeclared, 413, "100,000 bytes")
        assert client.post("/v1/predict", files=upload(good)).status_code == 200


def test_a_fault_of_ours_is_a_problem_and_in_the_log(serve: Serve) -> None:
    with serve(broken=True) as server, server.client() as client:
        response = client.post("/v1/predict", files=upload(encoded(noise(0))))
        said = assert_problem(response, 500, "log")
        assert "planted" not in json.dumps(said)
        assert client.get("/healthz").status_code == 200
        (line,) = [line for line in server.log if line["status"] == 500]
        assert "planted" in line["failure"]
        assert line["id"] == response.headers["x-request-id"]


def test_an_answer_that_takes_too_long_is_a_problem(serve: Serve) -> None:
    with serve(seconds=1.0, limits={"request_seconds": 0.2}) as server, server.client() as client:
        response = client.post("/v1/predict", files=upload(encoded(noise(0))))
        assert_problem(response, 503, "0.2 s")
        assert response.headers["retry-after"]


def test_the_log_has_a_line_a_request_and_no_content(serve: Serve, made: Made) -> None:
    key = "a-key-of-the-tests"
    with serve(env={"CONVICTION_API_KEY": key}) as server, server.client() as client:
        headers = {"x-api-key": key, "x-request-id": "mine-1"}
        files = {"files": ("secret-name.png", encoded(noise(0)))}
        client.post("/v1/predict", files=files, headers=headers)
        client.get("/healthz", headers={"x-request-id": "not\tplain"})
        client.post("/v1/predict", files=files, headers={"x-api-key": "wrong-key"})
        assert server.stop() == 0
        first, second, third = server.log
        assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/predict", 200)
        assert first["images"] == 1
        assert first["bytes"] > 64
        assert first["ms"] > 0
        assert first["id"] == "mine-1"
        assert second["id"] != "not\tplain"
        assert third["status"] == 401
        text = server.log_file.read_text()
        assert not any(word in text for word in (key, "wrong-key", "secret-name"))


def test_keys(serve: Serve) -> None:
    key = "a-key-of-the-tests"
    with serve(env={"CONVICTION_API_KEY": key}) as server, server.client() as client:
        for path in ("/healthz", "/readyz", "/", "/static/app.js", "/static/app.css"):
            assert client.get(path).status_code == 200, path
        for path in ("/v1/model", "/metrics", "/docs", "/openapi.json", "/nothing"):
            assert_problem(client.get(path), 401, "Bearer")
        refused = client.post("/v1/predict", files=upload(encoded(noise(0))))
        assert refused.headers["www-authenticate"] == "Bearer"
        for headers in (
            {"authorization": f"Bearer {key}"},
            {"authorization": f"bearer {key}"},
            {"x-api-key": key},
        ):
            assert client.get("/v1/model", headers=headers).status_code == 200
        for headers in (
            {"authorization": key},
            {"authorization": "Bearer x"},
            {"x-api-key": key[:-1]},
            {"x-api-key": f"{key}x"},
            {"x-api-key": "é".encode()},
        ):
            assert_problem(client.get("/v1/model", headers=headers), 401)


def test_only_this_hosts_names_are_answered(server: Server, client: httpx.Client) -> None:
    for host in (f"localhost:{server.port}", "LOCALHOST", "127.0.0.1", "[::1]:80"):
        assert client.get("/healthz", headers={"host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8000", ""):
        assert_problem(client.get("/", headers={"host": host}), 421, "localhost")


def test_no_other_site_may_read_the_answers(client: httpx.Client) -> None:
    response = client.get("/v1/model", headers={"origin": "https://evil.example"})
    assert not [name for name in response.headers if name.startswith("access-control")]
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "<script>" not in page.text
    assert "style=" not in page.text
    assert " on" not in "".join(part for part in page.text.split("<") if "=" in part and " on" in part[:20])


def test_what_the_page_refers_to_is_here(client: httpx.Client) -> None:
    import re

    for path in ("/", "/docs"):
        page = client.get(path).text
        for address in re.findall(r"(?:src|href)=\"([^\"]+)\"", page):
            assert address == "data:," or client.get(address).status_code == 200, address


def test_files_of_the_repository_are_not_served(client: httpx.Client, made: Made) -> None:
    for path in ("/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/page.html"):
        assert_problem(client.get(path), 404)
    assert isinstance(made.run, Path)
