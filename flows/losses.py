"""Loss matrices: how well the detections of every image fit every other, and the groups in that."""

from conf.images import ImageRecipe
from conf.load import load_preset
from conf.losses import LossMatrixRecipe, LossSettings, Preset
from conf.runtime import Runtime
from flows.detections import Detected, make_detected
from flows.images import make_images
from flows.run import Run, Table
from storage.drafts import Making
from storage.store import Artifact
from tasks.declaring import flow
from tasks.losses import make_losses, matrix_making, pairs_to_compute
from tasks.losses.groups import find_groups, inputs_of
from tasks.losses.report import HEADER, group_rows


@flow(name="losses", flow_run_name="losses-in-{preset.source.source}")
def loss_matrix(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Compare every image of `preset.source` with the detections in every other."""
    run = Run("losses", runtime or Runtime())
    make_compared(run, preset)
    return run.close()


def make_compared(run: Run, preset: Preset, prefix: str = "") -> tuple[Artifact, Artifact]:
    """Return the matrix and the groups that `preset` names, all they take made where missing."""
    detected = make_detected(run, preset, prefix)
    matrix = make_matrix(run, detected, preset, preset.losses, f"{prefix}losses")
    images = make_encoded(run, detected, preset, f"{prefix}features")
    groups = make_groups(run, detected, preset, matrix, images, f"{prefix}loss-clusters")
    run.show(lambda: Table("Groups of images", HEADER, group_rows(groups, run.runtime)))
    return matrix, groups


def make_matrix(
    run: Run, detected: Detected, preset: Preset, settings: LossSettings, name: str
) -> Artifact:
    """Return the loss matrix of what was detected."""
    looked = detected.recipe
    recipe = LossMatrixRecipe(
        model=looked.model,
        size_px=looked.size_px,
        thresholds=looked.thresholds,
        backend=settings.backend,
        database_images=settings.database_images,
    )
    key = run.store.key_of(detected.detections)
    making = matrix_making(recipe, key, detected.ledger.contents)
    return run.make(
        name,
        making,
        make_losses,
        detected.detections,
        dataset=detected.dataset,
        source=preset.source,
        changed=lambda _: pairs_to_compute(
            run.store, recipe, making.key, making.rows, take_over=run.runtime.take_over
        ),
        made={"random_weights": looked.model.is_random},
    )


def make_encoded(run: Run, detected: Detected, preset: Preset, name: str) -> Artifact | None:
    """Return the features of the same images by the encoder of `preset`; None where it has none."""
    if preset.losses.encoder is None:
        return None
    recipe = ImageRecipe(model=run.resolve(preset.losses.encoder))
    return make_images(run, recipe, detected.dataset, detected.ledger, preset.source, name)


def make_groups(
    run: Run,
    detected: Detected,
    preset: Preset,
    matrix: Artifact,
    images: Artifact | None,
    name: str,
) -> Artifact:
    """Return the groups of a matrix, and their page; neighbours are compared with `images`."""
    inputs = inputs_of(run.store.key_of(matrix), run.store.key_of(images) if images else None)
    making = Making(preset.losses.groups, inputs, ("groups",))
    return run.make(
        name,
        making,
        find_groups,
        matrix,
        images,
        detections=detected.detections,
        dataset=detected.dataset,
        source=preset.source,
    )


def demo_step(run: Run) -> None:
    """Compare rendered blood smears by how well the cells found in one fit another."""
    make_compared(run, Preset.model_validate(load_preset("cell_losses").settings), "smear-")


FLOW = loss_matrix
