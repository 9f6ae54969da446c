"""Whether the rows of a concept store belong together: what repair may cut off, and what not.

A killed `append_batch` leaves rows behind those that `split_counts` covers, never fewer. Whatever
else is amiss was not its doing: nothing is deleted then, and an error says what is.
"""

import json

import h5py

from conf.errors import RecipeError
from storage.concepts.file import (
    DEFAULT_SPLIT,
    POOLED,
    ROW_DATASETS,
    SPLIT,
    TOKENS,
    InvalidConceptStore,
    split_counts,
    texts_of,
)

COUNTS = "split_counts"


def lengths(file: h5py.File) -> dict[str, int]:
    """Return how many rows each dataset has that has one for each image."""
    return {name: len(file[name]) for name in (*ROW_DATASETS, TOKENS) if name in file}


def counts_of(file: h5py.File) -> dict[str, int]:
    """Return `split_counts`, counted anew where the file has none; raises InvalidConceptStore."""
    if COUNTS not in file.attrs:
        return split_counts(texts_of(file[SPLIT]))
    said = file.attrs[COUNTS]
    try:
        return {str(name): int(count) for name, count in json.loads(said).items()}
    except (ValueError, TypeError, AttributeError):
        raise InvalidConceptStore(
            f"{file.filename} has split_counts = {said!r}, which is no JSON table of counts. "
            "Delete the attribute: the splits are then counted anew. Nothing was changed."
        ) from None


def refuse_lost_features(file: h5py.File, *, tokens: bool) -> None:
    """Raise InvalidConceptStore for a store with rows whose features are gone.

    They cannot be made up, and to begin anew would delete the ids, labels and splits.
    """
    kept = {name: rows for name, rows in lengths(file).items() if rows}
    due = (POOLED, TOKENS) if tokens else (POOLED,)
    lost = [name for name in due if name not in file]
    if lost and kept:
        told = ", ".join(f"{rows} rows of {name}" for name, rows in kept.items())
        hint = " (T_img = 0 opens a store that never had tokens)" if TOKENS in lost else ""
        raise InvalidConceptStore(
            f"{file.filename} has {told}, and no {', '.join(lost)}: features cannot be made up."
            f" Restore the file{hint}, or write to another one and encode the images again. "
            "Nothing was changed."
        )


def split_of_lost(file: h5py.File) -> str:
    """Return the split of every row of a store whose column of splits is gone.

    Raises InvalidConceptStore where `split_counts` name several: images whose split was forgotten
    would be encoded and appended once more.
    """
    named = [name for name, rows in counts_of(file).items() if rows] if COUNTS in file.attrs else []
    if len(named) > 1:
        raise InvalidConceptStore(
            f"{file.filename} lost {SPLIT}, and split_counts are {counts_of(file)}: which row is "
            "of which split cannot be told. Restore the file, write to another one, or delete the "
            f"attribute split_counts: then every row is {DEFAULT_SPLIT!r}. Nothing was changed."
        )
    return named[0] if named else DEFAULT_SPLIT


def whole_rows(file: h5py.File) -> int:
    """Return how many rows are in every dataset and counted: those behind them a kill left.

    Raises InvalidConceptStore where a dataset is shorter than that.
    """
    found = lengths(file)
    is_counted, is_even = COUNTS in file.attrs, len(set(found.values())) == 1
    rows = sum(counts_of(file).values()) if is_counted else max(found.values())
    if not is_even and min(found.values()) < rows:
        counted = f"split_counts cover {rows}" if is_counted else "no split_counts tell the whole"
        raise _damaged(file, found, counted)
    return min(rows, *found.values())


def _damaged(file: h5py.File, found: dict[str, int], why: str) -> InvalidConceptStore:
    return InvalidConceptStore(
        f"{file.filename} lost rows: the lengths are {found}, and {why}. No killed run leaves "
        "that, so nothing was cut off. Restore the file, or write to another one."
    )


def refuse_torn(file: h5py.File) -> None:
    """Raise RecipeError unless rows can be appended: all are whole, and can grow."""
    found = lengths(file)
    if set(found.values()) != {sum(counts_of(file).values())}:
        raise RecipeError(
            f"{file.filename} has rows that a killed run left half written: the lengths are "
            f"{found}, split_counts are {counts_of(file)}. Open it by init_file, which cuts those "
            "off, and append then. Nothing was changed."
        )
    refuse_fixed(file)


def refuse_fixed(file: h5py.File) -> None:
    """Raise RecipeError for datasets of fixed size, as other tools write them."""
    fixed = [name for name in lengths(file) if file[name].maxshape[0] is not None]
    if fixed:
        raise RecipeError(
            f"{', '.join(fixed)} of {file.filename} cannot change in length: h5py makes datasets "
            "that can with maxshape=(None, ...). Copy the rows into a store by init_file. Nothing "
            "was changed."
        )
