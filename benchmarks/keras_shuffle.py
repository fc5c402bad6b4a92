"""Does plain Keras go through the images in a different order in each epoch? ``python keras_shuffle.py SEED|none``.

Trains on numbers that are their own position, records what each step sees, and prints whether epochs agree.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf

COUNT, EPOCHS = 1000, 3
if sys.argv[1] != "none":
    keras.utils.set_random_seed(int(sys.argv[1]))
seen: list[np.ndarray] = []


class Recorder(keras.Model):
    """Keeps what it is given and learns nothing."""

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, float]:
        """Records a batch."""
        tf.py_function(lambda x: seen.append(x.numpy()[:, 0]) or 0, [data[0]], tf.int64)
        return {"loss": 0.0}


positions = np.arange(COUNT, dtype=np.float32)[:, None]
model = Recorder()
model.compile("sgd", "mse")
model.fit(positions, positions, epochs=EPOCHS, batch_size=100, verbose=0)
orders = np.concatenate(seen).reshape(EPOCHS, COUNT)
assert all(sorted(order) == list(range(COUNT)) for order in orders)
print("the same order in every epoch" if (orders == orders[0]).all() else "another order in each epoch")
