"""Image features: a dataset's images through an encoder, part by part."""

from conf.dataset import SourceSpec
from conf.images import ImageRecipe, Preset
from conf.load import load_preset
from conf.runtime import Runtime
from flows.dataset import make_dataset
from flows.run import Run, Table
from storage.dataset import Ledger
from storage.drafts import Making
from storage.images import row_bytes
from storage.store import Artifact
from tasks.declaring import flow
from tasks.images import check_stored_rows, encode_part, neighbour_accuracy


@flow(name="images", flow_run_name="images-of-{preset.source.source}")
def image_features(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Encode the images of `preset.source`; run it again to go on where it stopped."""
    run = Run("images", runtime or Runtime())
    make_encoded(run, preset)
    return run.close()


def make_encoded(run: Run, preset: Preset, prefix: str = "") -> tuple[Ledger, Artifact]:
    """Return the ledger and the features of what `preset` names."""
    dataset, ledger = make_dataset(run, preset.source, f"{prefix}dataset")
    recipe = ImageRecipe(model=run.resolve(preset.model), tokens=preset.tokens)
    name = f"{prefix}features"
    return ledger, make_images(run, recipe, dataset, ledger, preset.source, name)


def make_images(
    run: Run,
    recipe: ImageRecipe,
    dataset: Artifact,
    ledger: Ledger,
    source: SourceSpec,
    name: str,
) -> Artifact:
    """Return the features of the ok contents of `ledger`, made where they are missing."""
    inputs = {"content": ledger.content}
    making = Making(recipe, inputs, ledger.contents, row_bytes=row_bytes(recipe))
    return run.make(
        name,
        making,
        encode_part,
        dataset,
        source=source,
        check=check_stored_rows,
        made={"dataset": dataset.key, "random_weights": recipe.model.is_random},
    )


def demo_step(run: Run) -> None:
    """Encode the handwritten digits, and let their neighbours name them."""
    preset = Preset.model_validate(load_preset("digits").settings)
    ledger, features = make_encoded(run, preset, "digit-")
    run.show(lambda: _judged(run, ledger, features))


def _judged(run: Run, ledger: Ledger, features: Artifact) -> Table:
    judged = neighbour_accuracy(features, ledger, runtime=run.runtime)
    header = ("held-out digits", "named rightly by their 5 nearest neighbours", "by chance")
    row = (str(judged.held_out), f"{judged.accuracy:.1%}", f"{judged.chance:.1%}")
    return Table("Handwritten digits, by a model that was shown photographs only", header, [row])


FLOW = image_features
