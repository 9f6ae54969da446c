"""Where tasks meet Prefect: what is Cached, what is not believed, what is retried."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from prefect import flow
from prefect.results import ResultRecord, ResultRecordMetadata  # type: ignore[attr-defined]
from prefect.serializers import PickleSerializer

from conf.errors import FeaturemillError, RecipeError
from conf.models import ModelSpec
from conf.prompts import PromptRecipe, PromptSet
from conf.runtime import Runtime
from storage.drafts import Making
from storage.errors import StoreError
from storage.publishing import driving
from storage.store import Artifact, ArtifactStore
from tasks.checkpoint import RECORD, is_transient, part_task, seal, seal_into
from tasks.models.load import resolve
from tasks.prompts import encode_prompts


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Return what unpickling calls."""
        return (Path.touch, (self.witness,))


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """Return a runtime whose store is the test's own."""
    return Runtime(store=tmp_path / "store", progress=False)


@pytest.fixture
def recipe(runtime: Runtime) -> PromptRecipe:
    """Return a recipe that is made in a moment."""
    prompts = PromptSet(templates=("a photo of {}",), vocabulary=("cat", "dog"))
    model = resolve(ModelSpec(family="toy", precision="fp32"), runtime)
    return PromptRecipe(model=model, prompts=prompts)


def make(recipe: PromptRecipe, runtime: Runtime) -> Artifact:
    """Make the artifact of `recipe` by its tasks alone, without a server."""
    making = Making(recipe, {}, recipe.prompts.vocabulary)
    with driving(ArtifactStore(runtime.store), making) as draft:
        for part in draft.pending() if draft else ():
            encode_prompts.fn(recipe, part=part, runtime=runtime)
        return seal.fn(recipe, {}, runtime=runtime)


@flow
def sealed(recipe: PromptRecipe, runtime: Runtime) -> tuple[str, str]:
    """Return the state of a seal and the key it answered with."""
    state = seal_into(runtime.store)(recipe, {}, runtime=runtime, return_state=True)
    return state.name, state.result().key


@pytest.mark.usefixtures("prefect_harness")
class TestWhatPrefectRemembers:
    """The store decides what is Cached; the record on disk is never believed."""

    def test_what_is_published_is_cached(self, recipe: PromptRecipe, runtime: Runtime) -> None:
        made = make(recipe, runtime)
        assert sealed(recipe, runtime) == ("Cached", made.key)

    def test_what_is_gone_is_not_cached(self, recipe: PromptRecipe, runtime: Runtime) -> None:
        made = make(recipe, runtime)
        assert sealed(recipe, runtime)[0] == "Cached"
        shutil.rmtree(ArtifactStore(runtime.store).path_of(made))
        with pytest.raises(FeaturemillError, match="no draft"):
            sealed(recipe, runtime)

    @pytest.mark.parametrize("size", [0, 10])
    def test_what_was_cut_is_quarantined_and_not_cached(
        self, recipe: PromptRecipe, runtime: Runtime, size: int
    ) -> None:
        store = ArtifactStore(runtime.store)
        (file,) = store.path_of(make(recipe, runtime)).glob("parts/*/prompts.h5")
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(FeaturemillError, match="no draft"):
            sealed(recipe, runtime)
        assert list(store.path.glob("quarantine/*/*.json"))

    def test_a_record_edited_to_run_code_runs_nothing(
        self, recipe: PromptRecipe, runtime: Runtime, tmp_path: Path
    ) -> None:
        made = make(recipe, runtime)
        witness = tmp_path / "witness"
        record = ArtifactStore(runtime.store).path_of(made) / RECORD
        metadata = ResultRecordMetadata(serializer=PickleSerializer())
        record.write_bytes(ResultRecord(result=Attack(witness), metadata=metadata).serialize())
        assert sealed(recipe, runtime) == ("Cached", made.key)
        assert not witness.exists()

    def test_a_record_of_another_key_is_not_believed(
        self, recipe: PromptRecipe, runtime: Runtime
    ) -> None:
        made = make(recipe, runtime)
        assert sealed(recipe, runtime)[0] == "Cached"
        record = ArtifactStore(runtime.store).path_of(made) / RECORD
        other = json.loads(record.read_bytes())
        other["result"] = other["result"].replace(made.key, "prompt-features-v1-0000000000000000")
        record.write_text(json.dumps(other))
        assert sealed(recipe, runtime) == ("Cached", made.key)

    def test_a_record_without_an_artifact_is_removed(
        self, recipe: PromptRecipe, runtime: Runtime
    ) -> None:
        made = make(recipe, runtime)
        assert sealed(recipe, runtime)[0] == "Cached"
        folder = ArtifactStore(runtime.store).path_of(made)
        (folder / "manifest.json").unlink()
        with pytest.raises(FeaturemillError, match="no draft"):
            sealed(recipe, runtime)
        assert not (folder / RECORD).exists()


@part_task
def fail(recipe: PromptRecipe | None, *, part: str, runtime: Runtime) -> None:
    """Fail in the way that `part` says."""
    match part:
        case "ours":
            raise StoreError("The store is full. Make room.")
        case "theirs":
            raise KeyError("weights")
        case _:
            tries = runtime.store.with_name("tries")
            tried = int(tries.read_text()) if tries.exists() else 0
            tries.write_text(str(tried + 1))
            if tried < 2:
                raise OSError(errno.EIO, "Input/output error")


@flow
def failing(recipe: PromptRecipe, runtime: Runtime) -> dict[str, Any]:
    """Return the states of tasks that fail, by their names."""
    impatient = fail.with_options(retry_delay_seconds=0)
    states = {
        part: impatient(None, part=part, runtime=runtime, return_state=True)
        for part in ("ours", "theirs", "passing")
    }
    seal_in = seal_into(runtime.store)
    return states | {"seal": seal_in(recipe, {}, runtime=runtime, return_state=True)}


@pytest.mark.usefixtures("prefect_harness")
def test_a_failed_task_says_the_errors_own_text_and_what_may_pass_is_retried(
    recipe: PromptRecipe, runtime: Runtime
) -> None:
    states = cast(Any, failing(recipe, runtime, return_state=True).data).result
    assert states["ours"].message == "The store is full. Make room."
    with pytest.raises(StoreError, match=r"^The store is full\. Make room\.$"):
        states["ours"].result()
    assert states["theirs"].message == "KeyError: 'weights'"
    assert states["passing"].is_completed()
    assert runtime.store.with_name("tries").read_text() == "3"
    assert "no draft" in states["seal"].message
    assert not ArtifactStore(runtime.store).folder(recipe.key()).exists(), "no error is published"


def test_a_task_that_is_called_plainly_raises(runtime: Runtime) -> None:
    with pytest.raises(StoreError, match="full"):
        fail.fn(None, part="ours", runtime=runtime)


def test_a_seal_without_a_server_publishes(recipe: PromptRecipe, runtime: Runtime) -> None:
    made = make(recipe, runtime)
    assert ArtifactStore(runtime.store).find(recipe.key()) == made


def test_errors_that_may_pass_are_told_from_those_that_will_not() -> None:
    assert is_transient(ConnectionError())
    assert is_transient(TimeoutError())
    assert is_transient(OSError(5, "Input/output error"))
    assert not is_transient(OSError(28, "No space left on device"))
    assert not is_transient(RecipeError("wrong"))
    assert not is_transient(ValueError("a fault of ours"))
