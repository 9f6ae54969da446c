"""Which model: everything about it that decides a feature's bytes."""

from typing import Literal

from conf.keys import Frozen

Precision = Literal["fp32", "fp16", "bf16"]


class ModelSpec(Frozen):
    """A model as part of a recipe. `sha256` and `library` are resolved before a key is made of
    it."""

    family: str
    """The adapter that loads it, a module of `tasks/models`: "pocket", "open_clip"."""
    name: str = "default"
    """The architecture, as its library spells it: "ViT-B-32", "hf-hub:laion/CLIP-ViT-L-14"."""
    weights: str = "default"
    """Which weights: a pretrained tag ("laion2b_s34b_b79k"), "local-dir:NAME" (a directory under
    the models root) or "random:SEED" (random weights of the real architecture, for tests only)."""
    revision: str | None = None
    """The commit of a hub repository, where the weights come from one."""
    sha256: str | None = None
    """The sha256 of the weights; a preset may leave it out."""
    precision: Precision
    """The arithmetic of the forward pass. Required: a device that cannot do it refuses."""
    preprocessing: str = "native"
    """How pixels become the model's input; "native" is the model's own, of this `library`
    version."""
    library: str | None = None
    """The package that runs it, with its version: "open_clip_torch==3.3.0"."""

    @property
    def is_random(self) -> bool:
        """Whether the weights are random: such features mean nothing and say so."""
        return self.weights.startswith("random:")

    @property
    def is_resolved(self) -> bool:
        """Whether this spec names its weights and library exactly, so that a key may be made."""
        return self.sha256 is not None and self.library is not None
