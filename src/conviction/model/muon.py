"""Muon (Jordan et al., 2024): momentum whose matrix is made orthogonal before it is applied.

"Muon: An optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon; the size of a step is that
of Liu et al. (2025, arXiv:2502.16982), so that one rate suits Muon and AdamW. Keras's own takes kernels of dense layers
alone.
"""

from __future__ import annotations

from typing import Any

# The polynomial a x + b x^3 + c x^5 of a step of the iteration brings singular values between 0 and 1 close to 1.
COEFFICIENTS = (3.4445, -4.775, 2.0315)
ITERATIONS = 5


def muon_class(keras: Any) -> Any:
    """The optimizer, from the module ``keras``: an AdamW that gives the kernels of hidden layers Muon's steps."""
    ops = keras.ops

    class Muon(keras.optimizers.AdamW):  # type: ignore[misc]
        """Muon for kernels of hidden layers, AdamW for scales, shifts and the output layer.

        Args:
            momentum: Of Muon; that of AdamW is its ``beta_1``.
            products: "float32", or "bfloat16" where the hardware multiplies that faster.
            options: Of AdamW, among them ``learning_rate`` and ``weight_decay`` for all.
        """

        def __init__(self, momentum: float = 0.6, products: str = "float32", **options: Any) -> None:
            super().__init__(**options)
            self.momentum, self.products = momentum, products

        def build(self, variables: Any) -> None:
            """Decides which variables are kernels of hidden layers."""
            super().build(variables)
            # A depthwise convolution has no matrix from channels to channels: the last axis of its kernel is 1.
            self._hidden = [
                len(v.shape) > 1 and v.shape[-1] > 1 and v.path.split("/")[-2] != "output" for v in variables
            ]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """One step of one variable."""
            index, shape = self._get_variable_index(variable), variable.shape
            if not self._hidden[index]:
                super().update_step(gradient, variable, learning_rate)
                return
            average = self._momentums[index]
            gradient = ops.cast(gradient, variable.dtype)
            self.assign(average, average * self.momentum + gradient)
            ahead = gradient + self.momentum * average  # Nesterov's
            matrix = ops.reshape(ahead, (-1, shape[-1]))  # (h, w, c, f) -> (h*w*c, f)
            flat = orthogonal(ops, matrix, self.products)
            # The root of the mean square of its elements is then 0.2, about that of a step of AdamW.
            size = 0.2 * max(flat.shape) ** 0.5
            step = ops.cast(learning_rate * size, variable.dtype) * ops.reshape(flat, shape)
            self.assign_sub(variable, step)

        def get_config(self) -> dict[str, Any]:
            """Its settings."""
            return super().get_config() | {"momentum": self.momentum, "products": self.products}

    return Muon


def orthogonal(ops: Any, matrix: Any, products: str = "float32") -> Any:
    """The nearest matrix with orthonormal rows or columns, about, by a Newton-Schulz iteration.

    Args:
        ops: The module ``keras.ops``.
        matrix: (n, m) float32.
        products: The type in which it multiplies.

    Returns:
        (n, m) float32: U S V^T for a matrix U D V^T, where all of S are between 0.7 and 1.2.
    """
    norm = ops.sqrt(ops.sum(ops.square(matrix))) + 1e-7
    x = ops.cast(matrix / norm, products)
    upright = x.shape[0] > x.shape[1]
    x = ops.transpose(x) if upright else x
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return ops.cast(ops.transpose(x) if upright else x, "float32")
