"""`featuremill concepts ACTION STORE`: look into a concept store, ask it, and tidy a file of one's
own. STORE is an artifact's key or name, or the path of an HDF5 file.
"""

import argparse
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.errors import RecipeError
from flows.cli import DONE, print_json, runtime_of

if TYPE_CHECKING:
    from storage.concepts import ConceptFile, ConceptStore

HELP = "look into a concept store: samples, prompts, search, heatmaps, explanations"
_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to do, with which store, and what to ask for."""
    parser.add_argument("action", choices=sorted(_ACTIONS), help="what to do")
    parser.add_argument("name", metavar="STORE", help="an artifact's key or name, or an HDF5 file")
    parser.add_argument("--index", type=int, default=0, help="sample: the row (default: 0)")
    parser.add_argument("--split", help="batch: the split (default: all rows)")
    parser.add_argument(
        "--rows", default="0:10", help="batch: places in the split, such as 0:10 or 3"
    )
    parser.add_argument(
        "--type", default="cls", choices=("cls", "tokens", "both"), help="batch: which features"
    )
    parser.add_argument("--template", help="fetch: a template id, a prefix, concept or label")
    parser.add_argument(
        "--concept", action="append", help="fetch, search, heatmap: a concept or label by its name"
    )
    parser.add_argument("--tokens", action="store_true", help="fetch, validate: tokens, too")
    parser.add_argument("--metadata", type=Path, help="validate: a table that is to fit the store")
    parser.add_argument("--text", help="search: a concept, label or prompt of the store")
    parser.add_argument("--encode", action="store_true", help="search: encode --text by the model")
    parser.add_argument("--image", help="search, heatmap, explain: an image by its name or row")
    parser.add_argument("--picture", type=Path, help="heatmap: the picture's file")
    parser.add_argument(
        "--images-in", type=Path, help="heatmap: the source's folder, table or archive, if moved"
    )
    parser.add_argument("--out", type=Path, help="heatmap: the PNG; of several, a folder")
    parser.add_argument("--top", type=int, default=10, help="search, explain: how many")
    parser.add_argument(
        "--least-cosine", type=float, default=0.99, help="duplicates: how near (default: 0.99)"
    )


def run(given: argparse.Namespace) -> int:
    """Do one thing with one concept store."""
    if given.top < 1:
        raise RecipeError(f"--top {given.top} asks for nothing: it is 1 or more.")
    content = _ACTIONS[given.action](given)
    if given.json:
        print_json(content)
    return DONE


def _open(given: argparse.Namespace) -> "ConceptFile":
    from storage.concepts import ConceptFile

    if Path(given.name).expanduser().is_file():
        return ConceptFile(given.name)
    return _open_artifact(given)


def _open_artifact(given: argparse.Namespace) -> "ConceptStore":
    from storage.concepts import ConceptStore
    from storage.store import ArtifactStore

    if Path(given.name).suffix in (".h5", ".hdf5"):
        raise RecipeError(
            f"{given.name} is a file of its own, or is not there; {given.action} needs the key or "
            "name of a store that a run made. `featuremill ls concept-store` lists them."
        )
    store = ArtifactStore(runtime_of(given).store, create=False)
    artifact = store.resolve(given.name)
    if artifact.kind != "concept-store":
        raise RecipeError(
            f"{artifact.key} is no concept store. `featuremill ls concept-store` lists those."
        )
    return ConceptStore(store, artifact)


def _summarize(given: argparse.Namespace) -> Any:
    from storage.concepts import summarize_h5

    return summarize_h5(_open(given).path, show=not given.json)


def _sample(given: argparse.Namespace) -> Any:
    from storage.concepts import access_sample_by_index

    sample = access_sample_by_index(_open(given).path, given.index)
    return _tell(given, sample)


def _batch(given: argparse.Namespace) -> Any:
    from storage.concepts import access_batch

    path = _open(given).path
    batch = access_batch(path, given.split, _places(given.rows), given.type)
    columns: dict[str, Any] = {
        "ids": batch.ids.tolist(),
        "labels": batch.labels.tolist(),
        "splits": list(batch.splits),
    }
    arrays = {"image_features": batch.features, "image_token_features": batch.tokens}
    read = {name: array for name, array in arrays.items() if array is not None}
    return _tell(given, columns | read)


def _places(text: str) -> int | slice:
    parts = text.split(":")
    try:
        numbers = [int(part) if part else None for part in parts]
        if len(numbers) == 1 and numbers[0] is not None:
            return numbers[0]
        return slice(*numbers)
    except (ValueError, TypeError):
        raise RecipeError(f"--rows {text!r} is neither a place, such as 3, nor 0:10.") from None


def _templates(given: argparse.Namespace) -> Any:
    from storage.concepts import get_template_names

    names = get_template_names(_open(given).path, given.template or "")
    if not given.json:
        print("\n".join(names) or "There are no templates.")
    return names


def _fetch(given: argparse.Namespace) -> Any:
    from storage.concepts import fetch_template_features

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = fetch_template_features(
            _open(given).path,
            given.template,
            concept_list=given.concept,
            features="tokens" if given.tokens else "pooled",
        )
    for warning in told:
        print(warning.message, file=sys.stderr)
    content = {
        name: {"names": one.names, "texts": one.texts, "features": one.features}
        for name, one in found.items()
    }
    if not given.json:
        for name, one in found.items():
            print(f"{name}: features {one.features.shape}")
            print("\n".join(f"  {text}" for text in one.texts))
    return content


def _clear(given: argparse.Namespace) -> Any:
    from storage.concepts import clear_all_templates

    path = Path(given.name)
    names = clear_all_templates(path if path.is_file() else _open(given).path)
    if not given.json:
        print(f"{len(names)} templates removed: {', '.join(names) or 'there were none'}")
    return names


def _validate(given: argparse.Namespace) -> Any:
    from storage.concepts import check_metadata, validate_h5

    path = _open(given).path
    summary = validate_h5(path, tokens=given.tokens, show=not given.json)
    if given.metadata:
        columns = check_metadata(path, given.metadata)
        summary["metadata_columns"] = columns
        if not given.json:
            print(f"{given.metadata} fits, row by row: {columns} columns compared")
    return summary


def _search(given: argparse.Namespace) -> Any:
    from tasks.concepts.asking import search_image, search_text, search_vectors
    from tasks.pages.concepts import hit_rows
    from tasks.pages.tables import as_text

    text = given.text or (given.concept or [None])[0]
    if (text is None) == (given.image is None):
        raise RecipeError("search needs one of --text, --concept and --image.")
    if text is not None and given.encode:
        from tasks.concepts.encoding import encode_text

        store = _open_artifact(given)
        hits = search_vectors(store, encode_text(store, text, runtime_of(given)), given.top)
    elif text is not None:
        hits = search_text(_open(given), text, given.top)
    else:
        hits = search_image(_open(given), given.image, given.top)
    if not given.json:
        print(as_text(*hit_rows(hits)))
    return [asdict(hit) for hit in hits]


def _heatmap(given: argparse.Namespace) -> Any:
    from storage.concepts import ConceptStore
    from tasks.concepts.heatmaps import concept_heatmap, overlay, picture_from, picture_of, save_png

    if not given.image or not given.concept or not given.out:
        raise RecipeError("heatmap needs --image, --concept and --out.")
    store = _open(given)
    if given.picture:
        picture = picture_from(given.picture)
    elif isinstance(store, ConceptStore):
        picture = picture_of(store, given.image, runtime_of(given), given.images_in)
    else:
        raise RecipeError("A file of its own knows no pictures: name the picture with --picture.")
    told = []
    stems: list[str] = []
    for concept in given.concept:
        heatmap = concept_heatmap(store, given.image, concept)
        stems.append(_stem(f"{store.row_named(given.image):06d}-{concept}"))
        out = _picture_path(given, stems)
        save_png(overlay(heatmap, picture), out)
        told.append({"concept": concept, "out": str(out), "cosines": heatmap.cosines.tolist()})
        if not given.json:
            print(f"{concept!r} in {heatmap.name} is in {out}")
    return told


def _stem(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name).strip("-").lower()


def _picture_path(given: argparse.Namespace, stems: list[str]) -> Path:
    """Return where the last picture goes: --out itself for one concept, a file in it for several;
    of names that come out the same, the later ones are numbered."""
    out: Path = given.out
    if len(given.concept) == 1 and not out.is_dir():
        return out
    out.mkdir(parents=True, exist_ok=True)
    same = stems.count(stems[-1])
    return out / (f"{stems[-1]}-{same}.png" if same > 1 else f"{stems[-1]}.png")


def _explain(given: argparse.Namespace) -> Any:
    from tasks.concepts.asking import explain, probe_of
    from tasks.pages.concepts import explanation_text

    if not given.image:
        raise RecipeError("explain needs --image.")
    store = _open_artifact(given)
    scores, probe = probe_of(store.store, store.artifact)
    found = explain(store, scores, probe, given.image, min(given.top, 10))
    if not given.json:
        print(explanation_text(found))
    return asdict(found)


def _duplicates(given: argparse.Namespace) -> Any:
    from tasks.concepts.asking import duplicates
    from tasks.pages.concepts import twin_rows
    from tasks.pages.tables import as_text

    found = duplicates(_open(given), given.least_cosine)
    if not given.json:
        print(as_text(*twin_rows(found)) if found else "No image is in two splits.")
    return [asdict(pair) for pair in found]


def _tell(given: argparse.Namespace, content: dict[str, Any]) -> Any:
    if not given.json:
        for name, value in content.items():
            print(f"{name:<22} {_short(value)}")
    return content


def _short(value: Any) -> str:
    if isinstance(value, list):
        return _shown((len(value),), [str(one) for one in value[:_SHOWN]], len(value))
    if hasattr(value, "shape"):
        row = value.reshape(-1, value.shape[-1])[0] if value.size else value.ravel()
        return _shown(value.shape, [f"{number:.4f}" for number in row[:_SHOWN]], len(row))
    return str(value)


def _shown(shape: tuple[int, ...], first: list[str], count: int) -> str:
    more = ", ..." if count > len(first) else ""
    return f"{' x '.join(map(str, shape))}: {', '.join(first)}{more}"


_ACTIONS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "summarize": _summarize,
    "sample": _sample,
    "batch": _batch,
    "templates": _templates,
    "fetch": _fetch,
    "clear": _clear,
    "validate": _validate,
    "search": _search,
    "heatmap": _heatmap,
    "explain": _explain,
    "duplicates": _duplicates,
}
