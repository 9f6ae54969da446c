"""Labels in COCO's JSON format: boxes, polygons, run lengths plain and compressed, crowds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from conf.annotations import CocoLabels
from conf.dataset import SourceSpec
from storage.annotations.collecting import Box, Collected, Image, Labels, Ring, images_of
from storage.annotations.rle import Rle, box_of, decode, decompress
from storage.annotations.truth import Annotations
from storage.dataset.ledger import Ledger
from storage.readers.files import Fence, read_file, require
from storage.readers.protocol import SourceUnusable, Unreadable

Json = dict[str, Any]


def read(
    labels: CocoLabels, source: SourceSpec, ledger: Ledger, roots: tuple[Path, ...]
) -> Annotations:
    """Return what the JSON file says of the images of `ledger`.

    An image that it lists without annotations is known to be empty. Raises SourceMissing and
    SourceUnusable when the file is not there, is no JSON or is not COCO's.
    """
    path = require(labels.path, "file of labels")
    content = _content(path, roots)
    return _Reading(path.name, content, images_of(ledger)).annotations()


def _content(path: Path, roots: tuple[Path, ...]) -> Json:
    try:
        read = json.loads(read_file(Fence(path.parent, *roots).resolve(str(path))))
    except Unreadable as error:
        raise SourceUnusable(f"{path} is {error.reason}.") from error
    except (ValueError, RecursionError) as error:
        raise SourceUnusable(f"{path} is not JSON: {error}.") from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(read, dict) or not _are_objects(read.get(name)):
            raise SourceUnusable(
                f"{path} is not in COCO's format: it lacks the list {name!r} of objects. A file of "
                "detections has none; the file of labels is meant, such as instances_val2017.json."
            )
    found: Json = read
    return found


def _are_objects(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(item, dict) for item in found)


class _Reading:
    """One JSON file, on the way to annotations."""

    def __init__(self, file: str, content: Json, images: list[Image]) -> None:
        self._file, self._content = file, content
        categories = sorted(content["categories"], key=lambda category: str(category.get("id")))
        categories.sort(key=lambda category: _whole(category.get("id")) or 0)
        self._places = {_hashable(category.get("id")): at for at, category in enumerate(categories)}
        names = [str(category.get("name")) for category in categories]
        above = [category.get("supercategory") for category in categories]
        self._collected = Collected(names, [str(n) for n in above] if all(above) else None)
        self._by_end = _by_end(images)

    def annotations(self) -> Annotations:
        """Return what the file says."""
        objects: dict[Any, list[Json]] = {}
        for item in self._content["annotations"]:
            objects.setdefault(_hashable(item.get("image_id")), []).append(item)
        strangers = []
        for listed in self._content["images"]:
            found = objects.pop(_hashable(listed.get("id")), [])
            images = self._by_end.get(_file_name(listed), [])
            if not images:
                strangers.append(_file_name(listed))
            elif len(images) > 1:
                self._fault(
                    None,
                    f"ambiguous: {_file_name(listed)!r} ends the names of "
                    f"{len(images)} images, such as {images[0].uri} and {images[1].uri}",
                )
            else:
                self._read_image(listed, images[0], found)
        self._tell_rest(strangers, objects)
        return self._collected.annotations()

    def _tell_rest(self, strangers: list[str], objects: dict[Any, list[Json]]) -> None:
        if strangers:
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            self._fault(None, f"no such image: the dataset holds no {strangers[0]!r}{more}")
        for item in (item for rest in objects.values() for item in rest):
            image_id = item.get("image_id")
            self._fault(
                _whole(item.get("id")), f"no such image: the file lists none of id {image_id!r}"
            )

    def _fault(self, line: int | None, reason: str) -> None:
        self._collected.fault(self._file, line, "refused", reason)

    def _read_image(self, listed: Json, image: Image, items: list[Json]) -> None:
        found = self._collected.of(image, self._file)
        size = listed.get("width"), listed.get("height")
        if None not in size and size != found.size_px:
            said, is_now = "{} x {}".format(*size), "{} x {}".format(*found.size_px)
            found.refuse(
                None,
                f"another size: {image.uri} has {is_now} px upright, the labels are "
                f"of one of {said}",
            )
            items = []
        for item in items:
            line = _whole(item.get("id"))
            try:
                self._read_object(item, line, found)
            except (TypeError, ValueError, KeyError, OverflowError) as error:
                found.refuse(line, f"not an object of COCO: {error}")
        found.close()

    def _read_object(self, item: Json, line: int | None, found: Labels) -> None:
        if item.get("iscrowd"):
            found.refuse(line, "crowd: a region of many objects is no object")
            return
        place = self._places.get(_hashable(item.get("category_id")))
        if place is None:
            known = ", ".join(str(number) for number in list(self._places)[:10])
            category = item.get("category_id")
            found.refuse(line, f"class out of range: category {category!r}, known are {known}")
            return
        box = _box(item["bbox"]) if "bbox" in item else None
        shape = item.get("segmentation")
        if isinstance(shape, dict):
            _add_runs(shape, line, place, box, found)
        elif shape:
            found.add_polygons(line, place, list(_rings(shape)), box)
        elif box is None:
            found.refuse(line, "no box: the object has neither a bbox nor a segmentation")
        else:
            found.add_box(line, place, box)


def _add_runs(shape: Json, line: int | None, place: int, box: Box | None, found: Labels) -> None:
    counts = shape["counts"]
    runs = decompress(counts) if isinstance(counts, str) else [int(count) for count in counts]
    height_px, width_px = (int(side) for side in shape["size"])
    if (width_px, height_px) != found.size_px:
        found.refuse(
            line,
            f"another size: a mask of {width_px} x {height_px} px of an image of "
            "{} x {} px".format(*found.size_px),
        )
        return
    mask = Rle(size=[height_px, width_px], counts=runs)
    tight = box_of(decode(mask))  # says what is wrong with the runs
    if tight is None:
        found.refuse(line, "empty mask: its runs hold no pixel")
        return
    x1, y1, x2, y2 = tight.astype(np.float64).tolist()
    found.add_box(line, place, box or (x1, y1, x2, y2), mask)


def _rings(shape: Any) -> Iterator[Ring]:
    for ring in shape:
        if len(ring) % 2:
            raise ValueError(f"a polygon of {len(ring)} coordinates, an odd number")
        yield np.array(ring, dtype=np.float64).reshape(-1, 2)


def _box(values: Any) -> Box:
    x, y, width, height = (float(value) for value in values)
    return x, y, x + width, y + height


def _by_end(images: list[Image]) -> dict[str, list[Image]]:
    """Return the images by their uris and by every end of these: "val/a.jpg" and "a.jpg"."""
    found: dict[str, list[Image]] = {}
    for image in images:
        parts = image.uri.split("/")
        for start in range(len(parts)):
            found.setdefault("/".join(parts[start:]), []).append(image)
    # A whole uri is meant before the end of a longer one.
    return found | {image.uri: [image] for image in images}


def _file_name(listed: Json) -> str:
    return str(listed.get("file_name", "")).removeprefix("./")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _hashable(value: object) -> Any:
    return value if isinstance(value, int | str) else repr(value)
