"""Texts with metadata, of a file or a grammar, kept as one Parquet table.

Its columns bear the names of the seed's NPZ: review_ids, texts, stars, useful, user_ids,
business_ids.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conf.errors import did_you_mean
from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore
from storage.tokens.errors import BadActivations
from storage.tokens.npz import read_arrays
from storage.tokens.reviews import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

TEXTS = "texts.parquet"
_NUMBERS = ("stars", "useful")


def read_texts(path: Path, columns: Mapping[str, str], limit: int | None) -> "pd.DataFrame":
    """Return the table that CSV, JSONL, Parquet or NPZ at `path` holds.

    `columns` says which column of the file is which of ours. A column that is not there is null,
    but texts, without which nothing can be done, and review_ids, which become row-0, row-1, ...
    """
    read = _readers().get(path.suffix.lower())
    if read is None:
        raise BadActivations(
            f"{path}: texts are read from {', '.join(_readers())}, not from {path.suffix!r}."
        )
    if not path.is_file():
        raise BadActivations(f"There is no file of texts {path}. Set texts.path.")
    found = _told(path, lambda: read(path))
    return _ours(found.head(limit) if limit else found, path, columns)


def _told(path: Path, read: Callable[[], "pd.DataFrame"]) -> "pd.DataFrame":
    try:
        return read()
    except ValueError as problem:  # so are the errors of pandas, pyarrow and of decoding
        raise BadActivations(f"{path} cannot be read as {path.suffix}: {problem}.") from problem


def _readers() -> dict[str, Callable[[Path], "pd.DataFrame"]]:
    import pandas as pd

    def jsonl(path: Path) -> "pd.DataFrame":
        return pd.read_json(path, lines=True, dtype=False)

    def csv(path: Path) -> "pd.DataFrame":  # an id "007" stays one, a text "NA" is a text
        return pd.read_csv(path, dtype=str, keep_default_na=False)

    return {
        ".csv": csv,
        ".jsonl": jsonl,
        ".parquet": pd.read_parquet,
        ".npz": lambda path: pd.DataFrame(
            {name: rows for name, rows in read_arrays(path).items() if name in COLUMNS}
        ),
    }


def _ours(found: "pd.DataFrame", path: Path, columns: Mapping[str, str]) -> "pd.DataFrame":
    import pandas as pd

    for ours, theirs in columns.items():
        if ours not in COLUMNS:
            raise BadActivations(f"columns.{ours} is none of ours. {did_you_mean(ours, COLUMNS)}")
        if theirs not in found:
            raise BadActivations(
                f"{path} has no column {theirs!r}. {did_you_mean(theirs, map(str, found))}"
            )
    named = {name: found.get(columns.get(name, name)) for name in COLUMNS}
    if named["texts"] is None:
        raise BadActivations(
            f"{path} has no column 'texts'; it has {', '.join(map(str, found))}. Say which one it "
            "is: columns.texts."
        )
    if named["review_ids"] is None:
        named["review_ids"] = pd.Series([f"row-{row}" for row in range(len(found))])
    table = _told(
        path,
        lambda: pd.DataFrame(
            {name: _column(name, rows, len(found)) for name, rows in named.items()}
        ),
    )
    if not table["texts"].str.strip().any():
        raise BadActivations(f"{path} has no text in its {len(table)} rows.")
    twice = table["review_ids"][table["review_ids"].duplicated()]
    if len(twice):
        raise BadActivations(f"{path}: review {twice.iloc[0]!r} is there more than once.")
    return table


def _column(name: str, rows: "pd.Series | None", count: int) -> "pd.Series":
    import pandas as pd

    if name in _NUMBERS:
        return pd.Series(np.full(count, np.nan)) if rows is None else pd.to_numeric(rows)
    if rows is None:
        return pd.Series([""] * count, dtype=object)
    return pd.Series(["" if pd.isna(row) else str(row) for row in rows], dtype=object)


def write_texts(writer: PartWriter, table: "pd.DataFrame") -> None:
    """Write the one file of the part."""
    path = writer.folder / TEXTS
    with step("write", path):
        table.to_parquet(path, index=False)


def open_texts(store: ArtifactStore, artifact: Artifact) -> "pd.DataFrame":
    """Return the table of texts; raises UnknownArtifact when it is not made yet."""
    import pandas as pd

    found = list(store.path_of(artifact).glob(f"parts/*/{TEXTS}"))
    if not found:
        raise store.unknown(artifact.key)
    return pd.read_parquet(found[0])
