"""The part of a program that varies training images: the run's own arithmetic, active operations written out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from textwrap import dedent, indent
from typing import Any

from conviction.config import AugmentationSpec
from conviction.training import augment
from conviction.training.augment import active_operations, cutout_side, shift_reach

Function = Callable[..., Any]
# Functions of ``augment``, and lines of ``vary`` that call them.
Piece = tuple[list[Function], list[str]]


def varying_code(spec: AugmentationSpec, shape: tuple[int, int, int], seed: int) -> str:
    """``vary(pixels, targets, epoch, step)`` and all that it needs, as source.

    The functions are those of the package itself, so that they cannot drift from them.
    """
    pieces = list(_pieces(spec, *shape[:2]))
    functions = dict.fromkeys(f for used, _ in pieces for f in used)
    sources = [inspect.getsource(f).rstrip() for f in functions]
    body = ["n = len(pixels)", *[line for _, lines in pieces for line in lines], "return pixels, targets"]
    constants = [
        f"{name} = {getattr(augment, name)}  # values at a time, to stay in the cache"
        for name in ("_GROUP", "_RESAMPLED_GROUP")
        if any(name in source for source in sources)
    ]
    chance = f"""
        def chance(epoch, step, operation):
            \"\"\"A stream of random numbers for each operation, epoch and step.\"\"\"
            counter = [0, step, operation, 1]
            return np.random.Generator(np.random.Philox(key=[{seed}, epoch], counter=counter))
        """
    vary = "def vary(pixels, targets, epoch, step):\n" + indent("\n".join(body), "    ")
    return "\n\n\n".join([*constants, *sources, dedent(chance).strip(), vary])


def _pieces(spec: AugmentationSpec, height: int, width: int) -> Iterator[Piece]:
    """In the order of the operations."""
    on = active_operations(spec)
    if "flip" in on:
        yield _flip(spec)
    yield from _places(spec, height, width)
    if "brightness" in on or "contrast" in on:
        biases = _uniform("brightness", 0.0, 255.0 * spec.brightness)
        gains = _uniform("contrast", 1.0, spec.contrast)
        yield (
            [augment.tone, augment._groups, augment._to_uint8],
            [f"biases = {biases}", f"gains = {gains}", "pixels = tone(pixels, gains, biases)"],
        )
    if "cutout" in on:
        yield (
            [augment.cutout],
            [
                f"centres = {_stream('cutout')}.integers(0, ({height}, {width}), (n, 2))",
                f"pixels = cutout(pixels, centres, {cutout_side(spec, height, width)})",
            ],
        )
    if "mixup" in on:
        beta = max(spec.mixup, augment._LEAST_BETA)
        yield (
            [augment.mixup, augment._groups, augment._to_uint8],
            [
                f"mixing = {_stream('mixup')}",
                f"shares, partners = mixing.beta({beta}, {beta}, n), mixing.permutation(n)",
                "pixels, targets = mixup(pixels, targets, shares, partners)",
            ],
        )


def _flip(spec: AugmentationSpec) -> Piece:
    axes = {"vertical": [0], "horizontal": [1], "both": [0, 1]}[spec.flip]
    return (
        [augment.flip],
        [
            "flips = np.zeros((n, 2), bool)  # upside down, mirrored",
            f"flips[:, {axes}] = {_stream('flip')}.integers(0, 2, (n, 2), dtype=bool)[:, {axes}]",
            "pixels = flip(pixels, flips)",
        ],
    )


def _places(spec: AugmentationSpec, height: int, width: int) -> Iterator[Piece]:
    """Shifts, alone or together with rotation and zoom."""
    most = shift_reach(spec, height, width)
    ends = f"{[-m for m in most]}, {list(most)}"
    shifts = (
        f"{_stream('shift')}.integers({ends}, (n, 2), endpoint=True)"
        if any(most)
        else "np.zeros((n, 2), int)"
    )
    if spec.rotate or spec.zoom:
        yield (
            [
                augment.affine,
                augment.resample,
                augment._between,
                augment._places,
                augment._mirror,
                augment._groups,
            ],
            [
                f"shifts = {shifts}",
                f"angles = {_uniform('rotate', 0.0, spec.rotate)}",
                f"zooms = {_uniform('zoom', 1.0, spec.zoom)}",
                f"pixels = resample(pixels, *affine(angles, zooms, shifts, {height}, {width}))",
            ],
        )
    elif any(most):
        yield [augment.shift], [f"shifts = {shifts}", "pixels = shift(pixels, shifts)"]


def _stream(key: str) -> str:
    return f"chance(epoch, step, {augment.OPERATIONS.index(key)})"


def _uniform(key: str, middle: float, reach: float) -> str:
    if not reach:
        return f"np.full(n, {middle})"
    return f"{_stream(key)}.uniform({middle - reach}, {middle + reach}, n)"
