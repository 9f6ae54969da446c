"""Images in one NumPy archive, laid out as MedMNIST does: train_images, train_labels and so on."""

import lzma
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.errors import did_you_mean
from conf.sources.npz import Source
from storage.readers.arrays import ArrayRows, is_image_shape
from storage.readers.files import require, stamp_file, why_unreadable
from storage.readers.protocol import Entry, SourceUnusable, Stamp, Unreadable

SPLITS = ("train", "val", "test")
_MAX_LABEL = (1 << 63) - 1
# RuntimeError: the archive is encrypted, or packed in a way that is not known here.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, EOFError, RuntimeError)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


class _Unusable(SourceUnusable):
    """The same as a reason of a row in `why`: where the archive lies must not reach a ledger."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text)
        self.why = why


class _Split(NamedTuple):
    stamp: Stamp
    pixels: NDArray[np.uint8]


def open_source(spec: Source, roots: tuple[Path, ...]) -> ArrayRows:
    """Return the rows of the archive `spec.path`; raises SourceMissing when there is none.

    `roots` plays no part: an archive refers to nothing outside it.
    """
    archive = Archive(require(spec.path, "archive"), spec)
    return ArrayRows(archive.entries, archive.stamp, archive.pixels)


class Archive:
    """An archive of arrays; a split is unpacked when its first image is asked for, then kept."""

    def __init__(self, path: Path, spec: Source) -> None:
        self._path = path
        self._spec = spec
        self._lock = threading.Lock()
        self._images: dict[str, _Split] = {}

    def stamp(self) -> Stamp:
        """Return the archive's stamp as it is now; raises Unreadable."""
        return stamp_file(str(self._path))

    def entries(self) -> list[Entry]:
        """Return the rows of all splits, in the order train, val, test; images stay packed.

        Raises SourceUnusable for an archive that is not laid out as MedMNIST's are.
        """
        stamp = self.stamp()
        with self._opened() as archive:
            self._refuse_without_images(archive)
            rows = [
                Entry(uri, split, label, stamp=stamp._replace(member=uri))
                for split in SPLITS
                for uri, label in self._listed(archive, split)
            ]
        return rows[: self._spec.limit]

    def pixels(self, uri: str) -> NDArray[np.uint8]:
        """Return the image "train/00012", uint8 (height, width) or (height, width, 3)."""
        split, _, number = uri.partition("/")
        images = self._split(split)
        if not number.isdigit() or int(number) >= len(images):
            raise Unreadable(f"gone: the archive has no row {uri}")
        image: NDArray[np.uint8] = images[int(number)]
        return image

    def _split(self, split: str) -> NDArray[np.uint8]:
        with self._lock:
            stamp = self.stamp()
            if split not in self._images or self._images[split].stamp != stamp:
                self._images[split] = _Split(stamp, self._unpack(split))
            return self._images[split].pixels

    def _unpack(self, split: str) -> NDArray[np.uint8]:
        name = f"{split}_images"
        try:
            with self._opened() as archive:
                self._image_header(archive, name)
                with archive.open(f"{name}.npy") as file:
                    images: NDArray[np.uint8] = np.lib.format.read_array(file, allow_pickle=False)
        except KeyError as error:
            raise Unreadable(f"gone: the archive has no {name}") from error
        except _Unusable as error:
            raise Unreadable(f"broken: {error.why}") from error
        # One channel is one channel, whether or not an axis says so.
        return images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images

    def _listed(self, archive: zipfile.ZipFile, split: str) -> Iterator[tuple[str, int]]:
        name = f"{split}_images"
        if f"{name}.npy" not in archive.namelist():
            return
        count = self._image_header(archive, name).shape[0]
        labels = self._labels(archive, f"{split}_labels", count)
        for number in range(count):
            yield f"{split}/{number:05d}", labels[number] if labels else -1

    def _image_header(self, archive: zipfile.ZipFile, name: str) -> _Header:
        header = self._header(archive, name)
        shape = header.shape[1:]
        grey = shape[:2] if len(shape) == 3 and shape[2] == 1 else shape
        if header.dtype != np.uint8 or not is_image_shape(grey):
            raise self._unusable(
                name,
                f"it is {header.dtype} {header.shape}; images are uint8 (N, height, width), "
                "(N, height, width, 1) or (N, height, width, 3)",
            )
        return header

    def _labels(self, archive: zipfile.ZipFile, name: str, count: int) -> list[int] | None:
        if not self._spec.labels or f"{name}.npy" not in archive.namelist():
            return None
        header = self._header(archive, name)
        if header.shape not in ((count,), (count, 1)) or header.dtype.kind not in "iu":
            raise self._unusable(
                name,
                f"it is {header.dtype} {header.shape}; labels are whole numbers, one an image, "
                f"({count}, 1). Set labels = false to do without them",
            )
        with archive.open(f"{name}.npy") as file:
            labels = np.lib.format.read_array(file, allow_pickle=False).reshape(count).tolist()
        if outside := [label for label in labels if not -1 <= label <= _MAX_LABEL]:
            raise self._unusable(
                name,
                f"it holds {outside[0]}; a label is a whole number from 0 to {_MAX_LABEL}, and -1 "
                "says there is none",
            )
        return [int(label) for label in labels]

    def _header(self, archive: zipfile.ZipFile, name: str) -> _Header:
        """Return shape and type of an array that is safe to unpack."""
        with archive.open(f"{name}.npy") as file:
            header, header_bytes = _read_header(file)
        if header.dtype.hasobject:
            raise self._unusable(name, "it holds Python objects, and loading those runs code")
        declared = archive.getinfo(f"{name}.npy").file_size
        if declared != header_bytes + header.size_bytes:
            raise self._unusable(name, f"{declared} bytes are packed, {header} needs others")
        if declared > self._spec.max_gigabytes * 1e9:
            raise self._unusable(
                name,
                f"it unpacks to {declared / 1e9:.1f} GB, the limit max_gigabytes is "
                f"{self._spec.max_gigabytes:g}",
            )
        return header

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # bz2's, of damaged data, has none
                raise Unreadable(why_unreadable(error)) from error
            why = f"is not a NumPy archive, or is damaged: {error}"
            raise _Unusable(
                f"{self._path} {why}. Make or fetch it again.", f"the archive {why}"
            ) from error

    def _refuse_without_images(self, archive: zipfile.ZipFile) -> None:
        names = [os.path.splitext(name)[0] for name in archive.namelist()]
        if not any(f"{split}_images" in names for split in SPLITS):
            raise SourceUnusable(
                f"{self._path} has none of train_images, val_images and test_images. "
                f"{did_you_mean('train_images', names)}"
            )

    def _unusable(self, name: str, why: str) -> "_Unusable":
        why = f"cannot be used: {why}"
        return _Unusable(f"{name} of {self._path} {why}.", f"{name} {why}")


def _read_header(file: IO[bytes]) -> tuple[_Header, int]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of NumPy's format is not read here")
    read = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return _Header(shape, dtype), file.tell()
