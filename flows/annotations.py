"""Ground truth: a dataset and what is known to be in its images."""

from collections import Counter

from conf.annotations import AnyLabels, Preset
from conf.dataset import SourceSpec
from conf.runtime import Runtime
from flows.dataset import make_dataset
from flows.run import Run, Table
from storage.annotations.tables import recipe_of
from storage.annotations.truth import Annotations
from storage.dataset import Ledger
from storage.drafts import Making
from storage.store import Artifact
from tasks.annotations import make_annotations, scan_labels
from tasks.declaring import flow, quote

_SHOWN_FAULTS = 20


@flow(name="annotations", flow_run_name="annotations-of-{preset.source.source}")
def ground_truth(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Take up `preset.source` and what `preset.labels` say of its images."""
    run = Run("annotations", runtime or Runtime())
    _, ledger = make_dataset(run, preset.source)
    make_truth(run, preset.labels, preset.source, ledger)
    return run.close()


def make_truth(
    run: Run, labels: AnyLabels, source: SourceSpec, ledger: Ledger, name: str = "annotations"
) -> tuple[Artifact, Annotations]:
    """Return what is known of the images of `ledger`, and its artifact; show what was refused."""
    known = run.look(scan_labels, labels, source, ledger)
    recipe = recipe_of(known)
    making = Making(recipe, {}, ("annotations",))
    note = f"{len(known)} of {len(ledger.contents)} images; {_told(known)}"
    artifact = run.make(name, making, make_annotations, known=quote(known), note=note)
    if faults := known.faults():
        rows = [(f.file, str(f.line or ""), f.action, f.reason) for f in faults[:_SHOWN_FAULTS]]
        title = f"Labels that were not taken as they stand: {len(rows)} of {len(faults)}"
        run.show(Table(title, ("file", "line", "action", "reason"), rows))
    return artifact, known


def _told(known: Annotations) -> str:
    """Return what came of the labels, such as "no faults" or "3 refused, 1 clipped"."""
    counts = Counter(fault.action for fault in known.faults())
    return ", ".join(f"{count} {action}" for action, count in counts.most_common()) or "no faults"


FLOW = ground_truth
