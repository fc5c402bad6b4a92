"""Several devices: the same losses as on one, and a clear word where it cannot be had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli, environment
from tests.patience import PATIENCE

# 4 virtual CPU devices; 53 training images, so that the last batch of 16 does not divide. Plain gradient steps, because
# Adam makes steps of full size out of gradients that are nothing but rounding.
PROGRAM = """
import json
import numpy as np
from conviction.config import TrainingSpec, load_recipe
from conviction.data import encode_labels
from conviction.model import build, compile_model
from conviction.reporting.terminal import Silent
from conviction.training import Devices, StopRequest, train
labels = np.arange(70) % 3
pixels = np.random.default_rng(1).integers(0, 100, (70, 10, 10, 1), dtype=np.uint8)
pixels[labels == 1, :5] += 100
network = load_recipe(["model.filters=[4]", "model.dense=[8]", "model.batch_norm=true", "model.dropout=0.2"]).model
out = {}
for devices in ("one", "all"):
    spec = TrainingSpec(epochs=3, batch_size=16, optimizer="sgd", learning_rate=0.1, devices=devices)
    with Devices(spec).scope():
        model = build(network, (10, 10, 1), 3, 0)
        compile_model(model, spec, 3, steps=12)
        model.optimizer.build(model.trainable_variables)
    done = train(
        model, pixels=pixels, targets=encode_labels(labels, 3), train_indices=np.arange(53),
        validation_indices=np.arange(53, 70), spec=spec, watcher=Silent(), stop=StopRequest(),
    )
    kernel = model.trainable_variables[0].value
    out[devices] = [[r.loss, r.accuracy, r.val_loss, r.val_accuracy] for r in done.history]
    out[devices + " devices"] = len(kernel.sharding.device_set)
print(json.dumps(out))
"""
# XLA has as many threads as simulated devices or cores, whichever is more. Three of four devices that wait for the
# fourth hold all but one, and where something else takes that one, they wait for ever: 4 of 44 runs ended so.
FOUR = {
    "KERAS_BACKEND": "jax",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    "NPROC": "16",
}


@pytest.mark.full
def test_four_devices_have_the_losses_of_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment(tmp_path, FOUR),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["one devices"], found["all devices"]) == (1, 4)
    for one, four in zip(found["one"], found["all"], strict=True):
        assert four == pytest.approx(one, rel=1e-5)


@pytest.mark.full
def test_the_command_trains_on_all_devices_and_keeps_an_ordinary_model(cli: Cli, tmp_path: Path) -> None:
    keys = ["recipe=fast", "training.epochs=2", "training.devices=all"]
    wrong = cli("fit", "digits", *keys, "training.batch_size=30", env=FOUR)
    assert wrong.code == 2
    assert "expected a multiple of the 4 devices. Try training.batch_size=32" in wrong.err
    assert cli("fit", "digits", *keys, "--out", "run", env=FOUR).code == 0
    # Read back on TensorFlow, on one device.
    assert cli("predict", "run", *_pictures(tmp_path)).code == 0


def _pictures(folder: Path) -> list[Path]:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    path = folder / "digit.png"
    Image.fromarray((load_digits().images[0] * 255 / 16).astype(np.uint8)).save(path)
    return [path]


def test_on_tensorflow_it_says_what_to_do(cli: Cli) -> None:
    result = cli("fit", "digits", "training.devices=all")
    assert result.code == 2
    assert "on JAX only, and the backend is tensorflow. Set KERAS_BACKEND=jax" in result.err
