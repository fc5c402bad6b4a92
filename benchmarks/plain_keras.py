"""The lab as a fair tutorial would write it, in plain Keras and float32: the peer to measure against.

    python plain_keras.py DATA EPOCHS BATCH SEED

SEED is a number, or "none" for a program that sets no seed. That is more than a detail: with
keras.utils.set_random_seed, Keras 3.15 on TensorFlow goes through the images in the same order in every epoch,
because each epoch starts the shuffling again from the same seed; without it every epoch has its own order.

DATA is a folder with Fashion-MNIST's IDX files, or an npz with x_train, y_train, x_test and y_test. Prints one JSON
object: seconds of training (validation included, but not the scoring of the test set after each epoch), the best
validation accuracy, the test accuracy after the last epoch and after its best one, with the seconds until then, peak
memory.
"""

import gzip
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
from keras.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from keras.models import Sequential

source = Path(sys.argv[1])
epochs, batch = map(int, sys.argv[2:4])


def read(name: str, header: int) -> np.ndarray:
    """One IDX file after its header, as bytes in a row."""
    return np.frombuffer(gzip.open(source / f"{name}.gz").read(), np.uint8, offset=header)


if source.is_dir():
    x = read("train-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)
    y = read("train-labels-idx1-ubyte", 8)
    x_test = read("t10k-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)
    y_test = read("t10k-labels-idx1-ubyte", 8)
else:
    with np.load(source) as arrays:
        x, y, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))

if sys.argv[4] != "none":
    keras.utils.set_random_seed(int(sys.argv[4]))
x, x_test = x.astype("float32") / 255.0, x_test.astype("float32") / 255.0
y, y_test = keras.utils.to_categorical(y, 10), keras.utils.to_categorical(y_test, 10)
model = Sequential(
    [
        Input(x.shape[1:]),
        Conv2D(32, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Conv2D(64, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])


class Clock(keras.callbacks.Callback):
    """Seconds and test accuracy of each epoch; the clock stops while the test set is scored."""

    def on_train_begin(self, logs=None):  # noqa: D102
        self.seconds, self.tests = [], []
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):  # noqa: D102
        self.seconds.append(time.perf_counter() - self.start)
        self.tests.append(self.model.evaluate(x_test, y_test, verbose=0, batch_size=1000)[1])
        self.start = time.perf_counter()


clock = Clock()
history = model.fit(
    x, y, epochs=epochs, batch_size=batch, validation_split=0.1, verbose=0, callbacks=[clock]
).history
best = int(np.argmax(clock.tests))
print(
    json.dumps(
        {
            "training_seconds": sum(clock.seconds),
            "fastest_epoch_seconds": min(clock.seconds),
            "best_val_accuracy": max(history["val_accuracy"]),
            "test_accuracy": clock.tests[-1],
            "best_test_accuracy": clock.tests[best],
            "seconds_to_best": sum(clock.seconds[: best + 1]),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
