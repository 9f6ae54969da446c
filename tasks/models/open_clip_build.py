"""How an open_clip model and its tokenizer come to life from the files that were found."""

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from conf.models import ModelSpec
from tasks.models.identity import WeightsMissing, WeightsUnreadable, seed_of, title
from tasks.models.open_clip_files import Found, configuration, tokenizer_folder

_REASON_CHARACTERS = 300  # of the thousands that a mismatch of every weight takes


def build(spec: ModelSpec, found: Found) -> tuple[Any, Any]:
    """Return the model, on the CPU in the precision of `spec`, and its tokenizer.

    Raises WeightsUnreadable for a file that does not fit or would run code, and WeightsMissing
    when a tokenizer or a text tower's configuration is only on the hub.
    """
    with _quiet():
        return _model(spec, found), _tokenizer(spec, found)


def _model(spec: ModelSpec, found: Found) -> Any:
    import open_clip
    import torch

    name = f"local-dir:{found.folder}" if found.folder else spec.name
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(spec) if spec.is_random else 0)
        try:
            model = open_clip.create_model(
                name, load_weights=False, pretrained_text=False, precision=spec.precision,
                **_of_tag(spec, found),
            )  # fmt: skip
        except OSError as error:  # transformers, offline, without the configuration of a text tower
            raise _needs_hub(spec, error) from error
    if found.weights:
        _fill(model, found.weights)
    return model


def _of_tag(spec: ModelSpec, found: Found) -> dict[str, Any]:
    """Return what open_clip's list of tags says about the model beside its weights."""
    if found.folder or spec.is_random or spec.weights.startswith("local-dir:"):
        return {}
    from open_clip import get_pretrained_cfg
    from open_clip.transform import PreprocessCfg

    said = get_pretrained_cfg(spec.name, spec.weights)
    known = {field.name for field in fields(PreprocessCfg)}
    own = {name: value for name, value in said.items() if name in known}
    return {"force_preprocess_cfg": own, "force_quick_gelu": bool(said.get("quick_gelu"))}


def _fill(model: Any, weights: Path) -> None:
    import open_clip

    try:
        open_clip.load_checkpoint(model, str(weights), strict=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, KeyError, AttributeError) as error:
        raise WeightsUnreadable(
            f"{weights} does not load as this model: {_reason(error)}. Only tensors are ever read: "
            "a TorchScript or pickled checkpoint has to be saved as safetensors first."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors"  # torch's own text advises to run it
    return " ".join(str(error).split())[:_REASON_CHARACTERS].rstrip(".")


def _tokenizer(spec: ModelSpec, found: Found) -> Any:
    import open_clip

    texts = configuration(spec, found)["text_cfg"]
    if "hf_tokenizer_name" not in texts:
        return open_clip.get_tokenizer(f"local-dir:{found.folder}" if found.folder else spec.name)
    try:
        from open_clip.tokenizer import HFTokenizer

        return HFTokenizer(
            tokenizer_folder(spec, found) or texts["hf_tokenizer_name"],
            context_length=texts.get("context_length", 77),
            tokenizer_mode=texts.get("tokenizer_mode"),
            local_files_only=True,
            **texts.get("tokenizer_kwargs", {}),
        )
    except (OSError, ImportError) as error:
        raise _needs_hub(spec, error) from error


def _needs_hub(spec: ModelSpec, error: Exception) -> WeightsMissing:
    reason = str(error).partition("\n")[0]
    return WeightsMissing(
        f"{title(spec)}, tokenizer or text tower",
        [f"the Hugging Face cache ({reason})"],
        f"Fetch them with `featuremill models fetch {spec.name}/{spec.weights}`.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's talk out of the root logger, which it would also configure."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)
    root.addFilter(_not_open_clip)
    try:
        yield
    finally:
        root.removeFilter(_not_open_clip)
        root.removeHandler(silent)


def _not_open_clip(record: logging.LogRecord) -> bool:
    return "open_clip" not in record.pathname
