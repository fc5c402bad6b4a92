"""The part of a program that builds a pretrained network, and computes once what a frozen one makes of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conviction.backend import quiet_stderr
from conviction.config import Recipe
from conviction.config.model import Backbone
from conviction.model.backbones import KINDS, build_backbone
from conviction.model.backbones.efficientnet_lite import efficientnet_lite0
from conviction.model.backbones.kinds import Application
from conviction.model.frozen import BATCH
from conviction.model.shapes import trained_words
from conviction.programs.section import Section
from conviction.programs.source_code import source_of
from conviction.programs.varying_code import varying_code
from conviction.training.augment import active_augmentations
from conviction.training.views import frozen_layers, picture_number, views_kept

Shape = tuple[int, int, int]
# Keras takes a file for weights by this ending.
WEIGHTS = "backbone.weights.h5"
# The test pictures of a program in which ``x`` has their features.
PICTURES = "pictures"
BESIDE = f'os.path.join(HERE, "{WEIGHTS}")'


def kept_layers(recipe: Recipe) -> int:
    """How many hidden layers compute features that are kept: those of a frozen start, or none."""
    return frozen_layers(recipe.model) if views_kept(recipe) else 0


def write_weights(path: Path, backbone: Backbone, shape: Shape) -> None:
    """Writes the published weights as Keras's own file, which needs no reader of ours.

    Raises:
        WeightsError: They were not found, or are not the published ones.
    """
    model = build_backbone(backbone, shape)
    with quiet_stderr():
        model.save_weights(path)


def backbone_section(recipe: Recipe, shape: Shape, weights: str = BESIDE) -> Section:
    """The network as ``backbone``, with its published weights.

    Args:
        recipe: Whose network begins with a backbone.
        shape: (height, width, 3).
        weights: An expression for the path of their file.
    """
    spec = recipe.model.backbone
    assert spec is not None
    kind = KINDS[spec.name]
    # A frozen one computes once, so nothing is gained by a shorter type.
    bfloat16 = recipe.training.precision == "bfloat16" and not kept_layers(recipe)
    if isinstance(kind.build, Application):
        options = {"include_top": False, "weights": None, "input_shape": shape, **kind.build.options}
        arguments = ", ".join(f"{key}={value!r}" for key, value in options.items())
        pieces = [f"backbone = keras.applications.{kind.build.function}({arguments})"]
        if bfloat16:
            policies = [f'keras.config.set_dtype_policy("{p}")' for p in ("mixed_bfloat16", "float32")]
            pieces = [policies[0], *pieces, policies[1]]
    else:
        policy = ', "mixed_bfloat16"' if bfloat16 else ""
        pieces = [
            source_of([efficientnet_lite0]),
            "",
            "",
            f"backbone = efficientnet_lite0(keras, {shape}{policy})",
        ]
    pieces += [
        f"backbone.load_weights({weights})  # the published ones; an export as script writes them",
        "backbone.trainable = False",
    ]
    record = spec.weights
    reason = f"{kind.title}: {kind.paper}. It has learned from ImageNet's photographs."
    if record is not None:
        reason += f" Its weights ({record.licence}) are from {record.source}."
    return Section("Backbone", reason, "\n".join(pieces), "transfer")


def learning_code(spec: Backbone) -> str:
    """What makes the last blocks of the backbone learn, or all of it."""
    lines = [
        f"# {trained_words(spec).capitalize()}, but for batch normalisation, whose averages few pictures would spoil.",
        "backbone.trainable = True",
    ]
    if spec.trainable == "all":
        first = "0"
    else:
        first = "first"
        lines += [
            "import re",
            "",
            f'blocks = [re.match(r"{KINDS[spec.name].block}", layer.name) for layer in backbone.layers]',
            f"learning = list(dict.fromkeys(block[1] for block in blocks if block))[-{spec.trainable}:]",
            "first = next(i for i, block in enumerate(blocks) if block and block[1] == learning[0])",
        ]
    lines += [
        "for number, layer in enumerate(backbone.layers):",
        f"    layer.trainable = number >= {first} and not isinstance(layer, keras.layers.BatchNormalization)",
    ]
    return "\n".join(lines)


def features_section(
    recipe: Recipe, shape: Shape, lines: Sequence[str], parts: Sequence[str] = ("train", "validation", "test")
) -> Section:
    """What the frozen start makes of the pictures, in place of the pictures; of varied ones as ``views``.

    Args:
        recipe: Of which features are kept.
        shape: (height, width, 3).
        lines: Of the layers of the frozen start.
        parts: Those of the data that are needed.
    """
    varied = bool(active_augmentations(recipe.augmentation))
    code = "\n".join(
        [
            *([f'{PICTURES} = x["test"]'] if recipe.evaluation.views > 1 and "test" in parts else []),
            "layers = keras.layers",
            "frozen = keras.Sequential([",
            f'    keras.Input({shape}, dtype="uint8"),',
            *lines,
            "])",
            "",
            "",
            "def features_of(pixels):",
            f'    """In batches of {BATCH}, the last filled up with black, so that every picture is computed alike."""',
            f'    black = np.zeros((-len(pixels) % {BATCH}, *pixels.shape[1:]), "uint8")',
            "    batches = np.concatenate([pixels, black])",
            f"    return frozen.predict(batches, batch_size={BATCH}, verbose=2)[: len(pixels)]",
            "",
            "",
            *(_views_code(recipe) if varied else []),
            f"x = {{part: features_of(x[part]) for part in {tuple(parts[1:] if varied else parts)}}}",
            *(['x["train"] = views[0]'] if varied else []),
        ]
    )
    reason = (
        "The backbone does not learn, so what it makes of a picture is the same in every epoch. It is computed once, "
        "and the layers after it learn from that in seconds."
    )
    if varied:
        reason += (
            f" Each training picture has {views_kept(recipe)} varied versions, and the epochs take turns."
        )
    return Section("Features", reason, code, "transfer")


def _views_code(recipe: Recipe) -> list[str]:
    """``views``: by version, what the frozen start makes of the training pictures."""
    return [
        varying_code(recipe.augmentation, recipe.training.seed),
        "",
        "",
        source_of([picture_number]),
        "",
        "",
        "def versions(pixels, view):",
        '    """One version of each picture; what it draws depends on the picture\'s own pixels."""',
        "    each = [pixels[i : i + 1] for i in range(len(pixels))]",
        "    numbers = [picture_number(one[0]) for one in each]",
        "    pairs = zip(each, numbers)",
        "    return np.concatenate([vary(x, None, view, n, np.array([n]))[0] for x, n in pairs])",
        "",
        "",
        f'views = [features_of(versions(x["train"], view)) for view in range({views_kept(recipe)})]',
    ]
