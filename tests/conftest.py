"""What every test stands on: no network, nothing of the user's, one Prefect server."""

import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# Set before any library that looks is imported. The home is a fresh one, so that no profile, cache
# or settings file of the user decides a test.
_HOME = Path(tempfile.mkdtemp(prefix="featuremill-tests-"))
os.environ |= {
    "DO_NOT_TRACK": "1",
    "FEATUREMILL_MODELS": str(_HOME / "models"),
    "FEATUREMILL_STORE": str(_HOME / "store"),
    "HF_HOME": str(_HOME / "huggingface"),
    "HF_HUB_OFFLINE": "1",
    "MPLCONFIGDIR": str(_HOME / "matplotlib"),
    "PREFECT_HOME": str(_HOME / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TORCH_HOME": str(_HOME / "torch"),
    "YOLO_CONFIG_DIR": str(_HOME / "ultralytics"),
    "YOLO_OFFLINE": "true",
}
if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes of a whole run share the cores: threads that wait for one another would spin.
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
for _name in ("FEATUREMILL_ROOTS", "PREFECT_API_KEY", "PREFECT_API_URL", "PREFECT_PROFILE"):
    os.environ.pop(_name, None)

_BROWSER_PROGRAMS = ("chromium", "chromedriver")
_LONGEST = ("tests/flows/deployed", "tests/flows", "notebooks", "tests/benchmarks")
"""What takes longest, begun first: no process is left with it alone at the end."""


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with one artifact of every kind, made of 12 digits by the toy encoder.

    Made by the real tasks, without a server. For reading: who breaks it takes `own_store`.
    """
    return make_small_store(tmp_path_factory.mktemp("small") / "store")


@pytest.fixture
def own_store(small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of `small_store` that a test may break, named by FEATUREMILL_STORE."""
    monkeypatch.setenv("FEATUREMILL_STORE", str(tmp_path / "store"))
    return Path(shutil.copytree(small_store, tmp_path / "store"))


def make_small_store(path: Path) -> Path:
    """Fill the store at `path` with a dataset, image features with tokens, prompts and labels."""
    from conf.images import ImageRecipe
    from conf.labels import LabelRecipe
    from conf.models import ModelSpec
    from conf.prompts import PromptRecipe, PromptSet
    from conf.runtime import Runtime
    from conf.sources.digits import Source
    from storage.drafts import Making
    from storage.publishing import driving, seal
    from storage.store import Artifact, ArtifactStore
    from tasks.dataset import keep_ledger, scan_source
    from tasks.images import encode_part
    from tasks.labels import label_images
    from tasks.models.load import resolve
    from tasks.prompts import encode_prompts

    store, source = ArtifactStore(path), Source(limit=12)
    runtime = Runtime(store=path, part_rows=5, lanes=1, batch_size=4, progress=False)

    def make(
        name: str, making: Making, part_task: Any, *inputs: Artifact, **given: Any
    ) -> Artifact:
        with driving(store, making, part_rows=runtime.part_rows) as draft:
            for part in draft.pending() if draft else ():
                part_task.fn(making.recipe, *inputs, part=part, runtime=runtime, **given)
            made = {"dataset": inputs[0].key} if name == "features" else {}
            artifact = seal(store, making.key, made=made)
        store.refs.set(f"small/{name}", artifact.key)
        return artifact

    ledger = scan_source.fn(source, runtime=runtime)
    model = resolve(ModelSpec(family="toy", precision="fp32"), runtime)
    said = PromptSet(templates=("a photo of {}", "the {}"), vocabulary=("zero", "one", "two"))
    images = Making(
        ImageRecipe(model=model, tokens=True), {"content": ledger.content}, ledger.contents
    )
    prompts = Making(PromptRecipe(model=model, prompts=said), {}, said.vocabulary)
    labels = Making(
        LabelRecipe(top=2), {"images": images.key, "prompts": prompts.key}, ledger.contents
    )
    dataset = make("dataset", Making(ledger.recipe, {}, ("ledger",)), keep_ledger, ledger=ledger)
    features = make("features", images, encode_part, dataset, source=source)
    texts = make("prompts", prompts, encode_prompts)
    make("labels", labels, label_images, features, texts)
    return path


@pytest.fixture(scope="session")
def concept_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with ConceptCLIP's interface: remote code, tiny random weights."""
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("hub") / "ConceptCLIP"
    folder.mkdir()
    for path in (Path(__file__).parent / "data" / "concept_clip").iterdir():
        shutil.copy(path, folder / path.name.removesuffix(".txt"))
    drawn = torch.Generator().manual_seed(0)
    shapes: dict[str, list[int]] = json.loads((folder / "shapes.json").read_text())
    weights = {name: torch.randn(shape, generator=drawn) for name, shape in shapes.items()}
    logits = {"logit_scale": 4.57, "logit_bias": -10.0}
    logits |= {"concept_logit_scale": 3.0, "concept_logit_bias": -9.0}
    weights |= {name: torch.tensor(value) for name, value in logits.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    origin = {"revision": "0123456789abcdef0123456789abcdef01234567"}
    (folder / "featuremill-origin.json").write_text(json.dumps(origin))
    return folder


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """Run flows against one temporary Prefect server: it takes seconds to start, so once a session.

    Only tests of flows and of retries ask for it; `task.fn(...)` needs no server.
    """
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return what deals out the tests folder by folder: one process has the folder's fixtures."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # the longest come first: see below
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _together
    return scheduling


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, where several processes share the tests."""
    if hasattr(config, "workerinput"):
        order = {folder: place for place, folder in enumerate(_LONGEST)}
        items.sort(key=lambda item: order.get(_together(item.nodeid), len(order)))


def _together(nodeid: str) -> str:
    """Return the folder whose tests one process runs: one of the longest, else the test's own."""
    folder = nodeid.partition("::")[0].rpartition("/")[0]
    return next((one for one in _LONGEST if f"{folder}/".startswith(f"{one}/")), folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, and say what it lacks."""
    if item.get_closest_marker("browser"):
        missing = [name for name in _BROWSER_PROGRAMS if shutil.which(name) is None]
        if missing:
            pytest.skip(f"no {' and no '.join(missing)}: apt-get install chromium chromium-driver")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped browser test where FEATUREMILL_REQUIRE_BROWSER=1 says that none may be."""
    report = yield
    required = os.environ.get("FEATUREMILL_REQUIRE_BROWSER") == "1"
    if required and item.get_closest_marker("browser") and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"FEATUREMILL_REQUIRE_BROWSER=1, but this test was skipped. {reason}"
    return report


def pytest_unconfigure() -> None:
    """Remove the tests' own home."""
    shutil.rmtree(_HOME, ignore_errors=True)
