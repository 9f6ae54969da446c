"""Ground truth: read what is known of a dataset's images, and keep it."""

from conf.annotations import AnnotationRecipe, AnyLabels
from conf.dataset import SourceSpec
from conf.runtime import Runtime
from storage.annotations import read_labels
from storage.annotations.tables import write_annotations
from storage.annotations.truth import Annotations
from storage.dataset import Ledger
from storage.store import ArtifactStore
from tasks.declaring import look_task, part_task
from tasks.stopping import check_not_stopped


@look_task
def scan_labels(
    labels: AnyLabels, source: SourceSpec, ledger: Ledger, *, runtime: Runtime
) -> Annotations:
    """Return what `labels` say now of the images of `ledger`.

    Never cached: label files are read in every run, and what they say names the artifact.
    """
    return read_labels(labels, source, ledger, runtime.roots)


@part_task
def make_annotations(
    recipe: AnnotationRecipe, *, known: Annotations, part: str, runtime: Runtime
) -> int:
    """Seal `known` as the one part of its artifact, and return of how many images it is."""
    check_not_stopped()
    draft = ArtifactStore(runtime.store).open_draft(recipe.key())
    with draft.write_part(part) as writer:
        write_annotations(writer, known)
    return len(known)
