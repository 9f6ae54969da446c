"""The concept store: fill a file of one's own, make the store of a run, and ask either.

The functions here are those of `storage.concepts`; the tasks of a run are in
`tasks.concepts.making`.
"""

from storage.concepts import (
    access_batch,
    access_sample_by_index,
    append_batch,
    clear_all_templates,
    encode_and_store_image_features,
    fetch_template_features,
    fill_templates,
    get_template_names,
    init_file,
    store_prompt_features,
    summarize_h5,
    validate_h5,
    write_template,
)

__all__ = [
    "access_batch",
    "access_sample_by_index",
    "append_batch",
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
