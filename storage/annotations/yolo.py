"""Labels in YOLO's text format: a line an object, its class and a box or a polygon in shares."""

from pathlib import Path, PurePosixPath

import numpy as np

from conf.annotations import YoloLabels
from conf.dataset import SourceSpec
from storage.annotations.collecting import Collected, Labels, images_of
from storage.annotations.files import LabelFiles
from storage.annotations.truth import Annotations
from storage.dataset.ledger import Ledger
from storage.readers.files import require
from storage.readers.protocol import SourceUnusable

_BOX_VALUES = 5


def read(
    labels: YoloLabels, source: SourceSpec, ledger: Ledger, roots: tuple[Path, ...]
) -> Annotations:
    """Return what the text files say of the images of `ledger`.

    An image without a file is one of which nothing is known, an empty file means an empty image.
    Raises SourceMissing and SourceUnusable when the folder or the classes' names are not there.
    """
    root = require(labels.root, "folder of labels", is_folder=True)
    files = LabelFiles(root, roots, ".txt")
    collected = Collected(labels.names or _names(root, labels, files))
    for image in images_of(ledger):
        file = str(label_path(image.uri))
        text = files.text(file, collected)
        if text is not None:
            _read_file(text.splitlines(), collected.of(image, file))
    files.tell_unused(collected)
    return collected.annotations()


def label_path(uri: str) -> PurePosixPath:
    """Return where the labels of an image lie: the last folder "images" becomes "labels"."""
    path = PurePosixPath(uri)
    parts = list(path.parts)
    folders = [at for at, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return PurePosixPath(*parts).with_suffix(".txt")


def _names(root: Path, labels: YoloLabels, files: LabelFiles) -> tuple[str, ...]:
    import yaml

    path = root / (labels.data or "data.yaml")
    if not path.is_file():
        raise SourceUnusable(
            f"{path} is not there, and nothing else names the classes. Set labels.data to the YAML "
            "file that does, or labels.names to the names."
        )
    try:
        read = yaml.safe_load(files.bytes_of(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceUnusable(f"{path} is not YAML: {error}.") from error
    found = read.get("names") if isinstance(read, dict) else None
    named = dict(enumerate(found)) if isinstance(found, list) else found
    if (
        not isinstance(named, dict)
        or not named
        or sorted(named, key=str) != sorted(range(len(named)), key=str)
    ):
        raise SourceUnusable(
            f"{path} names no classes: `names` is a list, or a table of 0, 1, 2 and so on."
        )
    return tuple(str(named[number]) for number in range(len(named)))


def _read_file(lines: list[str], found: Labels) -> None:
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    # In a file of polygons, five values are a polygon of two points: a box would be a guess.
    has_polygons = any(len(values) > _BOX_VALUES + 1 for _, values in rows)
    for number, words in rows:
        try:
            class_id, values = _class_id(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            found.refuse(number, f"not a number: {' '.join(words)[:80]!r}")
            continue
        _read_object(number, class_id, values, found, has_polygons=has_polygons)
    found.close()


def _class_id(word: str) -> int:
    number = float(word)  # some tools write classes as 0.0
    if not number.is_integer():
        raise ValueError(word)
    return int(number)


def _read_object(
    line: int, class_id: int, values: list[float], found: Labels, *, has_polygons: bool
) -> None:
    width_px, height_px = found.size_px
    if len(values) == _BOX_VALUES - 1 and not has_polygons:
        x, y, width, height = values
        if min(width, height) < 0:
            found.refuse(line, f"empty box: a width of {width:g} and a height of {height:g}")
            return
        edges = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        x1, y1, x2, y2 = edges
        box = x1 * width_px, y1 * height_px, x2 * width_px, y2 * height_px
        found.add_box(line, class_id, box)
    elif len(values) % 2 or len(values) < 4:
        found.refuse(
            line,
            f"{len(values) + 1} values: a box has 5, a polygon an odd number from 7 on",
        )
    else:
        points = np.array(values).reshape(-1, 2) * (width_px, height_px)
        found.add_polygons(line, class_id, [points])
