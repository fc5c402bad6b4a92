"""The explanation of one picture: its sentences, its pictures, its page, its command."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

import conviction
from conviction.artefacts import explain
from conviction.data.decode import decode
from conviction.errors import RequestError
from conviction.explanation import (
    Convolution,
    explain_picture,
    explain_value,
    overlay,
    region_shares,
)
from conviction.reporting.explanation import explanation_steps
from conviction.reporting.maps import kernel_maps, layer_maps, signed
from conviction.reporting.page import render_explanation
from tests.conftest import Cli
from tests.explanation import networks
from tests.explanation.test_value import EVERYTHING, SHAPE
from tests.reporting import test_page

FLAT = networks.spec({"type": "Flatten"}, {"type": "Dense", "units": 4})


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_quarters_come_to_one_and_an_even_map_has_a_quarter_everywhere(h: int, w: int, seed: int) -> None:
    even = region_shares(np.full((h, w), 0.3, np.float32))
    assert even == pytest.approx(dict.fromkeys(even, 0.25), rel=1e-6)
    shares = region_shares(np.random.default_rng(seed).random((h, w)))
    centre = shares.pop("centre")
    assert sum(shares.values()) == pytest.approx(1.0)
    assert 0.0 <= centre <= 1.0


def test_shares_are_of_the_region_that_they_name() -> None:
    heat = np.zeros((8, 8))
    heat[0, 7] = 3.0
    heat[4, 3] = 1.0
    assert region_shares(heat) == {
        "upper left": 0.0,
        "upper right": 0.75,
        "lower left": 0.25,
        "lower right": 0.0,
        "centre": 0.25,
    }
    assert set(region_shares(np.zeros((3, 3))).values()) == {0.0}


@pytest.mark.parametrize(("layers", "classes"), [(EVERYTHING, 2), (EVERYTHING, 4), (FLAT, 3)])
def test_every_network_has_an_explanation_and_a_page(layers: Any, classes: int) -> None:
    shape = (9, 8, 3) if classes == 4 else (9, 8, 1)
    model = networks.network(layers, shape, classes)
    names = ["<b>", "two", "three", "four"][:classes]
    pixels = networks.picture(shape)
    for class_name in names:
        found = explain_picture(model, pixels, names, class_name=class_name, layer="output", position=(0,))
        assert found.class_names[found.class_index] == class_name
        assert found.probabilities.sum() == pytest.approx(1.0)
        steps = explanation_steps(found, "a <picture>.png")
        page = render_explanation(found, steps, "run", "a <picture>.png")
        assert "a &lt;picture&gt;.png" in page
        assert "<b>" not in page
        assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)[^\"']*", page)
        assert json.loads(json.dumps(found.to_json(), allow_nan=False))["class"] == class_name
        said = " ".join(sentence for step in steps for sentence in step.sentences)
        if layers is FLAT:
            assert "no convolution" in said
            assert [row[0] for row in steps[1].table.rows] == ["gradient of the input"]
        else:
            # The last convolution, and what the vector layers see.
            assert [cam.layer for cam in found.grad_cams] == ["conv_2", "dropout_1"]


def test_wrong_requests_say_what_there_is() -> None:
    model = networks.network(EVERYTHING, SHAPE, 3)
    pixels, names = networks.picture(SHAPE), ["cat", "dog", "owl"]
    for wrong, message in (
        ({"class_name": "dgo"}, "Did you mean 'dog'"),
        ({"position": (1, 2, 3)}, "needs the name of a layer.*conv_2"),
        ({"layer": "dense_1"}, "unit 0 to 4; got nothing"),
    ):
        with pytest.raises(RequestError, match=message):
            explain_picture(model, pixels, names, **wrong)


def test_pictures_of_maps_are_true_to_their_numbers() -> None:
    drawn = signed(np.array([[-1.0, 0.0, 0.5, 1.0]]), 1.0)
    assert drawn.tolist() == [[[180, 84, 26], [255, 255, 255], [143, 175, 212], [31, 95, 168]]]
    model = networks.network(EVERYTHING, SHAPE, 3)
    found = explain_picture(model, networks.picture(SHAPE), ["a", "b", "c"])
    for layer, shown in zip(found.layers, map(layer_maps, found.layers), strict=True):
        assert len(shown.maps) == (layer.output.shape[2] if layer.output.ndim == 3 else 1)
    many = layer_maps(type(found.layers[0])("x", "Conv2D", np.zeros((2, 2, 40), np.float32)))
    assert len(many.maps) == 16
    assert many.note.startswith("The first 16 of 40 channels.")
    assert found.kernels is not None
    assert kernel_maps(found.kernels)[0].shape == (3, 2, 3)
    picture = networks.picture((20, 30, 3))
    heat = np.zeros((20, 30), np.float32)
    heat[:, :10] = 1.0
    shown = overlay(picture, heat).astype(int)
    assert shown.shape == (160, 240, 3)
    assert (shown[:, :64, 0] > shown[:, :64, 2] + 50).all()  # orange where the map is
    assert (shown[:, 120:, 0] == shown[:, 120:, 2]).all()  # gray elsewhere


@pytest.mark.parametrize("layers", [EVERYTHING, FLAT])
def test_a_notebook_shows_the_picture_and_the_evidence_over_it(layers: Any) -> None:
    shape = (9, 8, 3)
    model = networks.network(layers, shape, 4)
    explanation = explain_picture(model, networks.picture(shape), ["a", "<b>", "c", "d"])
    html = explanation._repr_html_()
    assert f"{explanation.likeliest[0][1]:.1%}" in html
    assert "<b>," not in html
    files = [base64.b64decode(text) for text in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]
    shown = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    assert len(shown) == 1 + len(explanation.grad_cams)
    factor = shown[0].shape[0] // shape[0]
    np.testing.assert_array_equal(
        shown[0][::factor, ::factor], np.broadcast_to(explanation.pixels, (*shape[:2], 3))
    )
    for pixels, cam in zip(shown[1:], explanation.grad_cams, strict=True):
        np.testing.assert_array_equal(pixels, overlay(explanation.pixels, cam.fine))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    pixels = np.rint(load_digits().images[3] * 255 / 16).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    return tmp_path / "scan.png"


def test_the_command_says_what_the_library_says(cli: Cli, trained: Path, scan: Path) -> None:
    result = cli("explain", trained, scan, "--layer", "conv_2", "--at", "3,4,5", "--json")
    assert result.code == 0, result.err
    run = conviction.load_run(trained)
    assert result.json["label"] == "3"
    value = result.json["value"]
    assert value["agrees"] is True
    assert [cam["layer"] for cam in result.json["grad_cam"]] == ["conv_2", "activation_2"]
    own = explain_value(run.model, decode(scan.read_bytes(), run.rule), "conv_2", (3, 4, 5))
    assert isinstance(own, Convolution)
    assert np.allclose(value["inputs"], own.inputs, atol=1e-6)
    assert value["window"] == {"top": 3, "left": 4, "height": 3, "width": 3}
    shown = cli(
        "explain", trained, scan, "--layer", "output", "--at", "3", "--class", "8", "--html", "why.html"
    )
    assert shown.code == 0
    assert shown.err == ""
    for part in ("Grad-CAM at conv_2", "For class 8", "the same, within rounding", "e^(logit - largest)"):
        assert part in shown.out
    assert "Softmax" in (scan.parent / "why.html").read_text()


def test_the_command_refuses_what_is_wrong_in_one_line(cli: Cli, trained: Path, scan: Path) -> None:
    scan.with_name("text.png").write_text("no picture")
    for arguments, message in (
        (["text.png"], "cannot be read as a picture"),
        (["scan.png", "--at", "1,x"], "--at: expected ROW,COLUMN,CHANNEL or UNIT"),
        (["scan.png", "--html", "nowhere/page.html"], "in a folder that exists"),
    ):
        result = cli("explain", trained, *arguments)
        assert result.code == 2, arguments
        assert message in result.err
        assert len(result.err.splitlines()) == 1
        assert result.out == ""
    run = conviction.load_run(trained)
    with pytest.raises(RequestError, match="there is no such file"):
        explain(run, scan.with_name("none.png"))
    with pytest.raises(RequestError, match="cannot be read"):
        explain(run, scan.parent)
    with pytest.raises(RequestError, match="row 0 to 12, column 0 to 12, channel 0 to 63; got nothing"):
        explain(run, scan, layer="conv_2")


@pytest.fixture(scope="module")
def page(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = conviction.load_run(trained)
    pixels = np.kron(np.rint(load_digits().images[3] * 255 / 16).astype(np.uint8), np.ones((4, 4), np.uint8))
    found = explain_picture(
        run.model, pixels[..., np.newaxis], run.class_names, layer="conv_2", position=(3, 4, 5)
    )
    name = "a-very-long-name-" * 10 + ".png"
    file = tmp_path_factory.mktemp("page") / "why.html"
    file.write_text(render_explanation(found, explanation_steps(found, name), str(trained), name))
    return file


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_real_browser_shows_why(browser: Any, page: Path, width: int, scheme: str) -> None:
    with test_page.opened(browser, page, width, scheme) as shown:
        assert shown.locator("h1").inner_text().split()[0] == "3"
        assert shown.locator(".exhibits img").count() == 4  # the picture, two maps, the gradient
        assert shown.locator("section", has_text="conv_2 at row 3").locator("table tbody tr").count() == 12
        # conv_1 has 16 channels, conv_2 64, of which 16 are shown and that is said.
        text = shown.locator("main").inner_text()
        assert text.count("The first 16 of 64 channels.") == 4
        assert shown.locator("img[alt='conv_2, channel 15']").count() == 1
        assert shown.locator("img[alt='conv_2, channel 16']").count() == 0
        assert page.stat().st_size < 1_000_000
