"""A text of one's own, encoded by the model that a concept store was made with."""

from conf.images import ImageRecipe
from conf.runtime import Runtime
from storage.concepts import ConceptStore
from storage.concepts.file import Array
from storage.concepts.writing import OtherModel
from tasks.models.load import load_encoder


def encode_text(store: ConceptStore, text: str, runtime: Runtime) -> Array:
    """Return (1, D), unit norm; raises OtherModel when the weights here are not the store's."""
    images = store.store.manifest(store.artifact.key).inputs["images"]
    recipe = ImageRecipe.model_validate(store.store.manifest(images).recipe)
    encoder = load_encoder(recipe.model, runtime)
    if encoder.fingerprint != store.attributes["model_fingerprint"]:
        raise OtherModel(
            f"The model that loads here has fingerprint {encoder.fingerprint[:16]}..., the store "
            f"was made by {store.attributes['model_fingerprint'][:16]}...: their features do not "
            "compare."
        )
    return encoder.encode_texts([text])
