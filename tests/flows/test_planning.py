"""What a plan says is what the run then does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conf.images import ImageRecipe
from conf.labels import Preset
from conf.load import LoadedPreset
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.labels import label_photos
from flows.planning import Plan, plan
from flows.run import Run, named_for
from storage.catalog import Catalog
from storage.drafts import Making
from storage.publishing import driving, seal
from storage.relatives import explain
from storage.store import ArtifactStore
from tasks.dataset import keep_ledger, scan_source
from tasks.images import encode_part
from tasks.models.load import resolve

pytestmark = pytest.mark.usefixtures("prefect_harness")

Check = Callable[[Plan, Run], None]
WORDS = {"templates": ["a photo of {}"], "vocabulary": ["cat", "dog", "sea"]}


def preset(folder: Path, model: ModelSpec, **changes: Any) -> LoadedPreset:
    """Return a preset of flow `labels` over `folder`."""
    content: dict[str, Any] = {
        "source": {"source": "folder", "root": str(folder)},
        "model": model.model_dump(),
        "prompts": WORDS,
        "top": 2,
    }
    return LoadedPreset("mine", "labels", "", Preset.model_validate(content | changes), Runtime())


def run(asked: LoadedPreset, runtime: Runtime) -> Run:
    assert isinstance(asked.settings, Preset)
    with named_for(asked.name):
        return label_photos(asked.settings, runtime)


def reasons(found: Plan) -> dict[str, tuple[str, ...]]:
    return {one.name.partition("/")[2]: one.reasons for one in found.artifacts if one.reasons}


def relabel(folder: Path) -> None:
    for path in sorted(folder.glob("*.png"))[:2]:
        (folder / "cats").mkdir(exist_ok=True)
        path.rename(folder / "cats" / path.name)


def replace(folder: Path) -> None:
    first, second = sorted(folder.glob("*.png"))[:2]
    first.write_bytes(second.read_bytes() + b"other")


CHANGES: list[tuple[str, dict[str, Any], Callable[[Path], Any] | None, dict[str, tuple[str, ...]]]]
CHANGES = [
    ("nothing", {}, None, {}),
    ("a setting of the last step", {"top": 1}, None, {"labels": ("top: 1, was 2",)}),
    (
        "a word",
        {"prompts": WORDS | {"vocabulary": ["cat", "dog", "lake"]}},
        None,
        {
            "prompts": ("prompts.vocabulary: added lake, removed sea",),
            "labels": ("prompts is made anew",),
        },
    ),
    (
        "a template",
        {"prompts": WORDS | {"templates": ["{}"]}},
        None,
        {
            "prompts": ("prompts.templates: added {}, removed a photo of {}",),
            "labels": ("prompts is made anew",),
        },
    ),
    (
        "an image that is gone",
        {},
        lambda folder: (folder / "000.png").unlink(),
        {
            "dataset": ("1 gone",),
            "features": ("rows: 1 gone",),
            "labels": ("features is made anew",),
        },
    ),
    ("labels", {}, relabel, {"dataset": ("2 renamed",)}),
    (
        "an image that is another",
        {},
        replace,
        {
            "dataset": ("1 changed",),
            "features": ("rows: 1 new, 1 gone",),
            "labels": ("features is made anew",),
        },
    ),
]


@pytest.mark.parametrize(
    ("changed", "settings", "do", "why"), CHANGES, ids=[change[0] for change in CHANGES]
)
def test_every_statement_of_a_plan_holds_in_the_run(
    changed: str,
    settings: dict[str, Any],
    do: Callable[[Path], Any] | None,
    why: dict[str, tuple[str, ...]],
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    check_plan: Check,
) -> None:
    folder = add_photos(5)
    before = {one.name: one.artifact.key for one in run(preset(folder, toy), runtime).made}
    if do:
        do(folder)
    asked = preset(folder, toy, **settings)
    foreseen = plan(asked, runtime)
    assert reasons(foreseen) == why
    made = run(asked, runtime)
    check_plan(foreseen, made)
    for one in made.made:  # and afterwards `why` says the same
        told = explain(Catalog(made.store), one.artifact.key, before[one.name])
        own = {line for line in why.get(one.name, ()) if not line.endswith(" is made anew")}
        assert own <= set(told), one.name
        assert bool(told) == (one.name in why), one.name


def test_new_images_are_made_and_the_others_taken_over(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    check_plan: Check,
) -> None:
    run(preset(add_photos(5), toy), runtime)
    asked = preset(add_photos(3, first=5), toy)
    foreseen = plan(asked, runtime)
    assert reasons(foreseen) == {
        "dataset": ("3 new",),
        "features": ("rows: 3 new",),
        "labels": ("features is made anew",),
    }
    (features,) = [one for one in foreseen.artifacts if one.name == "mine/features"]
    assert (features.rows_to_make, features.rows_taken_over) == (3, 5)
    assert features.seconds is not None
    assert features.size_bytes
    check_plan(foreseen, run(asked, runtime))


def test_a_plan_of_an_empty_store_makes_everything(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    check_plan: Check,
) -> None:
    asked = preset(add_photos(3), toy)
    foreseen = plan(asked, runtime)
    assert {one.state for one in foreseen.artifacts} == {"make"}
    assert reasons(foreseen)["features"] == ("no image-features was made here before",)
    assert all(one.seconds is None for one in foreseen.artifacts)
    check_plan(foreseen, run(asked, runtime))


def test_a_plan_writes_nothing_but_remembered_hashes(
    add_photos: Callable[..., Path], runtime: Runtime, toy: ModelSpec
) -> None:
    asked = preset(add_photos(3), toy)
    plan(asked, runtime)
    names = {path.name for path in runtime.store.rglob("*") if path.is_file()}
    assert names <= {"store.json", "store", "hashes.sqlite", "catalog.sqlite"}


def test_a_draft_is_resumed_and_the_plan_says_how_far_it_is(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    check_plan: Check,
) -> None:
    asked = preset(add_photos(5), toy)
    leave_two_parts(asked, runtime)
    foreseen = plan(asked, runtime)
    (features,) = [one for one in foreseen.artifacts if one.name == "mine/features"]
    assert (features.state, features.parts, features.parts_sealed) == ("resume", 3, 2)
    assert features.rows_to_make == 1
    assert features.reasons[0] == "an earlier run left 2 of 3 parts"
    check_plan(foreseen, run(asked, runtime))


def test_damage_is_the_reason_where_it_is_the_reason(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    check_plan: Check,
) -> None:
    asked = preset(add_photos(3), toy)
    made = run(asked, runtime)
    features = next(one.artifact for one in made.made if one.name == "features")
    victim = next(made.store.path_of(features).rglob("*.h5"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1])
    foreseen = plan(asked, runtime)
    (reason,) = reasons(foreseen)["features"]
    assert reason.startswith("what is stored is damaged: ")
    check_plan(foreseen, run(asked, runtime))


def test_an_older_ledger_that_cannot_be_read_keeps_no_run_from_being_planned(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    toy: ModelSpec,
    check_plan: Check,
) -> None:
    made = run(preset(add_photos(3), toy), runtime)
    older = next(one.artifact for one in made.made if one.name == "dataset")
    victim = next(made.store.path_of(older).rglob("*.parquet"))
    victim.chmod(0o644)
    victim.write_bytes(bytes(victim.stat().st_size))
    asked = preset(add_photos(1, first=3), toy)
    foreseen = plan(asked, runtime)
    (reason,) = reasons(foreseen)["dataset"]
    assert reason.startswith(f"it is not {older.key}; how they differ cannot be told: ")
    check_plan(foreseen, run(asked, runtime))


def test_missing_weights_block_what_needs_them_and_name_the_next_step(
    add_photos: Callable[..., Path], runtime: Runtime, tmp_path: Path
) -> None:
    model = ModelSpec(family="open_clip", name="ViT-B-32", weights="openai", precision="fp32")
    asked = preset(add_photos(3), model)
    found = plan(asked, runtime.model_copy(update={"models": tmp_path / "none"}))
    states = {one.name.partition("/")[2]: one.state for one in found.artifacts}
    assert states == {
        "dataset": "make",
        "prompts": "blocked",
        "features": "blocked",
        "labels": "blocked",
    }
    assert "featuremill models fetch" in reasons(found)["features"][0]
    assert reasons(found)["labels"] == ("blocked by mine/features, mine/prompts",)


def test_a_missing_source_is_the_error_that_a_run_would_meet(
    runtime: Runtime, toy: ModelSpec, tmp_path: Path
) -> None:
    asked = preset(tmp_path / "nowhere", toy)
    with pytest.raises(Exception, match="nowhere") as planned:
        plan(asked, runtime)
    with pytest.raises(type(planned.value)) as ran:
        run(asked, runtime)
    assert str(planned.value) == str(ran.value)


def leave_two_parts(asked: LoadedPreset, runtime: Runtime) -> None:
    """Leave a draft of the features, two of its three parts sealed, as a killed run does."""
    settings, store = asked.settings, ArtifactStore(runtime.store)
    assert isinstance(settings, Preset)
    ledger = scan_source.fn(settings.source, runtime=runtime)
    with driving(store, Making(ledger.recipe, {}, ("ledger",))) as draft:
        assert draft is not None
        (name,) = draft.pending()
        keep_ledger.fn(ledger.recipe, ledger=ledger, part=name, runtime=runtime)
        dataset = seal(store, draft.key)
    recipe = ImageRecipe(model=resolve(settings.model, runtime))
    making = Making(recipe, {"content": ledger.content}, ledger.contents)
    with driving(store, making, part_rows=runtime.part_rows) as draft:
        assert draft is not None
        for name in draft.pending()[:2]:
            encode_part.fn(recipe, dataset, part=name, source=settings.source, runtime=runtime)
