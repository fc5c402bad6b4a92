"""Which precision to multiply in: decided by a rule about the machine and the network, never by timing."""

from __future__ import annotations

from typing import Literal

from conviction.backend import bfloat16_in_hardware, has_gpu, import_keras
from conviction.config import TrainingSpec

# The lab's network on 28x28 images has 2.9 million multiply-adds per image and becomes twice as fast; in far smaller
# ones, converting between the types costs what the products save.
LEAST_MULTIPLY_ADDS = 1_000_000


def choose_precision(spec: TrainingSpec, multiply_adds: int) -> Literal["float32", "bfloat16"]:
    """What ``training.precision`` means here, for a network of this many multiply-adds per image.

    ``auto`` is bfloat16 on a GPU, and on processors with AVX512-BF16 or AMX, which TensorFlow uses.
    """
    if spec.precision != "auto":
        return spec.precision
    if multiply_adds < LEAST_MULTIPLY_ADDS:
        return "float32"
    on_tensorflow = import_keras().backend.backend() == "tensorflow"
    return "bfloat16" if has_gpu() or (on_tensorflow and bfloat16_in_hardware()) else "float32"
