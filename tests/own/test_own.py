"""Networks of users: whatever they are, they are trained, judged, read back, explained and exported as ours are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import conviction
from conviction.errors import RequestError, RunError
from tests.conftest import Cli
from tests.own.networks import KINDS, Scale, chain, compiled, custom_layer, graph, keras, layers, uncompiled

DIGITS = load_digits()
IMAGES = DIGITS.images / 16  # (n, 8, 8) from 0 to 1
SOURCE = (IMAGES, DIGITS.target)
TWO = (IMAGES, (DIGITS.target >= 5).astype(int), ["low", "high"])
EPOCH = {"training.epochs": 1, "data.image_size": 8}


def probabilities_of(model: Any, images: np.ndarray) -> np.ndarray:
    """What the user would compute: pictures from 0 to 1, and a softmax where there are logits."""
    given = np.asarray(keras.ops.convert_to_numpy(model(images[..., np.newaxis].astype(np.float32))))
    if not np.allclose(given.sum(axis=1), 1, atol=1e-3):
        given = np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(given)))
    return given


@pytest.fixture(scope="module", params=KINDS)
def trained_own(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, conviction.Run]:
    model = KINDS[request.param]()
    out = tmp_path_factory.mktemp("own") / "run"
    return model, conviction.fit(SOURCE, {**EPOCH, "training.epochs": 2}, model=model, out=out, show=None)


def test_what_is_read_back_answers_as_the_model_does(trained_own: tuple[Any, conviction.Run]) -> None:
    model, run = trained_own
    images = IMAGES[:50]
    answers = conviction.load_run(run.path).predict(images)
    np.testing.assert_allclose(answers.probabilities, probabilities_of(model, images), atol=1e-2)
    assert answers.labels == [run.class_names[i] for i in answers.probabilities.argmax(axis=1)]


def test_it_is_judged_as_any_other(trained_own: tuple[Any, conviction.Run]) -> None:
    _, run = trained_own
    assert run.status == "done"
    assert run.history.index.tolist() == [1, 2]
    test = run.predictions[run.predictions["part"] == "test"]
    assert run.evaluation.accuracy == pytest.approx(test["right"].mean())
    assert (run.path / "report.html").read_text().count("own: optimizer Adam at 0.001") == 1
    assert run.config.model.own is not None
    assert "Sequential" not in repr(run.explain(IMAGES[0]))


def test_it_is_evaluated_and_reported_again(trained_own: tuple[Any, conviction.Run]) -> None:
    _, run = trained_own
    before = run.evaluation.accuracy
    assert run.report(show=None).exists()
    run.evaluate(show=None)
    assert run.evaluation.accuracy == before


@pytest.mark.full
def test_it_is_exported_with_the_same_answers(trained_own: tuple[Any, conviction.Run], cli: Cli) -> None:
    _, run = trained_own
    (made,) = run.export("onnx", show=None)
    assert made.parity is not None
    assert made.parity.greatest < 1e-4
    # Without Keras, and without the user's code.
    answers = conviction.load(made.path).predict(IMAGES[:20])
    assert answers.labels == run.predict(IMAGES[:20]).labels


def test_it_is_compared_with_a_network_of_ours(tmp_path: Path) -> None:
    mine = conviction.fit(SOURCE, EPOCH, model=chain, out=tmp_path / "mine", show=None)
    ours = conviction.fit(SOURCE, {**EPOCH, "model.filters": [4]}, out=tmp_path / "ours", show=None)
    compared = conviction.compare(ours, mine)
    assert compared.n == 359
    assert any("conv" in change for change in compared.networks[0])


def test_a_function_builds_for_the_images(tmp_path: Path) -> None:
    run = conviction.fit(TWO, {**EPOCH, "data.image_size": 12}, model=chain, out=tmp_path / "run", show=None)
    assert run.rule.shape == (12, 12, 1)
    assert run.predict(IMAGES[:3]).probabilities.shape == (3, 2)
    assert run.set_threshold("auto") is not None


def test_one_output_for_two_classes(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    )
    run = conviction.fit(
        TWO, EPOCH, model=compiled(model, "binary_crossentropy"), out=tmp_path / "run", show=None
    )
    expected = np.asarray(keras.ops.convert_to_numpy(model(IMAGES[:5][..., np.newaxis])))[:, 0]
    np.testing.assert_allclose(run.predict(IMAGES[:5]).probabilities[:, 1], expected, atol=1e-2)


def test_its_size_and_colours_decide_those_of_the_images(tmp_path: Path) -> None:
    run = conviction.fit(
        SOURCE, {"training.epochs": 1}, model=chain((16, 12, 3)), out=tmp_path / "run", show=None
    )
    assert run.rule.shape == (16, 12, 3)


def test_its_range_is_that_of_the_network(tmp_path: Path) -> None:
    model = chain()
    run = conviction.fit(
        SOURCE,
        EPOCH,
        model=model,
        input_range=(-1.0, 1.0),
        out=tmp_path / "run",
        show=None,
    )
    values = (IMAGES[:5] * 2 - 1)[..., np.newaxis].astype(np.float32)
    expected = np.asarray(keras.ops.convert_to_numpy(model(values)))
    np.testing.assert_allclose(run.predict(IMAGES[:5]).probabilities, expected, atol=1e-2)


def test_a_callback_may_end_training(tmp_path: Path) -> None:
    class End(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    run = conviction.fit(
        SOURCE,
        {**EPOCH, "training.epochs": 9},
        model=chain(),
        callbacks=[End()],
        out=tmp_path / "run",
        show=None,
    )
    assert len(run.history) == 2


def lambda_layer() -> Any:
    return compiled(
        keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Lambda(lambda x: x / 2), layers.Flatten(), layers.Dense(10)]
        ),
        "mse",
    )


def unregistered() -> Any:
    class Hidden(layers.Layer):  # type: ignore[misc]
        def call(self, values: Any) -> Any:
            return values * 2

    return compiled(
        keras.Sequential([keras.Input((8, 8, 1)), Hidden(), layers.Flatten(), layers.Dense(10)]), "mse"
    )


def without_config() -> Any:
    @keras.saving.register_keras_serializable(package="tests", name="Forgetful")
    class Forgetful(Scale):
        def get_config(self) -> dict[str, Any]:
            return layers.Layer.get_config(self)  # type: ignore[no-any-return]

        def call(self, values: Any) -> Any:
            return values * self.start

    return compiled(
        keras.Sequential([keras.Input((8, 8, 1)), Forgetful(3.0), layers.Flatten(), layers.Dense(10)]), "mse"
    )


def no_accuracy() -> Any:
    model = uncompiled()
    model.compile("adam", "categorical_crossentropy")
    return model


def impossible(right: Any, given: Any) -> Any:
    return keras.ops.matmul(right, given)


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no model": ("network.keras", {}, "expected a keras.Model, or a function of"),
    "other classes": (lambda *_: chain(classes=7), {}, "expected 10 numbers for each picture"),
    "other size": (chain(), {"data.image_size": 12}, "it takes pictures of 8x8x1"),
    "a lambda": (lambda_layer, {}, "a Lambda layer holds code"),
    "not registered": (lambda *_: unregistered(), {}, "its class Hidden is not registered"),
    "forgets its arguments": (lambda *_: without_config(), {}, "gives other answers"),
    "no accuracy": (lambda *_: no_accuracy(), {}, "Compile it with metrics=['accuracy']"),
    "a loss that does not fit": (
        lambda *_: compiled(chain(), impossible),
        {},
        "its loss impossible cannot be computed",
    ),
    "layers by keys": (chain(), {"model.filters": [4]}, "model.filters: has no effect"),
    "an optimizer by key": (chain(), {"training.optimizer": "sgd"}, "training.optimizer: has no effect"),
    "augmentation": (chain(), {"augmentation.flip": "horizontal"}, "augmentation.flip: has no effect"),
    "folds": (chain(), {"evaluation.folds": 5}, "evaluation.folds: has no effect"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    model, keys, words = REFUSED[name]
    model = (lambda *_: lambda_layer()) if model is lambda_layer else model
    with pytest.raises(RequestError) as failure:
        conviction.fit(SOURCE, {**EPOCH, **keys}, model=model, out=tmp_path / "run", show=None)
    assert words in str(failure.value)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_what_only_its_user_can_do_is_refused_with_the_reason(tmp_path: Path, cli: Cli) -> None:
    run = conviction.fit(SOURCE, EPOCH, model=custom_layer(), out=tmp_path / "run", show=None)
    with pytest.raises(RequestError, match="cannot be resumed, because its optimizer and callbacks"):
        run.resume({"training.epochs": 2}, show=None)
    with pytest.raises(RequestError, match="that of your own network is yours"):
        run.export("script", show=None)
    with pytest.raises(RequestError, match="keras would need the code of tests>Scale"):
        run.export("keras", show=None)
    with pytest.raises(RequestError, match="which keys do not build again"):
        conviction.fit(SOURCE, run.config, show=None)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "one.png")
    elsewhere = cli("predict", "run", "one.png", afresh=True)
    assert elsewhere.code == 2
    assert "which this process does not know" in elsewhere.err


def test_one_s_own_training_is_judged(tmp_path: Path) -> None:
    data = conviction.split(TWO, {"training.seed": 3, "data.image_size": 8}, show=None)
    assert repr(data).startswith("DataSplit(")
    assert "sealed" in data._repr_html_()
    x, y = data.arrays("train")
    assert (x.dtype, y.dtype, x.min() >= 0, x.max() <= 1) == (np.float32, np.int64, True, True)
    with pytest.raises(RequestError, match="the test images are sealed"):
        data.arrays("test")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="expected train or validation; got 'exam'"):
        data.batches("exam")  # type: ignore[arg-type]
    model = keras.Sequential(
        [keras.Input(data.shape), layers.Flatten(), layers.Dense(2, activation="softmax")]
    )
    compiled(model, "sparse_categorical_crossentropy")
    history = model.fit(
        data.batches("train"), validation_data=data.batches("validation"), epochs=3, verbose=0, shuffle=False
    )
    run = conviction.assess(model, data, history=history, out=tmp_path / "run", show=None)
    assert run.history["val_loss"].tolist() == pytest.approx(history.history["val_loss"])
    own = conviction.fit(TWO, {**EPOCH, "training.seed": 3}, model=chain, out=tmp_path / "own", show=None)
    assert own.split == run.split
    alone = conviction.assess(model, data, out=tmp_path / "alone", show=None)
    assert len(alone.history) == 1
    assert alone.evaluation.accuracy == run.evaluation.accuracy
    assert "is only judged here" in (run.path / "report.html").read_text()


@pytest.mark.parametrize("history", [{"loss": [1.0]}, "history", {"loss": [1.0], "val_loss": [1.0]}])
def test_a_history_without_accuracy_is_refused(history: Any, tmp_path: Path) -> None:
    data = conviction.split(SOURCE, show=None)
    model = keras.Sequential([keras.Input(data.shape), layers.Flatten(), layers.Dense(10)])
    with pytest.raises(RequestError, match=r"history: expected what model\.fit returns"):
        conviction.assess(model, data, history=history, out=tmp_path / "run", show=None)


def test_the_same_seed_gives_the_same_curve(tmp_path: Path) -> None:
    def build(shape: tuple[int, int, int], classes: int) -> Any:
        keras.utils.set_random_seed(1)
        return chain(shape, classes)

    runs = [conviction.fit(SOURCE, EPOCH, model=build, out=tmp_path / str(i), show=None) for i in range(2)]
    np.testing.assert_allclose(runs[0].history, runs[1].history, rtol=1e-5)


def test_grad_cam_of_a_graph_is_that_of_its_definition() -> None:
    """Against gradients that TensorFlow's tape takes of the whole model."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the reference is TensorFlow's tape")
    from conviction.explanation import grad_cam
    from conviction.model.own import deployable

    model = graph()
    whole = deployable(model, (8, 8, 1), (0.0, 1.0))
    pixels = np.rint(IMAGES[3] * 255).astype(np.uint8)[..., np.newaxis]
    names = [layer.name for layer in model.layers if type(layer).__name__ in ("Conv2D", "Add")]
    for name in names:
        inner = next(known for known in whole.layers if known.name == model.name)
        cam = grad_cam(whole, pixels, 4, _name_in(whole, model, name))
        target, dense = model.get_layer(name), model.layers[-1]
        parts = keras.Model(model.inputs[0], [target.output, dense.input])
        with tf.GradientTape() as tape:
            maps, last = parts((pixels / 255.0)[np.newaxis].astype(np.float32))
            score = (last @ dense.kernel + dense.bias)[0, 4]
        gradient = tape.gradient(score, maps).numpy()[0]
        expected = np.maximum(maps.numpy()[0] @ gradient.mean(axis=(0, 1)), 0)
        expected = expected / expected.max() if expected.max() > 0 else expected
        np.testing.assert_allclose(cam.coarse, expected, atol=1e-4)
        assert inner is not None


def _name_in(whole: Any, model: Any, name: str) -> str:
    from conviction.explanation.inside import named_layers

    layer = model.get_layer(name)
    return next(known for known, one in named_layers(whole).items() if one.layer is layer and "/" in known)


def test_a_run_that_is_not_finished_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        conviction.load_run(tmp_path)
