"""Zero-shot labels: a dataset's images scored by a prompt set."""

from conf.images import ImageRecipe
from conf.labels import LabelRecipe, Preset
from conf.load import load_preset
from conf.runtime import Runtime
from flows.dataset import make_dataset
from flows.images import make_images
from flows.prompts import make_prompts
from flows.run import Run, Table
from storage.dataset import Ledger
from storage.drafts import Making
from storage.labels import open_labels
from storage.store import Artifact
from tasks.declaring import flow
from tasks.labels import label_images
from tasks.pages.tables import label_rows


@flow(name="labels", flow_run_name="labels-of-{preset.source.source}")
def label_photos(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Label the images of `preset.source` by the words of `preset.prompts`."""
    run = Run("labels", runtime or Runtime())
    make_labelled(run, preset)
    return run.close()


def make_labelled(run: Run, preset: Preset, prefix: str = "") -> None:
    """Make the dataset, prompts, features and labels of `preset`, and show the labels."""
    dataset, ledger = make_dataset(run, preset.source, f"{prefix}dataset")
    model = run.resolve(preset.model)
    prompts = make_prompts(run, model, preset.prompts, f"{prefix}prompts")
    recipe = ImageRecipe(model=model)
    images = make_images(run, recipe, dataset, ledger, preset.source, f"{prefix}features")
    labels = make_labels(
        run, LabelRecipe(top=preset.top), images, prompts, ledger, f"{prefix}labels"
    )
    title = "Zero-shot labels, each with its confidence"
    run.show(lambda: Table(title, *label_rows(ledger, open_labels(run.store, labels))))


def make_labels(
    run: Run,
    recipe: LabelRecipe,
    images: Artifact,
    prompts: Artifact,
    ledger: Ledger,
    name: str,
) -> Artifact:
    """Return the best labels of every image of `ledger`, made where they are missing."""
    inputs = {"images": run.store.key_of(images), "prompts": run.store.key_of(prompts)}
    making = Making(recipe, inputs, ledger.contents)
    return run.make(name, making, label_images, images, prompts)


def demo_step(run: Run) -> None:
    """Label the sample photographs."""
    preset = load_preset("sample_labels").settings
    make_labelled(run, Preset.model_validate(preset), "photo-")


FLOW = label_photos
