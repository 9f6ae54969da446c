"""`featuremill losses ACTION ...`: loss matrices and the groups in them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.errors import RecipeError
from flows.cli import DONE, print_answer, print_json, runtime_of

if TYPE_CHECKING:
    from storage.losses import LossMatrix

HELP = "look into loss matrices and their groups"

Answer = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_ACTIONS = {
    "ls": "the loss matrices and groups of the store",
    "pair": "KEY I J: the losses of image I's head with the detections of image J, and both back",
    "near": "KEY I: whose detections fit image I's head best, by regret of all losses",
    "groups": "KEY: the groups of a loss-clusters artifact",
    "page": "KEY: where the page of a loss-clusters artifact lies",
    "export": "KEY...: every pair of matrices, one of a run, as one distances.db, --into FILE",
}
_WANTED = {"ls": 0, "pair": 3, "near": 2, "groups": 1, "page": 1, "export": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and what it is done to."""
    told = "; ".join(f"{action}: {what}" for action, what in _ACTIONS.items())
    parser.add_argument("action", choices=_ACTIONS, help=told)
    parser.add_argument(
        "subject", nargs="*", metavar="KEY|IMAGE", help="a key; images by place or by sha256"
    )
    parser.add_argument("--count", type=int, default=20, help="how many rows (default: 20)")
    parser.add_argument("--into", type=Path, metavar="FILE", help="export: the database to write")
    parser.add_argument("--force", action="store_true", help="export: replace a file that is there")


def run(given: argparse.Namespace) -> int:
    """Do one thing with loss matrices."""
    if given.count < 1:
        raise RecipeError(f"--count {given.count}: say 1 or more.")
    wanted, count = _WANTED[given.action], len(given.subject)
    if count < wanted or (count > wanted and given.action != "export"):
        told = _ACTIONS[given.action].partition(":")[0] if wanted else "no key"
        raise RecipeError(f"`losses {given.action}` wants {told}.")
    if given.action == "export":
        return _export(given)
    print_answer(*_ANSWERS[given.action](given), as_json=given.json)
    return DONE


def _opened(given: argparse.Namespace, kind: str, subject: int = 0) -> Any:
    from storage.kinds import find_kind
    from storage.store import ArtifactStore

    store = ArtifactStore(runtime_of(given).store, create=False)
    artifact = store.resolve(given.subject[subject])
    if artifact.kind != kind:
        raise RecipeError(
            f"{artifact.key} is not of kind {kind}: `featuremill losses ls` lists those that are."
        )
    return find_kind(kind).open(store, artifact)


def _matrix(given: argparse.Namespace) -> "LossMatrix":
    found: LossMatrix = _opened(given, "loss-matrix")
    return found


def _image(name: str) -> int | str:
    """Return a place, or the start of a sha256; a number of eight digits or more is the latter."""
    return int(name) if name.lstrip("-").isdecimal() and len(name) < 8 else name


def _ls(given: argparse.Namespace) -> Answer:
    from storage.store import ArtifactStore

    store = ArtifactStore(runtime_of(given).store, create=False)
    kinds = ("loss-matrix", "loss-clusters")
    keys = [key for key in store.published() if key.kind in kinds]
    rows = [(str(key), key.kind, store.manifest(key).rows) for key in keys]
    return ("key", "kind", "rows"), rows


def _pair(given: argparse.Namespace) -> Answer:
    matrix, (i, j) = _matrix(given), map(_image, given.subject[1:])
    there, back, own = matrix.dist(i, j), matrix.dist(j, i), matrix.dist(i, i)
    rows = [(name, there[name], back[name], there[name] - own[name]) for name in there]
    return ("component", "i with j", "j with i", "regret of i"), rows


def _near(given: argparse.Namespace) -> Answer:
    matrix = _matrix(given)
    place = matrix.place(_image(given.subject[1]))
    regret = matrix.regrets_of(place)
    order = [int(j) for j in regret.argsort(kind="stable") if j != place][: given.count]
    rows = [(j, matrix.contents[j], float(regret[j]), int(matrix.targets[j])) for j in order]
    return ("place", "image", "regret", "detections"), rows


def _groups(given: argparse.Namespace) -> Answer:
    found = _opened(given, "loss-clusters")
    sizes = found.images["group"].value_counts()
    medoids: dict[str, str] = found.summary["medoids"]
    rich = {
        number: ", ".join(one["name"] for one in classes)
        for number, classes in found.rich_in.items()
    }
    rows = [
        (int(number), int(sizes[int(number)]), content, rich.get(int(number), ""))
        for number, content in medoids.items()
    ]
    return ("group", "images", "medoid", "rich in"), rows[: given.count]


def _page(given: argparse.Namespace) -> Answer:
    return ("page",), [(str(_opened(given, "loss-clusters").page),)]


def _export(given: argparse.Namespace) -> int:
    from storage.losses.database import write_distances

    if given.into is None:
        raise RecipeError("`losses export` wants --into FILE, the database to write.")
    path = given.into.expanduser().absolute()
    if not path.parent.is_dir() or path.is_dir():
        raise RecipeError(f"{path} cannot be a file: name one in a directory that exists.")
    if path.exists() and not given.force:
        raise RecipeError(f"{path} is there already. Name another file, or add --force.")
    matrices = [_opened(given, "loss-matrix", place) for place in range(len(given.subject))]
    rows = write_distances(matrices, path)
    if given.json:
        print_json({"path": str(path), "rows": rows})
    else:
        print(f"{rows:,} distances are in {path}")
    return DONE


_ANSWERS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "ls": _ls,
    "pair": _pair,
    "near": _near,
    "groups": _groups,
    "page": _page,
}
