import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conf.errors import RecipeError
from conf.images import Preset as ImagePreset
from conf.labels import Preset as LabelPreset
from conf.load import PRESETS, known_presets, load_preset, preset_schema
from conf.sources import digits

DIGITS = """
flow = "images"
description = "Mine."
[source]
source = "digits"
limit = 3
[model]
family = "toy"
precision = "fp32"
[runtime]
batch_size = 4
"""
LABELS = """
flow = "labels"
[source]
source = "sample_photos"
[model]
family = "toy"
precision = "fp32"
[prompts]
vocabulary = "words.json"
templates = ["a {}"]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(DIGITS)
    return path


def refusal(name: str | Path, *changes: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_preset(str(name), changes)
    return str(caught.value)


def settings(name: str | Path, *changes: str) -> ImagePreset:
    found = load_preset(str(name), changes).settings
    assert isinstance(found, ImagePreset)
    return found


# What ships


@pytest.mark.parametrize("name", [path.stem for path in PRESETS.glob("*.toml")])
def test_every_shipped_preset_loads_and_describes_itself(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert isinstance(preset.settings, preset_schema(preset.flow))
    assert known_presets()[name] == preset.description != ""


def test_presets_and_recipes_need_no_library_of_arrays() -> None:
    code = (
        "import sys; from conf.load import known_presets, load_preset; "
        "[load_preset(name) for name in known_presets()]; "
        "print({'numpy', 'torch', 'prefect', 'pandas', 'PIL'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


# A file


def test_a_preset_says_flow_settings_and_runtime(mine: Path) -> None:
    preset = load_preset(str(mine))
    assert (preset.name, preset.flow, preset.description) == ("mine", "images", "Mine.")
    assert settings(mine).source == digits.Source(limit=3)
    assert preset.runtime.batch_size == 4


def test_the_runtime_is_no_part_of_the_settings(mine: Path) -> None:
    fast = load_preset(str(mine), ["runtime.batch_size=64"])
    assert fast.settings == load_preset(str(mine)).settings
    assert fast.runtime.batch_size == 64


def test_an_unknown_preset_names_the_nearest() -> None:
    assert refusal("digit") == (
        "There is no preset 'digit', and no file digit.toml either. Did you mean 'digits'? "
        "`featuremill presets` says what each makes."
    )


def test_a_file_of_another_suffix_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.touch()
    assert f"and the name of the file {path} does not end in .toml." in refusal(path)


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('flow = "images"\n[source\n')
    assert re.fullmatch(
        rf"{re.escape(str(path))} is not TOML: .*\(at line 2, .*\)\.", refusal(path)
    )


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    assert refusal(path).startswith(f"{path} is not TOML: 'utf-8' codec can't decode")


def test_a_preset_without_a_flow_is_told_the_flows(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("top = 3\n")
    said = refusal(path)
    assert said.startswith(f"{path}: it names no flow. Known are: ")
    assert {"dataset", "images", "labels"} <= set(re.findall(r"\w+", said))


def test_an_unknown_flow_names_the_nearest(mine: Path) -> None:
    assert refusal(mine, "flow=image") == (
        f"{mine}: flow = 'image' is no flow. Did you mean 'images'?"
    )


# A wrong field names the file, the field, what it got and the nearest that works.


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("token=true", "token is not a field. Did you mean 'tokens'?"),
        ("zzz=1", "zzz is not a field. Known are: model, source, tokens."),
        ("model.prcision=fp32", "model.prcision is not a field. Did you mean 'precision'?"),
        ("source.limt=3", "source.limt is not a field. Did you mean 'limit'?"),
        (
            "model.precision=fp23",
            "model.precision = 'fp23': input should be 'fp32', 'fp16' or 'bf16'. "
            "Did you mean 'fp32'?",
        ),
        ("model.name=123", "model.name = 123: input should be a valid string."),
        ("tokens=1", "tokens = 1: input should be a valid boolean."),
        ("source.limit=0", "source.limit = 0: input should be greater than or equal to 1."),
        ("source.limit=nan", "source.limit = nan: input should be a valid integer."),
        (
            "source.max_megapixels=inf",
            "source.max_megapixels = inf: input should be a finite number.",
        ),
        (
            "source.limit=2026-01-01",
            "source.limit = '2026-01-01': input should be a valid integer.",
        ),
        ("model=pocket", "model = 'pocket': input should be a section."),
        ("source=digits", "source = 'digits': a source is a table, such as source = \"digits\"."),
        (
            "source.source=digit",
            "source = {'source': 'digit', 'limit': 3}: there is no source 'digit'. "
            "Did you mean 'digits'?",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_it_got(mine: Path, change: str, says: str) -> None:
    assert refusal(mine, change) == f"{mine}: {says}"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("runtime.batch=3", "batch is not a field. Did you mean 'batch_size'?"),
        ("runtime.batch_size=0", "batch_size = 0: input should be greater than or equal to 1."),
        (
            "runtime.device=gpu",
            "device = 'gpu': input should be 'auto', 'cpu', 'cuda' or 'mps'. Did you mean 'cpu'?",
        ),
        ("runtime=3", "3: input should be a section."),
    ],
)
def test_a_wrong_runtime_field_says_that_it_is_of_the_runtime(
    mine: Path, change: str, says: str
) -> None:
    assert refusal(mine, change) == f"{mine} [runtime]: {says}"


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('flow = "images"\n[model]\nfamily = "toy"\n')
    assert refusal(path).splitlines() == [
        f"{path}: source is required and has no default.",
        f"{path}: model.precision is required and has no default.",
    ]


def test_a_long_value_is_cut(mine: Path) -> None:
    said = refusal(mine, f"model.precision={'x' * 1000}")
    assert len(said) < len(str(mine)) + 220
    assert "xxx...: input should be" in said


def test_a_wrong_field_inside_a_named_prompt_set_is_found(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'flow = "prompts"\n[model]\nfamily = "toy"\nprecision = "fp32"\n'
        '[prompts.t01]\ntemplate = ["a {}"]\ntemplates = ["a {}"]\nvocabulary = ["cat"]\n'
    )
    assert refusal(path) == (
        f"{path}: prompts.t01.template is not a field. Did you mean 'templates'?"
    )


# --set


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("tokens=true", "tokens", True),
        ("model.name=ViT-B-32", "name", "ViT-B-32"),
        ('model.name="123"', "name", "123"),
        ("model.name = a = b ", "name", "a = b"),
        ("model.name=", "name", ""),
        ("source.limit=7", "limit", 7),
        ("source.max_megapixels=5", "max_megapixels", 5.0),
    ],
)
def test_a_change_is_toml_or_else_text(mine: Path, change: str, field: str, value: object) -> None:
    found = settings(mine, change)
    holder = next(o for o in (found, found.model, found.source) if field in type(o).model_fields)
    assert getattr(holder, field) == value


def test_the_last_change_of_a_field_counts(mine: Path) -> None:
    found = settings(mine, "source.limit=5", "source.limit=6")
    assert found.source.limit == 6


@pytest.mark.parametrize("change", ["tokens", "=3", "source..limit=3", ".limit=3", "source.=3"])
def test_what_is_no_change_is_told_how_one_reads(mine: Path, change: str) -> None:
    assert refusal(mine, change) == (
        f"--set {change!r} is not section.field=value, such as model.precision=bf16."
    )


def test_a_field_has_no_fields(mine: Path) -> None:
    assert refusal(mine, "tokens=true", "tokens.deep=1") == (
        "--set 'tokens.deep=1': tokens is a value here, not a section."
    )


def test_one_change_cannot_smuggle_in_another(mine: Path) -> None:
    assert settings(mine, 'model.name=1\ntokens = "x"').model.name == '1\ntokens = "x"'


# Lists from JSON files


def words(folder: Path, content: object) -> Path:
    (folder / "words.json").write_text(json.dumps(content))
    path = folder / "mine.toml"
    path.write_text(LABELS)
    return path


@pytest.mark.parametrize("content", [["cat", "dog"], {"note": "mine", "labels": ["cat", "dog"]}])
def test_a_vocabulary_may_lie_in_a_file_beside_the_preset(tmp_path: Path, content: object) -> None:
    found = load_preset(str(words(tmp_path, content))).settings
    assert isinstance(found, LabelPreset)
    assert found.prompts.vocabulary == ("cat", "dog")


def test_a_vocabulary_may_lie_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words(tmp_path, ["cat"])
    found = load_preset("sample_labels", ["prompts.vocabulary=words.json"]).settings
    assert isinstance(found, LabelPreset)
    assert found.prompts.vocabulary == ("cat",)


def test_the_shipped_lists_are_found_from_anywhere(tmp_path: Path) -> None:
    path = words(tmp_path, ["cat"])
    found = load_preset(str(path), ["prompts.templates=templates.json"]).settings
    assert isinstance(found, LabelPreset)
    assert found.prompts.templates[0] == "a photo of {}"


def test_a_missing_file_of_words_says_where_it_was_looked_for(tmp_path: Path) -> None:
    path = words(tmp_path, ["cat"])
    said = refusal(path, "prompts.vocabulary=gone.json")
    assert said.startswith(
        f"{path}: vocabulary = 'gone.json' names a JSON file that is in none of {tmp_path}, "
    )
    assert said.endswith("Write the list itself, or the name of a file that holds it.")


@pytest.mark.parametrize(
    ("content", "lists"), [("cat", 0), (3, 0), ({}, 0), ({"a": ["x"], "b": ["y"]}, 2)]
)
def test_a_file_of_words_holds_one_list(tmp_path: Path, content: object, lists: int) -> None:
    assert refusal(words(tmp_path, content)) == (
        f"{tmp_path / 'words.json'} holds {lists} lists; vocabulary needs a file with one."
    )


def test_a_file_of_words_that_is_not_json_says_where(tmp_path: Path) -> None:
    path = words(tmp_path, [])
    (tmp_path / "words.json").write_text('["cat",')
    assert refusal(path).startswith(f"{tmp_path / 'words.json'} is not JSON: ")


def test_half_a_character_is_no_word(tmp_path: Path) -> None:
    path = words(tmp_path, [])
    (tmp_path / "words.json").write_text('["\\ud800"]')
    assert refusal(path).startswith(f"{tmp_path / 'words.json'} holds half a character: ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (["cat", "cat"], "the vocabulary names 'cat' more than once."),
        ([], "list should have at least 1 item after validation, not 0."),
        ([""], "the vocabulary has an empty word: a prompt would say nothing."),
    ],
)
def test_a_wrong_vocabulary_is_refused(tmp_path: Path, content: list[str], says: str) -> None:
    path = words(tmp_path, content)
    assert refusal(path) == f"{path}: prompts.vocabulary = {content!r}: {says}"


def test_a_word_that_is_no_text_is_named_by_its_place(tmp_path: Path) -> None:
    path = words(tmp_path, ["cat", 3])
    assert refusal(path) == f"{path}: prompts.vocabulary.1 = 3: input should be a valid string."


def test_a_template_without_a_place_is_refused(tmp_path: Path) -> None:
    path = words(tmp_path, ["cat"])
    assert refusal(path, "prompts.templates=['a photo']") == (
        f"{path}: prompts.templates = ['a photo']: the template 'a photo' has 0 places for a "
        'word; write exactly one {}, as in "a photo of {}".'
    )
