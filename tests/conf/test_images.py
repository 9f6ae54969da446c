from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from conf.models import ModelSpec, Precision

CONTENT = ArtifactKey("content", 1, "0123456789abcdef")


def recipe(tokens: bool = False, precision: Precision = "fp32") -> ImageRecipe:
    return ImageRecipe(model=ModelSpec(family="toy", precision=precision), tokens=tokens)


def test_precision_and_tokens_are_in_the_key() -> None:
    made = [recipe(), recipe(precision="bf16"), recipe(tokens=True)]
    assert len({one.key(content=CONTENT) for one in made}) == 3


def test_a_default_that_is_spelt_out_is_the_same_key() -> None:
    spelt = ModelSpec(family="toy", precision="fp32", name="default", preprocessing="native")
    assert ImageRecipe(model=spelt, tokens=False).key(content=CONTENT) == recipe().key(
        content=CONTENT
    )


def test_features_of_other_images_by_the_same_model_are_one_family() -> None:
    other = ArtifactKey("content", 1, "f" * 16)
    assert recipe().family({"content": CONTENT}) == recipe().family({"content": other})
    assert recipe().family({"content": CONTENT}) != recipe(True).family({"content": CONTENT})


def test_the_recipe_knows_no_source_and_no_path() -> None:
    assert ImageRecipe.model_fields.keys() == {"model", "tokens"}
