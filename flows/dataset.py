"""Datasets: what a source holds now, as a ledger of rows."""

from conf.dataset import Preset, SourceSpec
from conf.runtime import Runtime
from flows.run import Run
from storage.dataset import Ledger
from storage.dataset.changes import ledger_changes
from storage.dataset.places import rooted
from storage.drafts import Making
from storage.store import Artifact
from tasks.dataset import keep_ledger, scan_source
from tasks.declaring import flow, quote
from tasks.pages.tables import summary_text


@flow(name="dataset", flow_run_name="dataset-of-{preset.source.source}")
def dataset_ledger(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Take up the rows of `preset.source`: names, contents, labels, and what cannot be read and
    why."""
    run = Run("dataset", runtime or Runtime())
    make_dataset(run, preset.source)
    return run.close()


def make_dataset(run: Run, source: SourceSpec, name: str = "dataset") -> tuple[Artifact, Ledger]:
    """Return the ledger of what `source` holds now, and its artifact."""
    ledger = run.look(scan_source, source)
    making = Making(ledger.recipe, {}, ("ledger",))
    note = summary_text(ledger)

    def changed(older: Ledger) -> str:
        return str(ledger_changes(older, ledger))

    # Quoted: Prefect would look for futures in every cell of the ledger, 15 s for 100,000 rows.
    artifact = run.make(
        name,
        making,
        keep_ledger,
        ledger=quote(ledger),
        note=note,
        changed=changed,
        made={"source": rooted(source, run.runtime)},  # for who looks for its pictures later
    )
    return artifact, ledger


FLOW = dataset_ledger
