"""The recipes adapt to the images at hand, and every one of them is a network that fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.config import RECIPES, ImageFacts, load_recipe
from conviction.model import walk

TRANSFER = "transfer"


@given(
    name=st.sampled_from(sorted(RECIPES)),
    height=st.integers(28, 300),
    width=st.integers(28, 300),
    images=st.integers(2, 10**7),
    channels=st.sampled_from([1, 3]),
)
def test_every_recipe_fits_any_images(name: str, height: int, width: int, images: int, channels: int) -> None:
    # A backbone takes the size and colours that it learned on.
    shape = (224, 224, 3) if name == TRANSFER else (height, width, channels)
    recipe = load_recipe([f"recipe={name}"], facts=ImageFacts.of(shape, images))
    rows = walk(recipe.model, shape, 5)
    assert rows[-1].output == (5,)
    assert 1 <= recipe.training.batch_size <= images
    if name != "lab":
        assert recipe.training.epochs * -(-images // recipe.training.batch_size) >= 120


@given(height=st.integers(8, 64), width=st.integers(8, 64), images=st.integers(2, 10**5))
def test_best_fits_small_images(height: int, width: int, images: int) -> None:
    recipe = load_recipe(["recipe=best"], facts=ImageFacts.of((height, width, 3), images))
    assert recipe.model.layers[0].type == "Whitening"
    assert walk(recipe.model, (height, width, 3), 5)[-1].output == (5,)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_what_decides_the_data_does_not_depend_on_the_data(name: str) -> None:
    blind = load_recipe([f"recipe={name}"])
    for facts in (ImageFacts(28, 28, 5), ImageFacts(200, 300, 10**6)):
        seen = load_recipe([f"recipe={name}"], facts=facts)
        assert seen.data == blind.data
        assert seen.training.seed == blind.training.seed


def test_an_asked_for_key_wins_over_every_recipe() -> None:
    for name in RECIPES:
        key = "model.dense=[5]" if name == TRANSFER else "model.filters=[5]"
        recipe = load_recipe([f"recipe={name}", "training.epochs=3", key], facts=ImageFacts(images=30))
        assert recipe.training.epochs == 3
        last = [x for x in recipe.model.layers if x.type in ("Conv2D", "Dense")][
            -1 if name == TRANSFER else 0 :
        ]
        assert 5 in [getattr(x, "filters", getattr(x, "units", 0)) for x in last]


def test_fine_tuning_has_a_smaller_rate() -> None:
    head, some = load_recipe(["recipe=transfer"]), load_recipe(["recipe=transfer", "model.trainable=2"])
    assert some.training.rate < head.training.rate / 10
    assert some.training.epochs < head.training.epochs
    assert load_recipe(["recipe=transfer", "model.trainable=2", "training.epochs=5"]).training.epochs == 5
    for layers in (some.model.layers, [layer.model_dump() for layer in some.model.layers]):
        assert load_recipe({"recipe": "transfer", "model.layers": layers}).training == some.training


def test_layers_replace_the_network_of_a_recipe() -> None:
    layers = [{"type": "Flatten"}, {"type": "Dense", "units": 4}]
    recipe = load_recipe({"recipe": "best", "model.layers": layers})
    assert [x.type for x in recipe.model.layers] == ["Flatten", "Dense"]
    assert recipe.training.optimizer == "muon"


def test_best_asks_the_images_about_mirrors() -> None:
    """Pictures without colour are often letters and digits, but not always."""
    for channels in (3, 1):
        recipe = load_recipe(["recipe=best"], facts=ImageFacts.of((32, 32, channels), 1000))
        assert recipe.augmentation.flip == "auto"


@pytest.mark.parametrize(("side", "most"), [(28, 80e6), (64, 200e6), (128, 600e6), (300, 4e9)])
def test_best_stays_affordable_on_larger_images(side: int, most: float) -> None:
    recipe = load_recipe(["recipe=best"], facts=ImageFacts.of((side, side, 3), 1_000))
    assert sum(row.multiply_adds for row in walk(recipe.model, (side, side, 3), 5)) < most


def test_the_first_recipe_that_people_meet_is_fast() -> None:
    assert load_recipe().recipe == "fast"
