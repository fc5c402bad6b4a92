"""The part of a program that varies training images: the run's own functions, and calls of the active ones."""

from __future__ import annotations

from textwrap import dedent, indent

from conviction.config import AugmentationSpec
from conviction.programs.source_code import Function, source_of
from conviction.training.augment import applied_augmentations
from conviction.training.augmentations import AUGMENTATIONS
from conviction.training.augmentations.flip import alternating_flips


def varying_code(spec: AugmentationSpec, seed: int) -> str:
    """``vary(pixels, targets, epoch, step, images=None)`` and all that it needs, as source.

    The functions are those of the package itself, so that they cannot drift from them.
    """
    applied = applied_augmentations(spec)
    drawn = [one for one in AUGMENTATIONS if any(one.key in a.takes for a in applied)]
    body = ["n, height, width, _ = pixels.shape"]
    alternating = spec.flip == "alternate"
    if alternating:
        body.append(f"flip_draws = alternating_flips(images, {seed}, epoch)")
        drawn = [one for one in drawn if one.key != "flip"]
    body += [
        f"{one.key}_draws = {one.draw.__name__}(chance(epoch, step, {one.stream}), "
        f"{getattr(spec, one.key)!r}, n, height, width)"
        for one in drawn
    ]
    for one in applied:
        varied = "pixels, targets" if one.mixes else "pixels"
        taken = ", ".join(f"{key}_draws" for key in one.takes)
        body.append(f"{varied} = {one.effect.__name__}({varied}, {taken})")
    body.append("return pixels, targets")
    chance = f"""
        def chance(epoch, step, operation):
            \"\"\"A stream of random numbers for each operation, epoch and step.\"\"\"
            counter = [0, step, operation, 1]
            return np.random.Generator(np.random.Philox(key=[{seed}, epoch], counter=counter))
        """
    vary = "def vary(pixels, targets, epoch, step, images=None):\n" + indent("\n".join(body), "    ")
    functions: list[Function] = [alternating_flips] if alternating else []
    functions += [*(one.draw for one in drawn), *(one.effect for one in applied)]
    return "\n\n\n".join([source_of(functions), dedent(chance).strip(), vary])
