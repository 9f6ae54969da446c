"""An index of another version is told apart before its bytes are read."""

from pathlib import Path
from typing import ClassVar

import pytest

from conf.tokens import IndexRecipe
from storage.drafts import Making
from storage.errors import StoreError
from storage.open import open_artifact
from storage.publishing import driving, seal
from storage.store import ArtifactStore


class FirstIndexRecipe(IndexRecipe):
    """What an index was made by before postings were an artifact of their own."""

    version: ClassVar[int] = 1


def test_an_index_of_the_first_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    making = Making(FirstIndexRecipe(), {}, ("segment-000000",))
    with driving(store, making) as draft:
        assert draft is not None
        (part,) = draft.pending()
        with draft.write_part(part) as writer:
            (writer.folder / "statistics.h5").write_bytes(b"of the first version")
    key = seal(store, making.key).key
    with pytest.raises(StoreError) as told:
        open_artifact(key, store)
    assert str(told.value) == (
        f"{key} is of version 1; this reads indexes of version 2, which join postings with "
        "reviews. Run its flow again: that makes one of them beside it."
    )
