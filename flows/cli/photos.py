"""`featuremill photos`: the batches that were exported, and what is known of a photo."""

import argparse
import json
from pathlib import Path
from typing import Any

from conf.errors import RecipeError, did_you_mean
from flows.cli import DONE, print_json, runtime_of

HELP = "look into batches of photos: list them, show a photo with its features"
_STAGES = (".ingest.json", ".preprocess.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to do, and with which batch and photo."""
    parser.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    parser.add_argument("batch", nargs="?", help="show: a batch's id, or its JSON file")
    parser.add_argument(
        "photo", nargs="?", help="show: its file name, or how its photo_id begins (default: all)"
    )
    parser.add_argument("--out", type=Path, help="where batches lie (default: the store's exports)")


def run(given: argparse.Namespace) -> int:
    """List batches, or show the photos of one."""
    folder = given.out or runtime_of(given).store / "exports"
    return _list(folder, given) if given.action == "list" else _show(folder, given)


def _list(folder: Path, given: argparse.Namespace) -> int:
    rows = [_told(path) for path in _batches(folder)]
    if given.json:
        print_json(rows)
        return DONE
    for row in rows:
        failed = f", {row['failed']} failed" if row["failed"] else ""
        print(f"{row['batch_id']}: {row['photos']} photos{failed}; {row['page'] or row['path']}")
    if not rows:
        print(f"No batch in {folder}. `featuremill run sample_photos` makes one.")
    return DONE


def _batches(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("*.json") if not path.name.endswith(_STAGES)]
    return sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))


def _told(path: Path) -> dict[str, Any]:
    batch, page = _read(path), path.with_suffix(".html")
    return {
        "batch_id": batch["batch_id"],
        "photos": len(batch["artifacts"]),
        "failed": len(batch.get("failed", ())),
        "path": str(path),
        "page": str(page) if page.is_file() else None,
    }


def _read(path: Path) -> dict[str, Any]:
    from storage.photos.batches import plain, read_batch

    batch: dict[str, Any] = plain(read_batch(path))
    return batch


def _show(folder: Path, given: argparse.Namespace) -> int:
    batch = _read(_find(folder, given.batch))
    photos = batch["artifacts"] if given.photo is None else _chosen(batch, given.photo)
    if given.json:
        print_json(photos)
    elif given.photo is None:
        print(_table(photos))
    else:
        print(json.dumps(photos, indent=1))  # ASCII: no name can steer a terminal
    return DONE


def _find(folder: Path, name: str | None) -> Path:
    known = {path.stem: path for path in _batches(folder)}
    if name is None:
        raise RecipeError(
            "Which batch? `featuremill photos show BATCH [PHOTO]` takes its id; "
            f"{folder} has {', '.join(known) or 'none'}."
        )
    if name in known:
        return known[name]
    if Path(name).is_file():
        return Path(name)
    raise RecipeError(f"No batch {name!r} in {folder}. {did_you_mean(name, known)}")


def _chosen(batch: dict[str, Any], wanted: str) -> list[dict[str, Any]]:
    photos = batch["artifacts"]
    found = [photo for photo in photos if wanted in _names(photo)]
    found = found or [photo for photo in photos if photo["photo_id"].startswith(wanted)]
    if not found:
        names = [Path(photo["original_uri"]).name for photo in photos]
        raise RecipeError(
            f"No photo {wanted!r} in {batch['batch_id']}. {did_you_mean(wanted, names)}"
        )
    return found


def _names(photo: dict[str, Any]) -> set[str]:
    uris = {photo["original_uri"], *photo.get("duplicates", ())}
    return uris | {Path(uri).name for uri in uris}


def _table(photos: list[dict[str, Any]]) -> str:
    from tasks.pages.photos import photo_table
    from tasks.pages.tables import as_text

    return as_text(*photo_table(photos))
