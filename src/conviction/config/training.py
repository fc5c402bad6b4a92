"""How a network learns: the sections ``training`` and ``augmentation``."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, model_validator

from conviction.config.model import Strict


class AugmentationSpec(Strict):
    """How training images are varied, differently in every epoch; only training sees it.

    ``flip`` mirrors along each of its axes with probability 1/2; ``alternate`` mirrors one half of the images left to
    right in every other epoch and the other half in between, so that each pair of epochs shows both sides of each
    (Jordan, 2024, arXiv:2404.00498); ``auto`` is that where mirror images of training images still look like their
    class, and none where they do not. ``shift`` moves by up to this share of the
    sides, ``rotate`` by up to this many degrees, ``zoom`` by a factor of up to 1 ± this. ``brightness`` adds
    up to ± this share of white, ``contrast`` multiplies the distance from the image's mean by up to 1 ± this.
    ``cutout`` fills a square of this share of the shorter side with the mean colour (DeVries and Taylor,
    2017). ``mixup`` is the parameter of the Beta distribution by which two images and their targets are mixed
    (Zhang et al., 2018). 0 is none.
    """

    flip: Literal["none", "horizontal", "vertical", "both", "alternate", "auto"] = "none"
    shift: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    zoom: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    brightness: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    contrast: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    cutout: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    mixup: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0


def _rate(value: Any) -> float | Literal["auto"]:
    if value == "auto":
        return "auto"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 < value <= 100.0 or math.isnan(value):
        raise ValueError("expected auto, or a number above 0 and at most 100")
    return float(value)


class TrainingSpec(Strict):
    """How the network learns.

    ``learning_rate`` is the highest rate of the ``schedule``, which is computed before every step; ``auto`` is
    replaced by a number that a range test finds before training starts:

    - ``constant``: the same in every step.
    - ``one_cycle``: rises in a straight line from 1/25 of it over the share ``warmup`` of all steps, then falls along
      half a cosine to 0 (Smith and Topin, 2018, "Super-Convergence"; the shape is that of fastai).
    - ``cosine``: the same with a short rise (Loshchilov and Hutter, 2017, "SGDR", without restarts).
    - ``linear``: falls in a straight line to 0 from the first step on; it takes no ``warmup``.

    ``optimizer=muon`` makes the step of a hidden layer's kernel an orthogonal matrix (Jordan et al., 2024, "Muon"); the
    rest learns by AdamW, at the same rate.

    ``warmup`` None is 0.3 for ``one_cycle`` and 0.05 for ``cosine``. ``label_smoothing`` s turns a one-hot target
    into (1 - s) of it plus s over the number of classes (Szegedy et al., 2016). ``weight_decay`` takes this share,
    times the rate, of every weight of a kernel in every step (Loshchilov and Hutter, 2019). ``clip_norm`` scales a
    gradient down whose norm, over all weights together, is larger. ``ema`` is the momentum of a moving average of the
    weights, which is what is validated and kept. Each of these is off at 0; ``weight_decay`` None is Keras's own, 0.004
    for adamw. ``class_weights=balanced`` weighs the loss of an image by n / (classes * images of its
    class) (King and Zeng, 2001).

    ``early_stopping`` ends training after this many epochs without a better ``monitor`` and goes back to the weights of
    the best one. A checkpoint is kept after every epoch, and within one after ``checkpoint_minutes`` or
    ``checkpoint_steps``. Each of these is off at 0.

    ``precision`` is that of products; weights, output and loss are always float32. ``auto`` is bfloat16 where the
    processor or a GPU multiplies it in hardware and the network is large enough to gain. ``threads`` None means every
    core that this process may use. ``devices=all`` spreads every batch over all GPUs (JAX only).
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 12
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    optimizer: Literal["adam", "adamw", "muon", "sgd", "rmsprop"] = "adam"
    # 0.001 is Keras's own default for adam, adamw and rmsprop.
    learning_rate: Annotated[float | Literal["auto"], PlainValidator(_rate)] = 0.001
    schedule: Literal["constant", "one_cycle", "cosine", "linear"] = "constant"
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    clip_norm: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    early_stopping: Annotated[int, Field(ge=0, le=100_000)] = 0
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    devices: Literal["one", "all"] = "one"
    checkpoint_minutes: Annotated[float, Field(ge=0.0, le=1e6)] = 5.0
    checkpoint_steps: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0

    @model_validator(mode="after")
    def _no_rise_in_linear(self) -> TrainingSpec:
        if self.schedule == "linear" and self.warmup:
            raise ValueError(
                "training.warmup: the rate of training.schedule=linear only falls; leave warmup out, or take cosine"
            )
        return self

    @property
    def rate(self) -> float:
        """``learning_rate``, once it is a number."""
        assert not isinstance(self.learning_rate, str)  # flow has set it by now
        return self.learning_rate
