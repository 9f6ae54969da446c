"""Ground truth: what is known to be in images, from rendered scenes or from label files."""

import importlib
from pathlib import Path
from typing import cast

from conf.annotations import AnnotationRecipe, AnyLabels
from conf.dataset import SourceSpec
from storage.annotations.tables import open_annotations
from storage.annotations.truth import Annotations
from storage.dataset.ledger import Ledger
from storage.kinds import Kind


def read_labels(
    labels: AnyLabels, source: SourceSpec, ledger: Ledger, roots: tuple[Path, ...] = ()
) -> Annotations:
    """Return what `labels` say of the images of `ledger`, by the reader of their format.

    Nothing is lost: what cannot be taken is a fault with its reason. `roots` are the directories
    that links may lead to, beside the labels' own. Raises SourceMissing or SourceUnusable.
    """
    reader = importlib.import_module(f"storage.annotations.{labels.format}")
    return cast(Annotations, reader.read(labels, source, ledger, roots))


KINDS = (Kind(name=AnnotationRecipe.kind, open=open_annotations),)
