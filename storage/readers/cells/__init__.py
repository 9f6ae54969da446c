"""Rendered scenes of a blood smear, as rows: a scene is drawn when it is read."""

from pathlib import Path

from conf.sources.cells import Source
from storage.readers.arrays import ArrayRows
from storage.readers.cells.scene import VERSION, picture
from storage.readers.protocol import Entry, Stamp


def open_source(spec: Source, roots: tuple[Path, ...]) -> ArrayRows:
    """Return the scenes. `roots` plays no part: nothing is read but the seed."""
    # No file lies behind a scene. What decides its pixels stands for one, so that a scene that
    # was hashed once is not drawn again to learn its hash.
    stamp = Stamp(f"cells-{VERSION}-{spec.seed}-{spec.size_px}", 3 * spec.size_px**2, mtime_ns=0)

    def entries() -> list[Entry]:
        return [
            Entry(
                uri := uri_of_scene(at),
                "test" if at % 5 == 4 else "train",
                stamp=stamp._replace(member=uri),
            )
            for at in range(min(spec.count, spec.limit or spec.count))
        ]

    return ArrayRows(entries, lambda: stamp, lambda uri: picture(spec.seed, int(uri), spec.size_px))


def uri_of_scene(number: int) -> str:
    """Return the name of a scene's row, "00042"; `int` takes it back."""
    return f"{number:05d}"
