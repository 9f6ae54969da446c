"""A home page that is really served, over a store with hostile names, labels, scores and boxes."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from PIL import Image

from benchmarks._making import TOY, image_making, image_recipe, keep_dataset, quiet_runtime
from conf.detections import DetectionRecipe
from conf.labels import LabelRecipe
from conf.prompts import PromptRecipe, PromptSet
from conf.quality import NoiseRecipe
from conf.runtime import Runtime
from conf.sources.folder import Source
from flows.web.app import create_app
from flows.web.guard import Guard
from flows.web.server import listen
from storage.detections.parts import Found, ModelCard, images_schema, write_part
from storage.drafts import Draft, Making
from storage.projection.maps import write_facts
from storage.publishing import driving, seal
from storage.quality import score_schema
from storage.runs import Runs
from storage.store import Artifact, ArtifactStore
from tasks.images import encode_part
from tasks.labels import label_images
from tasks.prompts import encode_prompts

HOSTILE = "<script>window.hurt=1</script>\"'><img src=x onerror=window.hurt=1>"
PHOTOS = 5
"""Two red, two green, and one whose name tries to be HTML."""


class Served:
    """A served store, with its keys by name and a client that asks for it."""

    def __init__(self, runtime: Runtime, keys: dict[str, str], address: str) -> None:
        self.runtime, self.keys, self.address = runtime, keys, address
        self.client = httpx.Client(base_url=address, timeout=30)

    def text(self, path: str, code: int = 200, **query: Any) -> str:
        """Return the page at `path`, where names in braces are keys."""
        answer = self.client.get(path.format(**self.keys), params=query)
        assert answer.status_code == code, answer.text
        return answer.text

    def code(self, path: str) -> int:
        """Return the status of exactly this path: other clients take dots out before they ask."""
        with closing(HTTPConnection(self.address.removeprefix("http://"), timeout=30)) as asked:
            asked.request("GET", path)
            with asked.getresponse() as answer:
                return answer.status


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runtime, dict[str, str]]:
    """Return a store with everything that the home page shows, and the keys in it."""
    folder = tmp_path_factory.mktemp("home")
    return fill(folder)


@pytest.fixture(scope="session")
def served(filled: tuple[Runtime, dict[str, str]]) -> Iterator[Served]:
    """Return the store of `filled`, served on a free port of the loopback."""
    runtime, keys = filled
    with serving(runtime) as address:
        served = Served(runtime, keys, address)
        with served.client:
            yield served


class serving:  # used as a context manager
    """Serves a store in a thread, by the same server as the command."""

    def __init__(self, runtime: Runtime) -> None:
        self._app = create_app(runtime)

    def __enter__(self) -> str:
        self._socket = listen(0)
        port = self._socket.getsockname()[1]
        settings = uvicorn.Config(
            Guard(self._app, port), log_level="error", server_header=False, ws="none"
        )
        self._server = uvicorn.Server(settings)
        given = {"sockets": [self._socket]}
        self._thread = threading.Thread(target=self._server.run, kwargs=given)
        self._thread.start()
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *problem: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def fill(folder: Path) -> tuple[Runtime, dict[str, str]]:
    photos = folder / "photos"
    for number in range(PHOTOS - 1):
        colour = [(230, 20, 20), (20, 230, 20)][number % 2]
        pixels = np.full((40, 60, 3), colour, np.uint8)
        pixels[0, number] = 255  # each file has other bytes
        place = photos / ("red", "green")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    Image.new("RGB", (8, 8), (10, 10, 200)).save(photos / "red" / f"{HOSTILE.replace('/', '')}.png")
    (photos / "green" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno more than that")
    runtime = quiet_runtime(folder / "store", part_rows=2)
    store = ArtifactStore(runtime.store)
    source = Source(root=photos, label_from="folder")
    dataset, ledger = keep_dataset(source, runtime)
    recipe = image_recipe(TOY, runtime)
    images = image_making(recipe, ledger)
    features = make(
        store, images, lambda d, p: encode_part.fn(
            recipe, dataset, part=p, source=source, runtime=runtime
        ), dataset=dataset.key,
    )  # fmt: skip
    said = PromptSet(templates=("a photo of {}",), vocabulary=("rose", "meadow", HOSTILE))
    saying = PromptRecipe(model=recipe.model, prompts=said)
    texts = Making(saying, {}, said.vocabulary)
    prompts = make(store, texts, lambda d, p: encode_prompts.fn(saying, part=p, runtime=runtime))
    inputs = {"images": store.key_of(features), "prompts": store.key_of(prompts)}
    labelling = LabelRecipe(top=3)
    best = Making(labelling, inputs, ledger.contents)
    labels = make(
        store, best,
        lambda d, p: label_images.fn(labelling, features, prompts, part=p, runtime=runtime),
    )  # fmt: skip
    keys = {"dataset": dataset, "features": features, "prompts": prompts, "labels": labels}
    keys |= {"noise": noise(store, ledger), "detections": detections(store, ledger)}
    for name, artifact in keys.items():
        store.refs.set(f"home/{name}", artifact.key)
    store.refs.set(HOSTILE.replace("/", "|"), labels.key)
    record(store, source, runtime, keys)
    return runtime, {name: artifact.key for name, artifact in keys.items()}


def make(
    store: ArtifactStore, making: Making, part_task: Callable[[Draft, str], Any], **made: Any
) -> Artifact:
    with driving(store, making, part_rows=2) as draft:
        for part in draft.pending() if draft else ():
            assert draft is not None
            part_task(draft, part)
    return seal(store, making.key, made=made)


def noise(store: ArtifactStore, ledger: Any) -> Artifact:
    """Scores as the task writes them, and a report beside them that tries to reach out."""
    making = Making(NoiseRecipe(), {"content": ledger.content}, ledger.contents)

    def write(draft: Draft, part: str) -> None:
        rows = [
            {"content_sha256": sha, "sigma": None if at else 0.25, "reason": "flat" if at else None}
            for at, sha in enumerate(draft.rows_of(part))
        ]
        with draft.write_part(part) as writer:
            table = pa.Table.from_pylist(rows, score_schema("sigma"))
            pq.write_table(table, writer.folder / "scores.parquet")
            write_facts(writer, {"said": HOSTILE})
            (writer.folder / "page.html").write_text(REPORT)

    return make(store, making, write)


REPORT = """<!doctype html><title>A report</title><p id="told">a report</p><script>
try { parent.document.title = "taken"; document.title = "reached"; } catch (e) {}
fetch("/artifacts").then(() => { told.textContent = "fetched"; }).catch(() => {
told.textContent = "alone"; });</script>"""


def detections(store: ArtifactStore, ledger: Any) -> Artifact:
    """Boxes as the detector's task writes them: one in every image but the first of a part."""
    model = {
        "family": "yolo",
        "name": "cells",
        "precision": "fp32",
        "sha256": "0" * 64,
        "library": "toy==1",
    }
    recipe = DetectionRecipe.model_validate({"model": model, "size_px": 64, "layers": (1,)})
    making = Making(recipe, {"content": ledger.content}, ledger.contents)
    card = ModelCard((HOSTILE,), "11", "detect", ("box",), (1,), "toy")

    def write(draft: Draft, part: str) -> None:
        found = []
        for at, sha in enumerate(draft.rows_of(part)):
            count = int(at > 0)
            row: dict[str, Any] = dict.fromkeys(images_schema().names[1:])
            row |= {"height_px": 40, "width_px": 60, "ratio": 1.0, "left_px": 0, "top_px": 0}
            row |= {"detections": count, "category_distribution": json.dumps({})}
            boxes = np.full((count, 4), [5, 6, 30, 26], np.float32)
            found.append(Found(
                sha, row, boxes, boxes, np.full(count, 0.9, np.float32),
                np.zeros(count, np.int64), [None] * count, None,
            ))  # fmt: skip
        gap = [np.zeros((len(found), 2), np.float32)]
        maps = [np.zeros((len(found), 1, 1, 2), np.float16)]
        with draft.write_part(part) as writer:
            write_part(writer, card, found, gap, maps)

    with driving(store, making, part_rows=2) as draft:
        for part in draft.pending() if draft else ():
            assert draft is not None
            write(draft, part)
        assert draft is not None
        return seal(store, making.key)


def record(
    store: ArtifactStore, source: Source, runtime: Runtime, keys: dict[str, Artifact]
) -> None:
    """Put a run on record that made all, and one that was killed."""
    runs = Runs(store.path)
    settings = {"source": source.model_dump(mode="json"), "note": HOSTILE}
    made = [
        {"name": name, "key": artifact.key, "state": "Cached" if name == "dataset" else "Completed",
         "rows": artifact.rows, "rows_made": artifact.rows, "seconds": 0.5, "note": HOSTILE}
        for name, artifact in keys.items()
    ]  # fmt: skip
    given = runtime.model_dump(mode="json")
    with runs.recording("home", "labels", settings, given) as ended:
        runs.end(ended, made)
    with runs.recording("killed", "labels", settings, given):
        pass


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """Return a chromium that no window belongs to."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1200,900"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield started
    finally:
        started.quit()
