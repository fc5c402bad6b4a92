"""The loop of an accelerator, on the CPU: the steps of Keras's own loop, and the same bits after an interruption."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conviction.cluster.training_worker import kept_port
from conviction.config import AugmentationSpec
from conviction.training.augment import augment, mixes_targets
from tests.conftest import ON_JAX, environment
from tests.patience import PATIENCE

# What a machine with a GPU would do, without one.
PROGRAM = """
import importlib, json, sys
import numpy as np
from conviction.config import AugmentationSpec, TrainingSpec, load_recipe
from conviction.data import encode_labels
from conviction.model import build, compile_model
from conviction.reporting.terminal import Silent
from conviction.training import Devices, StopRequest, train
loop = importlib.import_module("conviction.training.train")
labels = np.arange(70) % 3
pixels = np.random.default_rng(1).integers(0, 100, (70, 10, 10, 1), dtype=np.uint8)
pixels[labels == 1, :5] += 100
keys, training, augmentation = (json.loads(text) for text in sys.argv[1:4])
network = load_recipe(["model.filters=[4]", "model.dense=[8]", *keys]).model
def trained(on_device, start=None, keep=lambda state: None, calls=1, **changes):
    loop.can_be_on_device = lambda pixels, images: on_device
    plain = {"epochs": 3, "batch_size": 16, "optimizer": "sgd", "learning_rate": 0.1}
    spec = TrainingSpec(**{**plain, **training, **changes})
    with Devices(spec).scope():
        model = build(network, (10, 10, 1), 3, 0)
        compile_model(model, spec, 3, steps=12, steps_per_call=calls)
        model.optimizer.build(model.trainable_variables)
    done = train(
        model, pixels=pixels, targets=encode_labels(labels, 3), train_indices=np.arange(53),
        validation_indices=np.arange(53, 70), spec=spec, augmentation=AugmentationSpec(**augmentation),
        watcher=Silent(), stop=StopRequest(), start=start, keep=keep,
    )
    rows = [[r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.learning_rate] for r in done.history]
    return rows, [w.tolist() for w in model.get_weights()], done.kept_epoch
"""
BOTH = PROGRAM + "print(json.dumps([trained(False), trained(True)]))"
# Stopped after every second step, and continued from each of those states.
AGAIN = (
    PROGRAM
    + """
states = []
whole = trained(True, keep=states.append, checkpoint_steps=1)
print(json.dumps([whole, trained(True, calls=4), *(trained(True, start=state) for state in states[::2])]))
"""
)


def answers(
    folder: Path, program: str, training: dict[str, object], varied: dict[str, object], devices: int = 1
) -> list[list[object]]:
    done = subprocess.run(
        [sys.executable, "-c", program, *(json.dumps(part) for part in (NETWORK, training, varied))],
        env=environment(
            folder,
            {
                **ON_JAX,
                "CONVICTION_CACHE": str(folder / "cache"),
                "XLA_FLAGS": f"{ON_JAX['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
                "NPROC": "16",
            },
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


TOGETHER = """
import socket, sys
from conviction.cluster.training_worker import GroupMember, _join
agree = _join(GroupMember(int(sys.argv[4]), 2, sys.argv[5]))
""" + BOTH.replace("StopRequest()", "StopRequest(agree)")


NETWORK = ["model.batch_norm=true", "model.dropout=0.2"]
VARIED = {"flip": "alternate", "shift": 0.2, "cutout": 0.3}


@pytest.mark.full
@pytest.mark.parametrize(
    ("training", "varied", "devices"),
    [
        ({}, {}, 1),
        ({"devices": "all"}, VARIED, 4),
        (
            {"optimizer": "muon", "learning_rate": 0.01, "class_weights": "balanced", "schedule": "cosine"},
            VARIED,
            1,
        ),
        ({"ema": 0.9, "early_stopping": 1}, {"mixup": 0.3}, 1),
    ],
)
def test_it_makes_the_steps_of_keras_own_loop(
    tmp_path: Path, training: dict[str, object], varied: dict[str, object], devices: int
) -> None:
    kerases, ours = answers(tmp_path, BOTH, training, varied, devices)
    assert np.allclose(ours[0], kerases[0], rtol=2e-3, atol=1e-4)
    for a, b in zip(ours[1], kerases[1], strict=True):
        assert np.allclose(a, b, atol=5e-3)
    assert ours[2] == kerases[2]


@pytest.mark.full
def test_two_processes_that_train_together_make_the_same_steps(tmp_path: Path) -> None:
    """As the workers of a Ray cluster do: each keeps all images and gathers its part of a batch."""
    with kept_port() as port:
        address = f"127.0.0.1:{port.getsockname()[1]}"
        training = {"devices": "all"}
        arguments = [json.dumps(part) for part in (NETWORK, training, VARIED)]
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", TOGETHER, *arguments, str(rank), address],
                env=environment(tmp_path / str(rank), ON_JAX),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        outputs = [worker.communicate(timeout=PATIENCE) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
    assert first == second
    kerases, ours = first
    assert np.allclose(ours[0], kerases[0], rtol=2e-3, atol=1e-4)
    for a, b in zip(ours[1], kerases[1], strict=True):
        assert np.allclose(a, b, atol=5e-3)


@pytest.mark.full
def test_however_it_is_cut_into_calls_and_interrupted_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, *others = answers(tmp_path, AGAIN, {"optimizer": "adamw", "ema": 0.9}, VARIED)
    assert len(others) >= 6
    for other in others:
        assert other == whole
    assert list((tmp_path / "cache" / "compiled").iterdir()), "what was compiled is not kept"


SPECS = [
    {"flip": "both"},
    {"flip": "alternate"},
    {"shift": 0.3},
    {"cutout": 0.5},
    {"mixup": 0.4},
    {"brightness": 0.3, "contrast": 0.4},
    {"rotate": 40.0, "zoom": 0.3, "shift": 0.2},
]


SHAPES = [(6, 9, 12, 3), (5, 8, 8, 1)]
# In a process of its own: where JAX has computed, a fork warns and may hang, and this process starts clusters.
EFFECTS = """
import json, sys
import numpy as np
from conviction.config import AugmentationSpec
from conviction.training.augment import draw
from conviction.training.device_effects import vary_on_device
cases = np.load(sys.argv[1])
varied = {}
for number, values in enumerate(json.loads(sys.argv[2])):
    pixels, targets = cases[f"pixels {number}"], cases[f"targets {number}"]
    spec = AugmentationSpec(**values)
    drawn = draw(spec, pixels.shape[:3], seed=3, epoch=1, step=2)
    varied[f"pixels {number}"], varied[f"targets {number}"] = vary_on_device(pixels, targets, spec, drawn)
np.savez(sys.argv[1], **varied)
"""


def test_the_effects_are_those_of_numpy(tmp_path: Path) -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is an extra: pip install 'conviction[jax]'")
    rng = np.random.default_rng(0)
    cases = [(values, shape) for values in SPECS for shape in SHAPES]
    batches = {}
    for number, (_, shape) in enumerate(cases):
        batches[f"pixels {number}"] = rng.integers(0, 256, shape, dtype=np.uint8)
        batches[f"targets {number}"] = np.eye(3, dtype=np.float32)[np.arange(shape[0]) % 3]
    file = tmp_path / "batches.npz"
    np.savez(file, **batches)
    subprocess.run(
        [sys.executable, "-c", EFFECTS, file, json.dumps([values for values, _ in cases])],
        env=environment(tmp_path, ON_JAX),
        timeout=PATIENCE,
        check=True,
    )
    with np.load(file) as varied:
        for number, (values, _) in enumerate(cases):
            spec = AugmentationSpec(**values)
            pixels, targets = batches[f"pixels {number}"], batches[f"targets {number}"]
            expected = augment(pixels, targets, spec, seed=3, epoch=1, step=2)
            on_device = varied[f"pixels {number}"], varied[f"targets {number}"]
            assert on_device[0].dtype == np.uint8
            difference = np.abs(on_device[0].astype(int) - expected[0].astype(int))
            exact = set(values) <= {"flip", "shift", "cutout"}
            assert difference.max() <= (0 if exact else 1), values
            assert (difference > 0).mean() < 0.01, values
            assert np.allclose(on_device[1], expected[1], atol=1e-6), values
            assert mixes_targets(spec) == (not np.array_equal(on_device[1], targets)), values
