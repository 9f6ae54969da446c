"""The weights on this machine, and how more of them get here: `models ls` and `models fetch`."""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from conf.errors import FeaturemillError, RecipeError
from conf.models import ModelSpec
from tasks.models import concept_clip, pocket, timm_files
from tasks.models.identity import LibraryMissing, WeightsMissing, title
from tasks.models.open_clip_files import (
    CONFIG_NAME,
    ORIGIN_NAME,
    WEIGHTS_NAMES,
    Found,
    find_files,
    home,
    tag_source,
)

_HUB = "hf-hub:"
_SMALL_FILES = ("*.json", "*.txt", "*.model")  # configuration, tokenizer, vocabulary

SUGGESTED = (
    "hf-hub:laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    "hf-hub:timm/ViT-SO400M-16-SigLIP2-384",
    "ViT-B-32/laion2b_s34b_b79k",
)
"""Models worth fetching first: a good one, a better one, a small one."""
CONCEPT_CLIP = "hf-hub:JerrryNie/ConceptCLIP"
"""Gated, and code of its own repository: it is fetched at a commit that the user has read."""


@dataclass(frozen=True)
class ModelRow:
    """One line of `models ls`."""

    name: str
    """What `models fetch` takes, and what a recipe says as name, or name/weights."""
    family: str
    present: bool
    path: Path | None
    """The weights file, or the directory where it is looked for."""
    size_bytes: int | None
    revision: str | None
    """The commit of the hub repository it came from."""
    remedy: str
    """What to do to have it; empty when it is there."""


class FetchFailed(FeaturemillError):
    """A download did not come to its end; calling again goes on where it stopped."""

    transient = True


Listing = Callable[[str, str | None], tuple[str, list[str]]]
"""Gives (commit, file names) of a repository at a revision."""
Download = Callable[[str, str, Path, list[str]], None]
"""Puts the named files of a repository at a commit into a directory."""


def list_models(models_root: Path) -> list[ModelRow]:
    """Return what is here (the pocket encoder, all of the models root) and what is suggested."""
    found = [_folder_row(folder) for folder in _folders(models_root)]
    known = {row.name for row in found}
    suggested = [_suggested_row(name, models_root) for name in SUGGESTED if name not in known]
    if CONCEPT_CLIP not in known:
        suggested.append(_missing_concept_clip(models_root))
    return [_pocket_row(), *found, *suggested]


def parse_name(name: str) -> tuple[str, str]:
    """Return (architecture or hub name, weights) of what the user calls a model.

    `hf-hub:org/repository` stands alone; otherwise it is `ARCHITECTURE/TAG` of open_clip.
    """
    if name.startswith(_HUB) and name.count("/") == 1:
        return name, "default"
    architecture, _, tag = name.rpartition("/")
    if not architecture or name.startswith(_HUB):
        raise RecipeError(
            f"{name!r} names no model that can be fetched. Say ARCHITECTURE/TAG, such as "
            f"{SUGGESTED[2]}, or hf-hub:ORGANISATION/REPOSITORY, such as {SUGGESTED[1]}."
        )
    return architecture, tag


def fetch(
    name: str,
    models_root: Path,
    *,
    revision: str | None = None,
    listing: Listing | None = None,
    download: Download | None = None,
) -> ModelRow:
    """Download a model into a directory of its own under the models root; return its row.

    Safetensors are taken where the repository has them. Raises RecipeError for an unknown name
    and FetchFailed, which may be retried, when the network or the repository refuses.
    """
    architecture, tag = parse_name(name)
    repo, wanted = _repository(architecture, tag)
    commit, files = (listing or _hub_listing)(repo, revision)
    weights = _best_weights(repo, files, wanted)
    # Code comes along only when a commit was named; it is run only with consent to that commit.
    kinds = (*_SMALL_FILES, *["*.py"] * (revision is not None))
    small = [file for file in files if any(fnmatch(file, one) for one in kinds)]
    folder = home(architecture, tag, models_root)
    folder.mkdir(parents=True, exist_ok=True)
    (download or _hub_download)(repo, commit, folder, [weights, *small])
    # Written last: a directory without it is one whose download never ended.
    origin = {"name": name, "repository": repo, "revision": commit, "weights": weights}
    (folder / ORIGIN_NAME).write_text(json.dumps(origin, indent=2) + "\n")
    return _folder_row(folder)


def _repository(architecture: str, tag: str) -> tuple[str, str]:
    """Return the hub repository of a model and the file in it that is meant, or ""."""
    if architecture.startswith(_HUB):
        return architecture.removeprefix(_HUB), ""
    repo, _, file = tag_source(architecture, tag).get("hf_hub", "").rpartition("/")
    if not repo:
        raise RecipeError(
            f"The weights {tag!r} of {architecture} lie in no hub repository. Download "
            f"{tag_source(architecture, tag).get('url')} yourself, save them as safetensors in a "
            'directory under the models root, and say weights = "local-dir:NAME".'
        )
    return repo, file


def _best_weights(repo: str, files: list[str], wanted: str) -> str:
    safe = Path(wanted).with_suffix(".safetensors").name if wanted else ""
    chosen = next((one for one in (safe, wanted, *WEIGHTS_NAMES) if one and one in files), None)
    if chosen is None:
        raise RecipeError(
            f"The repository {repo} has no weights that open_clip reads: looked for "
            f"{', '.join(WEIGHTS_NAMES)}; it has {', '.join(files[:10]) or 'no files'}."
        )
    return chosen


def _hub_listing(repo: str, revision: str | None) -> tuple[str, list[str]]:
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(repo, revision=revision)
    except _refusals() as error:
        raise _failed(repo, error) from error
    return str(info.sha), [file.rfilename for file in info.siblings or []]


def _hub_download(repo: str, commit: str, folder: Path, files: list[str]) -> None:
    from huggingface_hub import hf_hub_download

    try:
        for file in files:
            hf_hub_download(repo, file, revision=commit, local_dir=folder)
    except _refusals() as error:
        raise _failed(repo, error) from error


def _refusals() -> tuple[type[Exception], ...]:
    """Return what the hub's client raises.

    Its own errors are OSErrors; those of the library that it sends requests with (httpx, under
    the name this version of it has) are not.
    """
    from huggingface_hub import get_session

    requests = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    return (OSError, requests.HTTPError)


def _failed(repo: str, error: Exception) -> FetchFailed:
    reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return FetchFailed(
        f"{repo} could not be fetched from the hub: {reason}. Check the network, HF_HUB_OFFLINE "
        "and, for a gated model, HF_TOKEN; then call it again: what has come stays."
    )


def _folders(models_root: Path) -> list[Path]:
    if not models_root.is_dir():
        return []
    return sorted(folder for folder in models_root.iterdir() if folder.is_dir())


def _folder_row(folder: Path) -> ModelRow:
    record = folder / ORIGIN_NAME
    origin = json.loads(record.read_text()) if record.is_file() else {}
    spec = ModelSpec(family=_family(folder), weights=f"local-dir:{folder.name}", precision="fp32")
    try:
        weights = _weights_of(spec, folder, origin.get("weights"))
    except FeaturemillError as error:
        name = origin.get("name", spec.weights)
        return ModelRow(name, spec.family, False, folder, None, None, str(error))
    size_bytes = weights.stat().st_size
    name, revision = origin.get("name", spec.weights), origin.get("revision")
    return ModelRow(name, spec.family, True, weights, size_bytes, revision, "")


def _family(folder: Path) -> str:
    """Return the adapter that reads a directory: code of a repository is concept_clip's, a
    config.json that names an architecture alone is timm's."""
    config = folder / "config.json"
    if (folder / CONFIG_NAME).is_file() or not config.is_file():
        return "open_clip"
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return "open_clip"
    if not isinstance(said, dict):
        return "open_clip"
    if isinstance(said.get("architecture"), str) and "pretrained_cfg" in said:
        return "timm"
    return "concept_clip" if "auto_map" in said else "open_clip"


def _missing_concept_clip(models_root: Path) -> ModelRow:
    folder = home(CONCEPT_CLIP, "default", models_root)
    remedy = f"featuremill models fetch {CONCEPT_CLIP} --revision COMMIT"
    return ModelRow(CONCEPT_CLIP, "concept_clip", False, folder, None, None, remedy)


def _weights_of(spec: ModelSpec, folder: Path, file: str | None) -> Path:
    if file and (folder / file).is_file():
        return folder / file
    if spec.family == "timm":
        path = timm_files.find_files(spec, folder.parent).weights
        assert path is not None  # a directory is never random
        return path
    if spec.family == "concept_clip":
        names = concept_clip.WEIGHTS
        if path := next((folder / name for name in names if (folder / name).is_file()), None):
            return path
        remedy = f"Fetch them with `featuremill models fetch {CONCEPT_CLIP} --revision COMMIT`."
        raise WeightsMissing(title(spec), [folder / name for name in names], remedy)
    found: Found = find_files(spec, folder.parent)
    assert found.weights is not None  # a directory is never random
    return found.weights


def _suggested_row(name: str, models_root: Path) -> ModelRow:
    architecture, tag = parse_name(name)
    spec = ModelSpec(family="open_clip", name=architecture, weights=tag, precision="fp32")
    remedy = f"featuremill models fetch {name}"
    try:
        found = find_files(spec, models_root)
    except LibraryMissing as error:
        return ModelRow(name, spec.family, False, None, None, None, str(error))
    except WeightsMissing:
        folder = home(architecture, tag, models_root)
        return ModelRow(name, spec.family, False, folder, None, None, remedy)
    size_bytes = found.weights.stat().st_size if found.weights else None
    return ModelRow(name, spec.family, True, found.weights, size_bytes, found.revision, "")


def _pocket_row() -> ModelRow:
    try:
        files = pocket.weight_files()
    except LibraryMissing as error:
        return ModelRow("pocket", "pocket", False, None, None, None, str(error))
    size_bytes = sum(path.stat().st_size for path in files.values())
    return ModelRow("pocket", "pocket", True, files["image"], size_bytes, None, "")
