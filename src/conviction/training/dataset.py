"""Batches as Keras takes them without holding up the end of an epoch."""

from __future__ import annotations

from typing import Any

from conviction.backend import import_keras


def plain_options() -> Any:
    """Options of a ``tf.data.Dataset`` that is not tuned while it runs.

    A data set is tuned by a thread that sleeps for up to a minute. When an iterator ends, it cancels that thread and
    waits for it; if the thread wakes before the cancellation is recorded, it goes back to sleep, with both cores idle.
    On two cores that happened in four of eight epochs of 95 s. Keras tunes every ``PyDataset``. Here there is nothing
    to tune: there is one thread beside those that compute, and more would only take time from them.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return options


def keras_data(batches: Any) -> Any:
    """What to pass to ``fit`` and ``evaluate`` of Keras.

    Args:
        batches: A ``keras.utils.PyDataset`` of tuples of NumPy arrays, of a known length; all batches have the shape of
            the first, but for the number of images.

    Returns:
        On TensorFlow a ``tf.data.Dataset`` of the same batches, read afresh in each epoch; elsewhere ``batches``.
    """
    if import_keras().backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in batches[0])
    read = tf.data.Dataset.from_generator(
        lambda: (batches[number] for number in range(len(batches))), output_signature=signature
    )
    counted = read.apply(tf.data.experimental.assert_cardinality(len(batches)))
    return counted.prefetch(2).with_options(plain_options())
