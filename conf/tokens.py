"""Tokens: an index over sparse autoencoder activations, and what makes such activations."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from conf.keys import Frozen, Recipe

SEGMENT_TOKENS = 1 << 16
"""Tokens of a segment: an offset inside it fits 16 bits."""

_SHA256 = r"^[0-9a-f]{64}$"
Values = Literal["f16", "f32"]


class ReviewsRecipe(Recipe):
    """Reviews: their texts and metadata, and which tokens of an activation file are theirs."""

    kind: ClassVar[str] = "token-reviews"

    activations_sha256: str = Field(pattern=_SHA256)
    """The sha256 of the activation file (HDF5)."""
    metadata_sha256: str = Field(pattern=_SHA256)
    """The sha256 of the metadata file (NPZ)."""
    tokenizer_sha256: str | None = Field(default=None, pattern=_SHA256)
    """The sha256 of the tokenizer that every review's tokens were counted with; None: unchecked."""


class PostingsRecipe(Recipe):
    """Postings: the tokens at which a feature is active, feature by feature."""

    kind: ClassVar[str] = "token-postings"

    activations_sha256: str = Field(pattern=_SHA256)
    """The sha256 of the activation file (HDF5)."""
    n_features: int = Field(ge=1, le=1 << 24)
    """How many features the autoencoder has, such as 24576: the file does not say."""
    values: Values = "f16"
    """How an activation is stored."""


class IndexRecipe(Recipe):
    """The inputs `postings` and `reviews`, of the same activation file, as one index.

    Postings know no metadata: other texts or stars are joined with them in seconds.
    """

    kind: ClassVar[str] = "token-index"
    version: ClassVar[int] = 2


class GrammarSpec(Frozen):
    """Restaurant reviews written by a seeded grammar."""

    reviews: int = Field(default=1500, ge=1)
    """How many are written."""
    seed: int = 0
    """Another seed writes other reviews."""


class TextsRecipe(Recipe):
    """Texts with their metadata, of a grammar or of a file."""

    kind: ClassVar[str] = "token-texts"

    grammar: GrammarSpec | None = None
    """The grammar that wrote them, or None."""
    file_sha256: str | None = Field(default=None, pattern=_SHA256)
    """The sha256 of the file that held them, or None."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Which column of the file is which of ours: {"texts": "body"}; others go by their own name."""
    limit: int | None = Field(default=None, ge=1)
    """The first so many texts; None takes all."""


class TextModel(Frozen):
    """The layer of a language model whose hidden states are taken."""

    family: Literal["minilm", "huggingface"] = "minilm"
    """"minilm" comes with the installation; "huggingface" is any model in a local directory."""
    name: str = "all-MiniLM-L6-v2"
    """For "huggingface" the directory under the models root, such as "gpt2"."""
    layer: int = Field(default=3, ge=0)
    """How many layers a token has passed; 0 takes the embeddings."""
    sha256: str | None = Field(default=None, pattern=_SHA256)
    """The sha256 of the weights; a preset may leave it out."""
    tokenizer_sha256: str | None = Field(default=None, pattern=_SHA256)
    """The sha256 of the tokenizer; a preset may leave it out."""
    library: str | None = None
    """The package that runs it, with its version; a preset may leave it out."""


class SaeRecipe(Recipe):
    """A TopK sparse autoencoder, trained on the hidden states of the input `texts`."""

    kind: ClassVar[str] = "token-sae"

    model: TextModel
    n_features: int = Field(default=512, ge=1)
    """Latents of the autoencoder."""
    k: int = Field(default=16, ge=1)
    """Active latents a token."""
    steps: int = Field(default=800, ge=1)
    """Batches it is trained on."""
    batch_tokens: int = Field(default=512, ge=1)
    """Tokens of a batch."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of Adam, falling linearly to 0 over the last fifth."""
    tokens: int = Field(default=60_000, ge=1)
    """Hidden states it is trained on at most, those of the first texts."""
    seed: int = 0
    """Of the first weights and the order of the batches."""

    @model_validator(mode="after")
    def _is_sparse(self) -> "SaeRecipe":
        if self.k > self.n_features:
            raise ValueError(f"k = {self.k} of {self.n_features} features cannot be active")
        return self


class ActivationsRecipe(Recipe):
    """The seed's activation file and metadata, of the input `texts` and, if trained here, `sae`."""

    kind: ClassVar[str] = "token-activations"

    model: TextModel
    sae_sha256: str | None = Field(default=None, pattern=_SHA256)
    """The sha256 of the autoencoder's weights when they come from a file."""
    sae_settings: dict[str, bool] = Field(default_factory=dict)
    """What its cfg.json says of how the weights are used, in the words of SAELens:
    apply_b_dec_to_input and rescale_acts_by_decoder_norm, both said always."""
    k: int = Field(ge=1)
    """Active features a token."""


class FilesSource(Frozen):
    """Activations and metadata that lie in files of the seed's formats."""

    activations: Path
    """The HDF5 file: z_idx, z_val, rev_idx, review_ids_unique."""
    metadata: Path
    """The NPZ file: review_ids, texts, stars, useful, user_ids, business_ids."""


class TextsSource(Frozen):
    """Texts that activations are to be made of: a file, or reviews that a grammar writes."""

    path: Path | None = None
    """CSV, JSONL, Parquet or NPZ with columns review_ids, texts, stars, ...; None: `grammar`."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Which column of the file is which of ours: {"texts": "body"}."""
    limit: int | None = Field(default=None, ge=1)
    grammar: GrammarSpec = GrammarSpec()


class SaeSource(Frozen):
    """The autoencoder: weights in a directory, or how to train one."""

    path: Path | None = None
    """A directory in the layout of EleutherAI/sparsify or SAELens; None: one is trained."""
    n_features: int = Field(default=512, ge=1)
    k: int = Field(default=16, ge=1)
    steps: int = Field(default=800, ge=1)
    tokens: int = Field(default=60_000, ge=1)
    seed: int = 0


class Preset(Frozen):
    """The settings of flow `tokens`: index activations, of files or made of texts here."""

    files: FilesSource | None = None
    """Activations that exist already; None makes them of `texts`."""
    n_features: int | None = Field(default=None, ge=1)
    """Features of the autoencoder; required with `files`, known otherwise."""
    values: Values = "f16"
    tokenizer: str | None = None
    """With `files`: checks each review's tokens: "gpt2" (a directory under the models root),
    "minilm", or the path of a tokenizer.json; None checks nothing."""
    texts: TextsSource = TextsSource()
    model: TextModel = TextModel()
    sae: SaeSource = SaeSource()

    @model_validator(mode="after")
    def _knows_its_features(self) -> "Preset":
        if self.files:
            self.known_features()
        return self

    def known_features(self) -> int:
        """Return n_features; raises ValueError when it is missing."""
        if self.n_features is None:
            raise ValueError(
                "n_features is missing: the activation file does not say how many features its "
                "autoencoder has; write it, such as n_features = 24576"
            )
        return self.n_features
