"""The files that a map leaves beside the vectors, under the seed's names."""

from collections.abc import Iterable
from pathlib import Path

from conf.projection import Method, Preset
from storage.atomic import make_directory, write_file
from storage.projection.errors import OutputsExist
from storage.projection.maps import COORDS, PAGE, MapFiles


def output_paths(folder: Path, prefix: str, method: str) -> tuple[Path, Path]:
    """Return where the coordinates and the page of a map go: `vis_umap_coords.npy`,
    `vis_umap.html`."""
    return folder / f"{prefix}_{method}_{COORDS}", folder / f"{prefix}_{method}.html"


def output_folder(preset: Preset) -> Path | None:
    """Return the folder that outputs go to beside the store: that of the vectors, unless told."""
    if preset.out or preset.vectors is None or preset.vectors.path is None:
        return preset.out
    path = preset.vectors.path
    return path if path.is_dir() else path.parent


def refuse_existing(preset: Preset, methods: Iterable[Method]) -> None:
    """Raise OutputsExist where an output is there already and may not be written over."""
    folder = output_folder(preset)
    if folder is None or preset.overwrite:
        return
    paths = [p for one in methods for p in output_paths(folder, preset.out_prefix, one.method)]
    found = [path.name for path in paths if path.exists()]
    if found:
        raise OutputsExist(
            f"{', '.join(found)} in {folder} would be written over. Say --overwrite, or take "
            "another --out_prefix."
        )


def write_outputs(
    coordinates: MapFiles, page: MapFiles, folder: Path, prefix: str, method: str
) -> tuple[Path, Path]:
    """Write coordinates (N, 2) float32 and the page, each whole or not at all; return where."""
    make_directory(folder)
    paths = output_paths(folder, prefix, method)
    for path, source in zip(paths, (coordinates.folder / COORDS, page.folder / PAGE), strict=True):
        write_file(path, source.read_bytes())
    return paths
