"""The section of a program that looks at the test set."""

from __future__ import annotations

from conviction.config import Recipe
from conviction.model.views import SHIFT
from conviction.programs.backbone_code import PICTURES, kept_layers
from conviction.programs.section import Section

# A program that has run ``testing_section`` has the test accuracy under this expression.
TEST_ACCURACY = "float(right.mean())"


def testing_section(recipe: Recipe, classes: int) -> Section:
    """The one look at the test set."""
    lines = []
    if recipe.training.precision == "bfloat16" and recipe.model.backbone and not kept_layers(recipe):
        lines += [
            "# Trained in bfloat16, tested in float32: the same weights in a network without the shorter type.",
            "weights = model.get_weights()",
            "model = keras.models.model_from_json(model.to_json().replace('mixed_bfloat16', 'float32'))",
            "model.set_weights(weights)",
        ]
    elif recipe.training.precision == "bfloat16":
        lines += [
            "# Trained in bfloat16, tested in float32: the same weights in a network without the shorter type.",
            "config = model.get_config()",
            "for layer in config['layers']:",
            "    if layer['class_name'] != 'InputLayer':",
            "        layer['config']['dtype'] = 'float32'",
            "weights = model.get_weights()",
            "model = keras.Sequential.from_config(config)",
            "model.set_weights(weights)",
        ]
    lines += _answers(recipe)
    likeliest = "(p[:, 0] > 0.5).astype(int)" if classes == 2 else "p.argmax(axis=1)"
    lines += [
        f"right = {likeliest} == labels['test']",
        'print(f"test accuracy {right.mean():.4f} ({right.sum()} of {len(right)} images)")',
    ]
    reason = "Once, at the end: images that had no part in any decision."
    return Section("Test", reason, "\n".join(lines), "evaluating")


def _answers(recipe: Recipe) -> list[str]:
    """``p``, the probabilities of the test pictures, averaged as ``views_of`` says."""
    views, frozen = recipe.evaluation.views, kept_layers(recipe)
    if views == 1:
        return ['p = model.predict(x["test"], batch_size=500, verbose=0)']
    lines = [
        "# Each answer is the mean over versions of the picture.",
        "pictures = " + (PICTURES if frozen else 'x["test"]'),
    ]
    if views == 2:
        lines.append("seen = [pictures, pictures[:, :, ::-1]]")
    else:
        lines += [
            "h, w = pictures.shape[1:3]",
            f"down, across = (max(1, round(side * {SHIFT})) for side in (h, w))",
            'padded = np.pad(pictures, ((0, 0), (down, down), (across, across), (0, 0)), mode="reflect")',
            "shifted = [padded[:, i * down :, i * across :][:, :h, :w] for i in (1, 2, 0)]",
            "seen = [one for version in shifted for one in (version, version[:, :, ::-1])]",
        ]
    pixels = "features_of(one)" if frozen else "one"
    lines.append(f"p = np.mean([model.predict({pixels}, batch_size=500, verbose=0) for one in seen], axis=0)")
    return lines
