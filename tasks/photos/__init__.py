"""Photos: read what they say of themselves, and put them upright, in sRGB, at a standard size."""

from pathlib import Path
from typing import Any

from PIL import Image

from conf.dataset import SourceSpec
from conf.photos import ExifRecipe, StandardRecipe
from conf.runtime import Runtime
from storage.photos import (
    METHOD,
    exif_schema,
    standard_schema,
    write_bytes,
    write_jpeg,
    write_rows,
)
from storage.photos.exif import describe
from storage.readers.pixels import decode
from storage.store import Artifact
from tasks.dataset import Contents, open_part
from tasks.declaring import part_task
from tasks.lanes import run_lanes, spans
from tasks.progress import advance

Row = dict[str, Any]


@part_task
def read_exif(
    recipe: ExifRecipe, dataset: Artifact, *, part: str, source: SourceSpec, runtime: Runtime
) -> int:
    """Seal what the photos of `part` say of themselves, and return how many those are."""
    contents, draft = open_part(recipe, dataset, source, runtime)
    rows = []
    for content in draft.rows_of(part):
        data = contents.reader.read(content)
        facts = describe(data, max_megapixels=contents.max_megapixels)
        exif = facts.pop("exif")
        rows.append({"content_sha256": content, **facts, **exif, **(exif["gps"] or {})})
        advance(str(draft.key), 1)
    with draft.write_part(part) as writer:
        write_rows(writer, rows, exif_schema())
    return len(rows)


@part_task
def standardise(
    recipe: StandardRecipe, dataset: Artifact, *, part: str, source: SourceSpec, runtime: Runtime
) -> int:
    """Seal the upright and the standard JPEGs of the photos of `part`."""
    contents, draft = open_part(recipe, dataset, source, runtime)
    wanted = draft.rows_of(part)
    rows: list[Row] = [{} for _ in wanted]
    with draft.write_part(part) as writer:

        def one(span: slice) -> None:
            content = wanted[span.start]
            rows[span.start] = _write_standard(recipe, contents, content, writer.folder)
            advance(str(draft.key), 1)

        run_lanes(one, spans(len(wanted), 1), lanes=runtime.lanes, on_enter=lambda: None)
        write_rows(writer, rows, standard_schema())
    return len(wanted)


def _write_standard(recipe: StandardRecipe, contents: Contents, content: str, folder: Path) -> Row:
    data = contents.reader.read(content)
    limit, formats = contents.max_megapixels, contents.rows.formats
    image = decode(data, max_megapixels=limit, formats=formats, to_srgb=True)
    ranking, standard = f"{content}.jpg", f"{content}_{recipe.max_side_px}.jpg"
    facts = describe(data, max_megapixels=limit)
    if (facts["format"], facts["orientation"]) == (".jpg", 1):
        write_bytes(folder / ranking, data)  # upright already: not one bit is lost
    else:
        write_jpeg(folder / ranking, image, recipe.jpeg_quality)
    width_px, height_px = image.size
    image.thumbnail(
        (recipe.max_side_px, recipe.max_side_px), Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    write_jpeg(folder / standard, image, recipe.jpeg_quality)
    return {
        "content_sha256": content,
        "original_width_px": width_px,
        "original_height_px": height_px,
        "width_px": image.width,
        "height_px": image.height,
        "ranking": ranking,
        "standard": standard,
        "processing_method": METHOD,
    }
