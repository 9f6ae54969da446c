"""`featuremill detections ACTION ...`: what models found, and the databases that hold it."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.errors import RecipeError
from flows.cli import DAMAGED, DONE, print_answer, print_json, runtime_of

if TYPE_CHECKING:
    from storage.detections import Detections

HELP = "look into detections, check and merge their databases"

Answer = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_ACTIONS = {
    "ls": "the detections of the store",
    "show": "KEY: what its model found, by class",
    "images": "KEY: its images with losses and metrics, the highest box loss first",
    "found": "KEY IMAGE: the detections of one image, named by the start of its sha256",
    "page": "KEY: --count images with boxes and masks, what is known beside what was found, as one "
    "HTML file, --into FILE",
    "validate": "EMBEDDINGS_DB DISTANCES_DB: compare every number with one that must agree; "
    "EMBEDDINGS_DB alone will do",
    "export": "KEY...: merge the runs of detections and of encoders into one database, --into FILE",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and what it is done to."""
    told = "; ".join(f"{action}: {what}" for action, what in _ACTIONS.items())
    parser.add_argument("action", choices=_ACTIONS, help=told)
    parser.add_argument("subject", nargs="*", metavar="KEY|FILE", help="keys, an image, or files")
    parser.add_argument("--count", type=int, default=20, help="how many rows (default: 20)")
    parser.add_argument("--into", type=Path, metavar="FILE", help="export, page: the file to write")
    parser.add_argument(
        "--force", action="store_true", help="export, page: replace a file that is there"
    )
    parser.add_argument(
        "--images-in", type=Path, help="page: the source's folder, table or archive, if moved"
    )


def run(given: argparse.Namespace) -> int:
    """Do one thing with detections."""
    if given.count < 1:
        raise RecipeError(f"--count {given.count}: say 1 or more.")
    if given.action == "validate":
        return _validate(given)
    if given.action == "export":
        return _export(given)
    if given.action == "page":
        return _page(given)
    print_answer(*_ANSWERS[given.action](given), as_json=given.json)
    return DONE


def _subjects(given: argparse.Namespace, least: int, most: int | None = None) -> list[str]:
    if not least <= len(given.subject) <= (most or len(given.subject)):
        wanted = _ACTIONS[given.action].partition(":")[0]
        raise RecipeError(f"`detections {given.action}` wants {wanted}.")
    return list(given.subject)


def _open(given: argparse.Namespace) -> "Detections":
    from storage.detections import Detections
    from storage.open import open_artifact

    name = _subjects(given, 1, 2)[0]
    found = open_artifact(name, runtime_of(given).store)
    if not isinstance(found, Detections):
        raise RecipeError(f"{name!r} holds no detections: `featuremill detections ls` lists those.")
    return found


def _ls(given: argparse.Namespace) -> Answer:
    from conf.detections import DetectionRecipe
    from storage.catalog import Catalog
    from storage.store import ArtifactStore

    store = ArtifactStore(runtime_of(given).store, create=False)
    header = ("key", "images", "model", "size_px", "conf", "at")
    rows = [
        (
            entry.key,
            entry.rows,
            entry.recipe["model"]["name"],
            entry.recipe["size_px"],
            entry.recipe["thresholds"]["conf"],
            entry.at,
        )
        for entry in Catalog(store).entries(DetectionRecipe.kind)
    ]
    return header, rows


def _show(given: argparse.Namespace) -> Answer:
    reader = _open(given)
    counts = reader.predictions.groupby(["class_id", "class_name"])["confidence"]
    table = counts.agg(["count", "mean", "min", "max"]).reset_index()
    header = ("class_id", "class_name", "detections", "mean_conf", "min_conf", "max_conf")
    return header, [tuple(row.values()) for row in table.to_dict("records")]


def _images(given: argparse.Namespace) -> Answer:
    frame = _open(given).images.sort_values("box_loss", ascending=False).head(given.count)
    left_out = {"ratio", "left_px", "top_px", "flag_cat", "flag_supercat", "category_distribution"}
    header = tuple(name for name in frame.columns if name not in left_out)
    rows = frame[list(header)].to_dict("records")
    return header, [tuple(map(_plain, row.values())) for row in rows]


def _found(given: argparse.Namespace) -> Answer:
    start = _subjects(given, 2, 2)[1]
    reader = _open(given)
    matching = [content for content in reader.contents if content.startswith(start)]
    if len(matching) != 1:
        raise RecipeError(
            f"{start!r} is the start of {len(matching)} images' sha256. "
            f"`featuremill detections images {given.subject[0]}` lists them; write more of one."
        )
    frame = reader.predictions
    frame = frame[frame["content_sha256"] == matching[0]].head(given.count)
    header = ("class_name", "confidence", "box_x1", "box_y1", "box_x2", "box_y2")
    return header, [tuple(row.values()) for row in frame[list(header)].to_dict("records")]


def _plain(cell: Any) -> Any:
    """Return a value that JSON has; what pandas has for null is null."""
    return None if cell is None or cell != cell else cell


def _validate(given: argparse.Namespace) -> int:
    from storage.detections.both import validate

    checks = validate(*(Path(name) for name in _subjects(given, 1, 2)))
    passed = all(check.passed for check in checks)
    if given.json:
        rows = [{"check": c.name, "passed": c.passed, "told": c.told} for c in checks]
        print_json({"passed": passed, "checks": rows})
    else:
        from tasks.pages.tables import as_text

        cells = [(c.name, "ok" if c.passed else "WRONG", c.told) for c in checks]
        print(as_text(("check", "", "what was compared"), cells))
        wrong = sum(not check.passed for check in checks)
        print(f"\n{len(checks)} checks, {f'{wrong} found something wrong' if wrong else 'all ok'}")
    return DONE if passed else DAMAGED


def _export(given: argparse.Namespace) -> int:
    from storage.detections.merging import merge
    from storage.store import ArtifactStore

    names, path = _subjects(given, 1), _into(given, "database")
    store = ArtifactStore(runtime_of(given).store, create=False)
    runs = merge(store, [store.resolve(name) for name in names], path)
    if given.json:
        print_json({"path": str(path), "runs": runs})
    else:
        print(f"{len(runs)} runs are in {path}")
    return DONE


def _page(given: argparse.Namespace) -> int:
    from tasks.detections.page import page_of

    _subjects(given, 1, 1)
    path = _into(given, "HTML file")
    text = page_of(_open(given), runtime_of(given), count=given.count, images_in=given.images_in)
    path.write_text(text, encoding="utf-8")
    if given.json:
        print_json({"path": str(path)})
    else:
        print(f"The page is {path}")
    return DONE


def _into(given: argparse.Namespace, what: str) -> Path:
    """Return the file to write; raises RecipeError for one that cannot be, or is there."""
    if given.into is None:
        raise RecipeError(f"`detections {given.action}` wants --into FILE, the {what} to write.")
    path: Path = given.into.expanduser().absolute()
    if not path.parent.is_dir() or path.is_dir():
        raise RecipeError(f"{path} cannot be a file: name one in a directory that exists.")
    if path.exists() and not given.force:
        raise RecipeError(f"{path} is there already. Name another file, or add --force.")
    return path


_ANSWERS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "ls": _ls,
    "show": _show,
    "images": _images,
    "found": _found,
}
