"""Labels in Pascal VOC's XML format: an XML file an image, of boxes."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from xml.parsers import expat

from conf.annotations import VocLabels
from conf.dataset import SourceSpec
from conf.errors import nearest
from storage.annotations.collecting import Box, Collected, Image, images_of
from storage.annotations.files import LabelFiles
from storage.annotations.truth import Annotations
from storage.dataset.ledger import Ledger
from storage.readers.files import require

_EDGES = ("xmin", "ymin", "xmax", "ymax")


class NotVoc(ValueError):
    """A file that is not Pascal VOC's; its text is the reason."""


@dataclass
class Said:
    """An element of a file: its line, its text and the texts of those in it, by path."""

    line: int
    texts: dict[str, str] = field(default_factory=dict)


def read(
    labels: VocLabels, source: SourceSpec, ledger: Ledger, roots: tuple[Path, ...]
) -> Annotations:
    """Return what the XML files say of the images of `ledger`.

    An image without a file is one of which nothing is known; a file without objects means an empty
    image. Raises SourceMissing when the folder is not there.
    """
    root = require(labels.root, "folder of labels", is_folder=True)
    files = LabelFiles(root, roots, ".xml")
    faults = Collected(())
    found: list[tuple[Image, str, Said, list[Said]]] = []
    for image in images_of(ledger):
        file = _file_of(image.uri, root)
        text = files.text(file, faults)
        if text is None:
            continue
        try:
            found.append((image, file, *parse(text)))
        except NotVoc as problem:
            faults.fault(file, None, "refused", str(problem))
    files.tell_unused(faults)
    said = {item.texts["name"] for *_, items in found for item in items if "name" in item.texts}
    collected = Collected(labels.names or sorted(said))
    for fault in faults.annotations().faults():
        collected.fault(*fault)
    for image, file, head, items in found:
        _read_file(collected, image, file, head, items, labels.first_pixel)
    return collected.annotations()


def _file_of(uri: str, root: Path) -> str:
    """Return where the labels of an image lie: at its path with ".xml", or by its name alone."""
    path = PurePosixPath(uri).with_suffix(".xml")
    return str(path) if os.path.lexists(root / path) else path.name


def parse(text: str) -> tuple[Said, list[Said]]:
    """Return what stands around the objects of a VOC file, and its objects.

    Raises NotVoc. A file that declares entities is refused before any is used: a few lines of them
    can grow to gigabytes.
    """
    reading = _Reading()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = lambda name, _: reading.start(name, parser.CurrentLineNumber)
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise NotVoc(f"not XML: {error}") from error
    if reading.root != "annotation":
        raise NotVoc(f"not VOC: its outermost element is {reading.root!r}, not 'annotation'")
    return reading.head, reading.objects


def _refuse_doctype(*_: object) -> None:
    raise NotVoc("entities: the file declares a document type, which no label file needs")


class _Reading:
    """What a parser has come across."""

    def __init__(self) -> None:
        self.root = ""
        self.head = Said(1)
        self.objects: list[Said] = []
        self._path: list[str] = []

    def start(self, name: str, line: int) -> None:
        self.root = self.root or name
        self._path.append(name)
        if self._path[1:] == ["object"]:
            self.objects.append(Said(line))

    def end(self, name: str) -> None:
        self._path.pop()

    def text(self, text: str) -> None:
        """Add to the text of the element that is open; parts of objects in objects are others."""
        if self._path[1:2] == ["object"]:
            into, path = self.objects[-1], "/".join(self._path[2:])
        else:
            into, path = self.head, "/".join(self._path[1:])
        if text.strip():
            into.texts[path] = into.texts.get(path, "") + text.strip()


def _read_file(
    collected: Collected,
    image: Image,
    file: str,
    head: Said,
    items: Sequence[Said],
    first_pixel: int,
) -> None:
    found = collected.of(image, file)
    size = _number(head, "size/width"), _number(head, "size/height")
    if all(size) and size != found.size_px:  # some tools write zeros
        said, is_now = (f"{w:g} x {h:g}" for w, h in (size, found.size_px))
        found.refuse(
            None,
            f"another size: {image.uri} has {is_now} px upright, the labels are of one of {said}",
        )
        items = []
    for item in items:
        name = item.texts.get("name")
        if name not in collected.names:
            close = nearest(name or "", collected.names)
            hint = f", did you mean {close!r}?" if close else ""
            found.refuse(item.line, f"class unknown: {name!r}{hint}")
            continue
        edges = [_number(item, f"bndbox/{edge}") for edge in _EDGES]
        if missing := [name for name, edge in zip(_EDGES, edges, strict=True) if edge is None]:
            found.refuse(item.line, f"no box: {', '.join(missing)} is missing or no number")
            continue
        # Both edges are pixels of the object: the last one's far edge is one further.
        x1, y1, x2, y2 = (edge - first_pixel for edge in edges if edge is not None)
        box: Box = x1, y1, x2 + 1, y2 + 1
        found.add_box(item.line, collected.names.index(name), box)
    found.close()


def _number(said: Said, path: str) -> float | None:
    try:
        number = float(said.texts.get(path, ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
