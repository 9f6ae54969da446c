"""The concept store: the file `conceptclip_features.h5`, as a view on sealed parts or a plain file.

The functions here take a path or an open h5py.File. docs/formats/concepts.md says what the file
holds.
"""

from storage.concepts.checking import check_metadata, validate_h5
from storage.concepts.file import InvalidConceptStore, NotAConceptStore, WrittenByRun
from storage.concepts.kinds import KINDS
from storage.concepts.probe import Probe
from storage.concepts.reading import (
    Samples,
    access_batch,
    access_sample_by_index,
    get_template_names,
    summarize_h5,
)
from storage.concepts.rows import RowReader
from storage.concepts.scores import ConceptScores
from storage.concepts.store import ConceptFile, ConceptStore
from storage.concepts.templates import (
    TemplateFeatures,
    UnmatchedConcept,
    fetch_template_features,
)
from storage.concepts.writing import (
    OtherModel,
    append_batch,
    clear_all_templates,
    init_file,
    write_template,
)

__all__ = [
    "KINDS",
    "ConceptFile",
    "ConceptScores",
    "ConceptStore",
    "InvalidConceptStore",
    "NotAConceptStore",
    "OtherModel",
    "Probe",
    "RowReader",
    "Samples",
    "TemplateFeatures",
    "UnmatchedConcept",
    "WrittenByRun",
    "access_batch",
    "access_sample_by_index",
    "append_batch",
    "check_metadata",
    "clear_all_templates",
    "fetch_template_features",
    "get_template_names",
    "init_file",
    "summarize_h5",
    "validate_h5",
    "write_template",
]
