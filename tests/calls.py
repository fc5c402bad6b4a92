"""Plain Keras, NumPy and Matplotlib before and after each public function: ``python -m tests.calls [NAME ...]``.

In a process of its own, since it asks what a call leaves behind in one. Prints, as JSON, what differed by function.
"""

from __future__ import annotations

import decimal
import json
import locale
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image

import conviction
from conviction.reporting.terminal import Silent

SMALL = {"training.epochs": 1, "model.filters": [4, 4], "model.dense": [16]}
OTHER_THREADS = 1 if len(os.sched_getaffinity(0)) > 1 else 2
HOW: dict[str, Any] = {"show": Silent()}


def settings_of_a_user() -> None:
    """Unlike those that a run needs, wherever it needs some."""
    keras.config.set_floatx("float64")
    keras.config.set_epsilon(1e-5)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    matplotlib.use("pdf")
    matplotlib.rcParams["lines.linewidth"] = 7
    signal.signal(signal.SIGTERM, lambda *_: None)
    warnings.simplefilter("always", category=BytesWarning)
    logging.getLogger("tensorflow").setLevel(logging.INFO)
    np.seterr(under="warn")
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = ""


def plain_calls() -> dict[str, Any]:
    """What plain calls give, from the same seeds; and what they depend on."""
    keras.utils.clear_session()
    layer = keras.layers.Dense(3)
    dropping = keras.Sequential(
        [keras.layers.RandomFlip(), keras.layers.Flatten(), keras.layers.Dropout(0.5), layer]
    )
    dropping.compile(loss="mse")
    x, y = np.random.rand(16, 4, 4, 1), np.random.rand(16, 3)
    trained = dropping.fit(x, y, verbose=0).history["loss"]
    from matplotlib import pyplot

    line = pyplot.plot([1, 2])[0]
    pyplot.close()
    return {
        "layer": (layer.name, layer.dtype_policy.name),
        "trained": trained,
        "keras random": np.asarray(keras.random.uniform((3,), dtype="float32")).tolist(),
        "keras settings": [
            keras.config.floatx(),
            keras.config.epsilon(),
            keras.config.image_data_format(),
            keras.config.dtype_policy().name,
            keras.config.is_traceback_filtering_enabled(),
        ],
        "tensorflow random": tf.random.uniform((3,)).numpy().tolist(),
        "tensorflow": [
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
            tf.config.experimental.tensor_float_32_execution_enabled(),
            tf.config.get_soft_device_placement(),
            tf.config.functions_run_eagerly(),
            str(tf.config.get_visible_devices()),
        ],
        "python random": random.random(),
        "numpy random": np.random.rand(),
        "numpy": [repr(np.geterr()), repr(np.get_printoptions()), float(np.float32(1e-40) * np.float32(0.5))],
        "matplotlib": [matplotlib.get_backend(), str(dict(matplotlib.rcParams)), line.get_linewidth()],
        "pillow": [Image.MAX_IMAGE_PIXELS],
    }


def process() -> dict[str, Any]:
    """What else there is one of in a process."""
    names = [None, *logging.root.manager.loggerDict]
    return {
        "environment": dict(os.environ),
        "warnings": [str(f) for f in warnings.filters],
        "warning functions": [warnings.showwarning, warnings.formatwarning],
        "signals": {s.name: signal.getsignal(s) for s in signal.Signals},
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "loggers": {str(name): _logger(name) for name in names},
        "logging": [logging.root.manager.disable, logging.getLoggerClass()],
        "threads": sorted(t.name for t in threading.enumerate()),
        "children": [p.name for p in multiprocessing.active_children()],
        "start method": multiprocessing.get_start_method(allow_none=True),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "hooks": [sys.excepthook, sys.displayhook, threading.excepthook, sys.gettrace(), sys.getprofile()],
        "locale": locale.setlocale(locale.LC_ALL),
        "streams": [(f, f.encoding, f.errors) for f in (sys.stdin, sys.stdout, sys.stderr)],
        "decimal": str(decimal.getcontext()),
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(), os.sched_getaffinity(0), os.nice(0)],
        "main": sys.modules["__main__"],
    }


def _logger(name: str | None) -> list[Any]:
    logger = logging.getLogger(name)
    return [logger.level, logger.handlers, logger.filters, logger.disabled, logger.propagate]


def own_model(shape: tuple[int, int, int], classes: int) -> Any:
    """A network as a user builds it, beside the settings of a user."""
    return keras.Sequential(
        [
            keras.Input(shape, dtype="float32"),
            keras.layers.Flatten(data_format="channels_last", dtype="float32"),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )


def refused() -> None:
    """A request that is found wrong half-way."""
    try:
        conviction.fit("digits", {**SMALL, "training.batch_size": 100_000}, out="refused", **HOW)
    except conviction.ConvictionError:
        return
    raise AssertionError("not refused")


def public_functions() -> dict[str, Callable[[], Any]]:
    """Those of ``conviction.__all__`` by name, in an order in which each finds what it needs."""
    pixels = np.zeros((3, 8, 8), np.uint8)
    trained_elsewhere = own_model((32, 32, 1), 10)
    return {
        "load_source": lambda: conviction.load_source("digits"),
        "inspect": lambda: conviction.inspect("digits"),
        "summary": lambda: conviction.summary("digits", SMALL),
        "fit": lambda: conviction.fit("digits", SMALL, out="run", **HOW),
        "fit, refused": refused,
        "fit with other threads": lambda: conviction.fit(
            "digits", {**SMALL, "training.threads": OTHER_THREADS}, out="other", **HOW
        ),
        "load_run": lambda: conviction.load_run("run").model,
        "Run": lambda: conviction.load_run("run").predict(pixels),
        "evaluate": lambda: conviction.evaluate("run", **HOW),
        "evaluate_new": lambda: conviction.evaluate_new("run", "digits"),
        "resume": lambda: conviction.resume("run", {"training.epochs": 2}, **HOW),
        "predict": lambda: conviction.predict("run", pixels),
        "split": lambda: conviction.split("digits", show=None),
        "DataSplit": lambda: conviction.split("digits", show=None).arrays(),
        "fit with a model": lambda: conviction.fit(
            "digits", {"training.epochs": 1}, model=own_model, out="own", **HOW
        ),
        "assess": lambda: conviction.assess(
            trained_elsewhere, conviction.split("digits", show=None), out="assessed", **HOW
        ),
        "explain": lambda: conviction.explain("run", pixels[0]),
        "report": lambda: conviction.report("run"),
        "list_runs": lambda: conviction.list_runs("."),
        "check_exercise": lambda: conviction.check_exercise("normalise", lambda pixels: pixels / 255),
        "compare": lambda: conviction.compare("run", "other"),
        "export": lambda: conviction.export(
            "run", ["onnx", "litert", "saved_model", "keras", "script"], **HOW
        ),
        "load": lambda: [
            conviction.load(f"run/exports/{name}").predict(pixels)
            for name in ("model.onnx", "model.tflite", "model.keras", "saved_model")
        ],
        "explore": lambda: conviction.explore(
            "digits", SMALL, vary=["model.kernel_size=5"], seeds=1, out="explored", show=None
        ),
        "tune": lambda: conviction.tune("digits", SMALL, trials=2, confirm_seeds=1, out="tuned", show=None),
    }


def main(names: list[str]) -> None:
    """Compares around each function, all of them or those named."""
    settings_of_a_user()
    functions = public_functions()
    differences = {}
    for name in names or functions:
        # What a library does where it is imported is its own; so functions are looked up before.
        getattr(conviction, name.split(",")[0].split()[0])
        keras.utils.set_random_seed(7)
        expected = plain_calls()
        keras.utils.set_random_seed(7)
        before = process()
        functions[name]()
        after = process()
        found = {**plain_calls(), **{k: after[k] for k in before}}
        after["loggers"] = found["loggers"] = {n: after["loggers"][n] for n in before["loggers"]}
        expected |= before
        differences[name] = {
            key: [str(expected[key]), str(found[key])] for key in expected if expected[key] != found[key]
        }
    print(json.dumps(differences))


if __name__ == "__main__":
    main(sys.argv[1:])
