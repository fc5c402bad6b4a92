"""The numbers of the network that a run stands on, by the names that the texts use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conviction.config import ImageFacts, ModelSpec, Recipe, load_recipe
from conviction.config.model import Backbone
from conviction.config.recipes import TRANSFER_RECIPE
from conviction.model import LayerRow
from conviction.model.backbones.kinds import KINDS, SIZE, Kind
from conviction.model.shapes import Shape, trained_words
from conviction.training.views import VIEWS

# How many of the last blocks learn where a text speaks of fine-tuning.
TUNED_BLOCKS = 2


@dataclass(frozen=True)
class BackboneFacts:
    """A backbone in a network.

    Attributes:
        spec: Its name, and what of it learns.
        rows: Of the whole network, as ``model.walk`` gives them; its own is the second.
    """

    spec: Backbone
    rows: Sequence[LayerRow]

    @property
    def kind(self) -> Kind:
        """What is known of it beside its sizes."""
        return KINDS[self.spec.name]

    @property
    def row(self) -> LayerRow:
        """Its row of the summary."""
        return self.rows[1]

    @property
    def title(self) -> str:
        """As its authors write it."""
        return self.kind.title

    @property
    def learns(self) -> str:
        """How much of it learns, in words."""
        return trained_words(self.spec)

    @property
    def frozen(self) -> bool:
        """Whether nothing of it learns."""
        return self.spec.trainable == "head"

    @property
    def blocks(self) -> int:
        """How many it has."""
        return len(self.kind.sizes.last)

    @property
    def side(self) -> int:
        """Of the pictures that it learned on, in pixels."""
        return SIZE

    @property
    def views(self) -> int:
        """Of how many varied versions of a picture features are kept, at most."""
        return VIEWS

    @property
    def source(self) -> str:
        """Who published its weights: of the file that a run has read, or else of the one that would be read."""
        return self.spec.weights.source if self.spec.weights else self.kind.weights.source

    @property
    def licence(self) -> str:
        """Of its weights."""
        return self.spec.weights.licence if self.spec.weights else self.kind.weights.licence

    @property
    def share(self) -> float:
        """Of all parameters, 0 to 1."""
        return self.row.params / sum(row.params for row in self.rows)

    @property
    def maps(self) -> Shape:
        """(height, width, features) of what it makes of an image."""
        return self.row.output

    @property
    def features(self) -> int:
        """Numbers in the vector that its maps become, by pooling or Flatten."""
        return next(row.output[0] for row in self.rows if len(row.output) == 1)

    @property
    def work_after(self) -> int:
        """Multiply-adds of the layers after it, for one image."""
        return sum(row.multiply_adds for row in self.rows[2:])


def backbone_of(recipe: Recipe, rows: Sequence[LayerRow]) -> BackboneFacts | None:
    """The backbone that a network begins with; None if it begins with random weights.

    Args:
        recipe: Of the network.
        rows: As ``model.walk`` gives them.
    """
    spec = recipe.model.backbone
    if spec is None:
        return None
    return BackboneFacts(spec, rows)


def transfer_recipe(images: int) -> tuple[Recipe, tuple[int, int, int]]:
    """The specification that the recipe gives so many training images, and the shape that they then have."""
    shape = (SIZE, SIZE, 3)
    return load_recipe({"recipe": TRANSFER_RECIPE}, facts=ImageFacts.of(shape, images)), shape


def with_learning(recipe: Recipe, trainable: str | int) -> Recipe:
    """The same network, of whose backbone another part learns."""
    first = recipe.model.backbone
    assert first is not None
    changed = first.model_copy(update={"trainable": trainable})
    return recipe.model_copy(update={"model": ModelSpec(layers=(changed, *recipe.model.layers[1:]))})


def tuned_recipe(recipe: Recipe, shape: tuple[int, int, int], images: int) -> Recipe:
    """The same network while the last blocks of its backbone learn, trained as the recipe trains such networks.

    Args:
        recipe: Of a network that begins with a backbone.
        shape: (height, width, 3) of an image.
        images: To learn from.
    """
    first = recipe.model.backbone
    assert first is not None
    keys = {"recipe": TRANSFER_RECIPE, "model.backbone": first.name, "model.trainable": TUNED_BLOCKS}
    tuned = load_recipe(keys, facts=ImageFacts.of(shape, images))
    return tuned.model_copy(update={"model": with_learning(recipe, TUNED_BLOCKS).model})
