"""`featuremill show KEY`: one artifact, its recipe, inputs and files."""

import argparse
import json

from flows.cli import DONE, print_json, runtime_of
from storage.store import ArtifactStore

HELP = "show one artifact: its recipe, what it was made of, its files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the artifact's name."""
    parser.add_argument("key", help="a key, the start of one, or a name such as demo/photo-labels")


def run(given: argparse.Namespace) -> int:
    """Print the manifest of one artifact."""
    from conf.units import size

    store = ArtifactStore(runtime_of(given).store, create=False)
    artifact = store.resolve(given.key)
    manifest = store.manifest(artifact.key)
    path = store.path_of(artifact)
    if given.json:
        print_json(manifest.as_json() | {"path": str(path)})
        return DONE
    print(f"{artifact.key}\n  at      {path}")
    print(f"  rows    {manifest.held_rows:,} in {size(manifest.size_bytes)}")
    for title, facts in (("recipe", manifest.recipe), ("inputs", manifest.inputs)):
        print(f"  {title}  {json.dumps(facts, ensure_ascii=False)[:2000]}")
    print(f"  made    {json.dumps(manifest.made, ensure_ascii=False)}")
    for name, sums in sorted(manifest.files.items()):
        print(f"  file    {name}  {sums.size_bytes:,} bytes  BLAKE3 {sums.blake3[:16]}...")
    print(f'\nIn Python: from storage.open import open_artifact; open_artifact("{given.key}")')
    return DONE
