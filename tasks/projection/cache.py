"""A cache folder of the seed, written of any encoder's features."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from conf.errors import did_you_mean
from conf.runtime import Runtime
from storage.atomic import make_directory
from storage.images import ImageFeatures
from storage.projection.cache import (
    EMBEDDINGS,
    LABELS,
    META,
    METADATA,
    cache_folder,
    write_meta,
    write_metadata,
)
from storage.projection.errors import BadVectors, OutputsExist
from storage.store import ArtifactStore
from tasks.models.identity import file_sha256
from tasks.projection.torch_files import write_tensor


def write_cache(
    name: str,
    root: Path,
    runtime: Runtime,
    *,
    dataset: str | None = None,
    split: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write the image features `name` as a cache folder below `root`, and return where it is.

    The rows are those of one split, or all, in the order of the dataset's ledger; its name, by
    default the first 8 digits of its key, and the model's make the folder's. Raises OutputsExist
    and, for a split without rows, BadVectors.
    """
    store = ArtifactStore(runtime.store, create=False)
    artifact = store.resolve(name)
    if artifact.kind != "image-features":
        raise BadVectors(
            f"{artifact.key} holds no image features; a cache folder is written of those. "
            "`featuremill ls image-features` lists them."
        )
    reader = ImageFeatures(store, artifact)
    frame = reader.ledger().frame()
    frame = frame[frame["status"] == "ok"]
    if split is not None:
        _check_split(split, frame["split"].unique().tolist(), artifact.key)
        frame = frame[frame["split"] == split]
    key = store.manifest(artifact.key).made["dataset"]
    model = reader.manifest.recipe["model"]
    folder = cache_folder(
        root, _model_name(model), dataset or key.rpartition("-")[2][:8], split or "all", seed
    )
    _refuse(folder, overwrite=overwrite)
    make_directory(folder)
    (folder / META).unlink(missing_ok=True)  # written last: without it nothing is proven
    pooled = reader.pooled(frame["sha256"].tolist()).astype(np.float32)
    write_tensor(folder / EMBEDDINGS, pooled)
    write_tensor(folder / LABELS, frame["label"].to_numpy(np.int64))
    files = frame["uri"].tolist()
    words = [word if isinstance(word, str) else None for word in frame["label_name"]]
    write_metadata(folder, files, frame["label"].tolist(), words)
    meta = _meta(model, artifact.key, key, pooled.shape)
    meta["embeddings_sha256"] = file_sha256(folder / EMBEDDINGS)
    write_meta(folder, files, meta)
    return folder


def _model_name(model: Mapping[str, Any]) -> str:
    """Return what the folder's name says of the model: its family, where it has no name of its
    own."""
    return str(model["family"] if model["name"] == "default" else model["name"])


def _check_split(split: str, known: list[str], key: str) -> None:
    if split not in known:
        raise BadVectors(
            f"The dataset of {key} has no split {split!r}. {did_you_mean(split, known)}"
        )


def _refuse(folder: Path, *, overwrite: bool) -> None:
    found = [name for name in (EMBEDDINGS, LABELS, METADATA, META) if (folder / name).exists()]
    if found and not overwrite:
        raise OutputsExist(
            f"{', '.join(found)} in {folder} would be written over. Say --overwrite, or take "
            "another --seed or --into."
        )


def _meta(
    model: Mapping[str, Any], features: str, dataset: str, shape: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "num_samples": shape[0],
        "embedding_dim": shape[1],
        "checkpoint_path": model.get("weights"),
        "model": dict(model),
        "features": features,
        "dataset": dataset,
    }
