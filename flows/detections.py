"""Detections: a model looks once at every image of a source; features, boxes and losses stay."""

from dataclasses import dataclass

from conf.detections import DetectionRecipe, Looking, Preset
from conf.load import load_preset
from conf.runtime import Runtime
from flows.annotations import make_truth
from flows.dataset import make_dataset
from flows.run import Run, Table
from storage.annotations.truth import Annotations
from storage.dataset import Ledger
from storage.dataset.places import rooted
from storage.store import Artifact
from tasks.declaring import flow
from tasks.detections import detect_part, detection_making
from tasks.detections.report import HEADER, class_rows
from tasks.models.yolo.files import canonical_layers


@dataclass(frozen=True)
class Detected:
    """What a run of detections made, for those that go on from there."""

    ledger: Ledger
    dataset: Artifact
    annotations: Artifact | None
    known: Annotations | None
    detections: Artifact
    recipe: DetectionRecipe


@flow(name="detections", flow_run_name="detections-in-{preset.source.source}")
def detect(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Look at the images of `preset.source`; run it again to go on where it stopped."""
    run = Run("detections", runtime or Runtime())
    show(run, make_detected(run, preset))
    return run.close()


def make_detected(run: Run, preset: Preset, prefix: str = "") -> Detected:
    """Return the detections that `preset` names, all they take made where it is missing."""
    dataset, ledger = make_dataset(run, preset.source, f"{prefix}dataset")
    annotations, known = None, None
    if preset.labels:
        name = f"{prefix}annotations"
        annotations, known = make_truth(run, preset.labels, preset.source, ledger, name)
    recipe = recipe_of(run, preset)
    key = run.store.key_of(annotations) if annotations else None
    detections = run.make(
        f"{prefix}detections",
        detection_making(recipe, ledger, key, known),
        detect_part,
        dataset,
        annotations=annotations,
        source=preset.source,
        made={
            "dataset": dataset.key,
            "random_weights": recipe.model.is_random,
            # Where a page finds the pictures again; it decides nothing, and names no place of ours.
            "source": rooted(preset.source, run.runtime),
        },
    )
    return Detected(ledger, dataset, annotations, known, detections, recipe)


def recipe_of(run: Run, preset: Preset) -> DetectionRecipe:
    """Return the recipe of `preset`, its model and layers named exactly."""
    model = run.resolve(preset.model)
    layers = canonical_layers(model, run.runtime.models, preset.layers)
    looking = {name: getattr(preset, name) for name in Looking.model_fields}
    return DetectionRecipe(model=model, **looking | {"layers": layers})


def show(run: Run, detected: Detected) -> None:
    """Have told what was found, class by class."""
    found, known = detected.detections, detected.known
    title = "What was found, class by class"
    run.show(lambda: Table(title, HEADER, class_rows(found, known, run.runtime)))


def demo_step(run: Run) -> None:
    """Find the cells in rendered blood smears, and say how well."""
    preset = Preset.model_validate(load_preset("cells").settings)
    show(run, make_detected(run, preset, "cell-"))


FLOW = detect
