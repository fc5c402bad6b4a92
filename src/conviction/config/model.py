"""The network as data: one typed entry per layer, and the shorthand keys that expand into them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Activation = Literal["relu", "elu", "gelu", "leaky_relu", "selu", "sigmoid", "silu", "tanh"]
Padding = Literal["valid", "same"]
Initializer = Literal["glorot_uniform", "dirac"]


def _pair(value: Any) -> Any:
    """``3`` and ``[3, 3]`` both mean (3, 3): rows, then columns."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


def _tuple(value: Any) -> Any:
    """``32`` and ``[32]`` both mean (32,): YAML has lists, frozen models hold tuples."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


# The deepest networks of this kind have about 150, and everything that draws or checks a network goes over all layers.
MOST_LAYERS = 200
# Filters of a convolution, or units of a dense layer.
MOST_UNITS = 65_536

Size = Annotated[int, Field(ge=1, le=1024)]
Pair = Annotated[tuple[Size, Size], BeforeValidator(_pair)]
Units = Annotated[int, Field(ge=1, le=MOST_UNITS)]
UnitList = Annotated[tuple[Units, ...], BeforeValidator(_tuple)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Strict(BaseModel):
    """Frozen, keyword-only, no unknown keys, no silent conversions (``true`` is not 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


BackboneName = Literal[
    "efficientnet_lite0",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_v2_b0",
    "resnet50_v2",
    "convnext_tiny",
]


def _trainable(value: Any) -> Any:
    if value in ("head", "all") or (type(value) is int and 1 <= value <= 1000):
        return value
    raise ValueError("expected head, all, or the number of its last blocks that learn, 1 or more")


Trainable = Annotated[Literal["head", "all"] | int, BeforeValidator(_trainable)]


class WeightsRecord(Strict):
    """Where a backbone's weights are from; ``sha256`` is that of the file."""

    sha256: str
    source: str
    licence: str


class Backbone(Strict):
    """A network that has learned on other pictures, (h, w, 3) -> (h / 32, w / 32, features); the first layer.

    ``trainable`` says what of it goes on learning: nothing (``head``: only the layers after it learn), its last N
    blocks, or ``all`` of it. Its batch normalisation never does. ``weights`` says which file its weights are from, once
    a run has read it.
    """

    type: Literal["Backbone"] = "Backbone"
    name: BackboneName
    trainable: Trainable = "head"
    weights: WeightsRecord | None = None


class Whitening(Strict):
    """Small patches of the pixels decorrelated, (h, w, c) -> (h - kh + 1, w - kw + 1, 2 kh kw c); the first layer.

    A convolution whose kernels are the eigenvectors of the covariance of training patches, each divided by the root of
    its eigenvalue, and their negatives; it learns nothing (Krizhevsky, 2009; in front of a network: Page, 2019).
    """

    type: Literal["Whitening"] = "Whitening"
    kernel_size: Pair = (2, 2)


class Conv2D(Strict):
    """2-D convolution, (h, w, c) -> (h', w', filters).

    ``kernel_initializer=dirac`` begins with filters that pass on one channel each, as many as there are channels.
    """

    type: Literal["Conv2D"] = "Conv2D"
    filters: Units
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: Padding = "valid"
    activation: Activation | None = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"


class BatchNormalization(Strict):
    """Normalises each channel over the batch in training, by moving averages afterwards."""

    type: Literal["BatchNormalization"] = "BatchNormalization"
    momentum: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.99


class ActivationLayer(Strict):
    """An activation layer of its own, for example after batch normalisation."""

    type: Literal["Activation"] = "Activation"
    activation: Activation = "relu"


class MaxPooling2D(Strict):
    """The largest value of each window; strides equal the window, as in Keras."""

    type: Literal["MaxPooling2D"] = "MaxPooling2D"
    pool_size: Pair = (2, 2)
    padding: Padding = "valid"


class AveragePooling2D(Strict):
    """The mean of each window; strides equal the window, as in Keras."""

    type: Literal["AveragePooling2D"] = "AveragePooling2D"
    pool_size: Pair = (2, 2)
    padding: Padding = "valid"


class GlobalAveragePooling2D(Strict):
    """The mean of each channel, (h, w, c) -> (c,)."""

    type: Literal["GlobalAveragePooling2D"] = "GlobalAveragePooling2D"


class Flatten(Strict):
    """(h, w, c) -> (h*w*c,)."""

    type: Literal["Flatten"] = "Flatten"


class Dropout(Strict):
    """Sets this share of the values to zero, in training only."""

    type: Literal["Dropout"] = "Dropout"
    rate: Rate


class Dense(Strict):
    """A fully connected layer, (features,) -> (units,)."""

    type: Literal["Dense"] = "Dense"
    units: Units
    activation: Activation | None = None
    use_bias: bool = True


Layer = Annotated[
    Backbone
    | Whitening
    | Conv2D
    | BatchNormalization
    | ActivationLayer
    | MaxPooling2D
    | AveragePooling2D
    | GlobalAveragePooling2D
    | Flatten
    | Dropout
    | Dense,
    Field(discriminator="type"),
]
LayerList = Annotated[
    tuple[Layer, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    Field(max_length=MOST_LAYERS),
]

LAYER_TYPES: dict[str, type[Strict]] = {
    "Backbone": Backbone,
    "Whitening": Whitening,
    "Conv2D": Conv2D,
    "BatchNormalization": BatchNormalization,
    "Activation": ActivationLayer,
    "MaxPooling2D": MaxPooling2D,
    "AveragePooling2D": AveragePooling2D,
    "GlobalAveragePooling2D": GlobalAveragePooling2D,
    "Flatten": Flatten,
    "Dropout": Dropout,
    "Dense": Dense,
}


def _tuple_of(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class OwnLayer(Strict):
    """A layer of a network that a user has built; the fields are those of ``LayerRow``."""

    name: str
    kind: str
    setting: str = ""
    output: Annotated[tuple[int, ...], BeforeValidator(_tuple_of)]
    params: Annotated[int, Field(ge=0)] = 0
    trainable: Annotated[int, Field(ge=0)] = 0
    multiply_adds: Annotated[int, Field(ge=0)] = 0


class OwnNetwork(Strict):
    """A network that a user has built with Keras and given to ``fit`` or ``assess``, as far as words can say.

    ``input_range`` is what it takes for black and white. ``optimizer`` and ``loss`` are how it was compiled, empty if
    it was not. ``needs`` are the classes in it that are not Keras's, by the names under which they are registered.
    """

    layers: Annotated[tuple[OwnLayer, ...], BeforeValidator(_tuple_of), Field(min_length=1)]
    input_range: Annotated[tuple[float, float], BeforeValidator(_tuple_of)]
    optimizer: str = ""
    loss: str = ""
    needs: Annotated[tuple[str, ...], BeforeValidator(_tuple_of)] = ()


class ModelSpec(Strict):
    """The hidden layers, in order, at most 200; or in place of them a network that a user has built.

    What comes before (the input and the division by 255) and after (one output unit per class, or a
    single one for two classes) follows from the data and is added when the network is built.
    """

    layers: LayerList = ()
    own: OwnNetwork | None = None

    @model_validator(mode="after")
    def _one_network(self) -> ModelSpec:
        if bool(self.layers) == (self.own is not None):
            raise ValueError("model.layers: expected a list of at least one layer")
        return self

    @model_serializer(mode="wrap")
    def _without_the_other(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        content.pop("own" if self.own is None else "layers")
        return content

    @property
    def backbone(self) -> Backbone | None:
        """The pretrained network that it begins with; None if it has none."""
        first = self.layers[0] if self.layers else None
        return first if isinstance(first, Backbone) else None


class Shorthand(Strict):
    """The keys most networks are described by; ``expand`` turns them into ``model.layers``.

    Defaults are the lab's network: two blocks of 32 and 64 filters, then a dense layer of 128. With ``backbone`` they
    are that network, the mean of each of its maps, and the layers of ``dense``, of which there are none unless they are
    named; ``trainable`` says what of it learns.
    """

    backbone: BackboneName | None = None
    trainable: Trainable = "head"
    whitening: bool = False
    filters: Annotated[UnitList, Field(min_length=1)] = (32, 64)
    convs: Annotated[int, Field(ge=1, le=16)] = 1
    kernel_size: Pair = (3, 3)
    padding: Padding = "valid"
    activation: Activation = "relu"
    kernel_initializer: Initializer = "glorot_uniform"
    pooling: Literal["max", "average"] = "max"
    pool_size: Pair = (2, 2)
    pool_first: bool = False
    batch_norm: bool = False
    dropout: Rate = 0.0
    head: Literal["flatten", "global_average"] = "flatten"
    dense: UnitList = (128,)


# The keys of ``Shorthand`` that mean something beside ``backbone``.
WITH_BACKBONE = ("backbone", "trainable", "dropout", "dense", "activation")

# Of the moving averages of ``model.batch_norm``. With Keras's 0.99, evaluation sees what training saw only after some
# hundreds of steps: two epochs of Fashion-MNIST in batches of 256 then end at 0.898 instead of 0.907.
MOMENTUM = 0.9


def expand(short: Shorthand) -> ModelSpec:
    """The network that the shorthand describes."""
    return ModelSpec(layers=layers_of(short))


def layers_of(short: Shorthand) -> tuple[Layer, ...]:
    """Writes the shorthand out as layers.

    Each number in ``filters`` is a block: ``convs`` times Conv2D, with batch normalisation between the convolution and
    its activation if ``batch_norm``, then pooling, then dropout if its rate is above 0. ``whitening`` comes before all
    blocks, with an activation of its own. With ``pool_first``, pooling comes right after the first convolution of a
    block, so that normalisation, activation and the other convolutions have a quarter of the work; max pooling and a
    rising activation can change places without changing the network's function. After the head (Flatten or global
    average pooling) each number in ``dense`` is a Dense layer, followed by dropout in the same way. With a
    ``backbone`` that network comes first, in place of the blocks.
    """
    dropout = [Dropout(rate=short.dropout)] if short.dropout > 0 else []
    if short.backbone is not None:
        named = short.dense if "dense" in short.model_fields_set else ()
        hidden: list[Layer] = []
        for units in named:
            hidden += [Dense(units=units, activation=short.activation), *dropout]
        first = Backbone(name=short.backbone, trainable=short.trainable)
        return (first, GlobalAveragePooling2D(), *dropout, *hidden)
    pool = (MaxPooling2D if short.pooling == "max" else AveragePooling2D)(pool_size=short.pool_size)
    layers: list[Layer] = []
    if short.whitening:
        layers += [Whitening(), ActivationLayer(activation=short.activation)]
    for filters in short.filters:
        for number in range(short.convs):
            last = number == short.convs - 1
            layers += _convolution(short, filters, [pool] if short.pool_first and number == 0 else [])
            layers += [pool] if last and not short.pool_first else []
        layers += dropout
    layers += [Flatten() if short.head == "flatten" else GlobalAveragePooling2D()]
    for units in short.dense:
        layers += [Dense(units=units, activation=short.activation), *dropout]
    return tuple(layers)


def _convolution(short: Shorthand, filters: int, pool: list[Layer]) -> list[Layer]:
    conv = Conv2D(
        filters=filters,
        kernel_size=short.kernel_size,
        padding=short.padding,
        kernel_initializer=short.kernel_initializer,
    )
    if not short.batch_norm and not pool:
        return [conv.model_copy(update={"activation": short.activation})]
    activation = ActivationLayer(activation=short.activation)
    if not short.batch_norm:
        return [conv, *pool, activation]
    # The normalisation subtracts the mean, so a bias before it could have no effect.
    return [
        conv.model_copy(update={"use_bias": False}),
        *pool,
        BatchNormalization(momentum=MOMENTUM),
        activation,
    ]
