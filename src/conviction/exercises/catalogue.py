"""All exercises, in the order of the chapters, and within one from easy to hard."""

from __future__ import annotations

from conviction.errors import RequestError
from conviction.exercises.exercise import Exercise
from conviction.exercises.tasks import (
    accuracy_interval,
    adam_step,
    add_channels,
    batch_norm,
    conv2d,
    conv2d_gradients,
    cross_entropy,
    dense_gradient,
    diagnose,
    dropout,
    grad_cam,
    load_idx,
    max_pool,
    max_pool_gradient,
    normalise,
    one_hot,
    output_shapes,
    parameter_counts,
    relu_gradient,
    sequential,
    sgd_step,
    softmax,
    split_groups,
)

EXERCISES: tuple[Exercise, ...] = tuple(
    module.EXERCISE
    for module in (
        load_idx,
        add_channels,
        normalise,
        one_hot,
        split_groups,
        max_pool,
        conv2d,
        output_shapes,
        parameter_counts,
        softmax,
        sequential,
        cross_entropy,
        sgd_step,
        adam_step,
        relu_gradient,
        dense_gradient,
        max_pool_gradient,
        conv2d_gradients,
        dropout,
        batch_norm,
        diagnose,
        accuracy_interval,
        grad_cam,
    )
)


def exercise_named(name: str) -> tuple[int, Exercise]:
    """An exercise by its number, from 1, or its name; with its number.

    Raises:
        RequestError: There is none.

    >>> exercise_named("7")[1].name, exercise_named("conv2d")[0]
    ('conv2d', 7)
    """
    for number, exercise in enumerate(EXERCISES, 1):
        if name.lower() in (str(number), exercise.name):
            return number, exercise
    raise RequestError(
        f"exercise: expected a number from 1 to {len(EXERCISES)} or a name, such as {EXERCISES[0].name}; got '{name}'. "
        "List them with: conviction exercise"
    )
