"""The concept store: the file `conceptclip_features.h5`, as a view on sealed parts or a plain file.

The functions here take a path or an open h5py.File; those that encode take the model, too.
docs/formats/concepts.md says what the file holds.
"""

from storage.concepts.checking import check_metadata, validate_h5
from storage.concepts.encoding import (
    encode_and_store_image_features,
    fill_templates,
    store_prompt_features,
)
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
    clear_all_templates,
    fetch_template_features,
    write_template,
)
from storage.concepts.writing import OtherModel, append_batch, init_file

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
    "encode_and_store_image_features",
    "fetch_template_features",
    "fill_templates",
    "get_template_names",
    "init_file",
    "store_prompt_features",
    "summarize_h5",
    "validate_h5",
    "write_template",
]
