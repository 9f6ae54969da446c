"""The kinds of artifact of this capability."""

from conf.concepts import ConceptRecipe, ConceptTextRecipe, ProbeRecipe, ScoreRecipe
from storage.concepts.probe import open_probe
from storage.concepts.scores import ConceptScores
from storage.concepts.store import ConceptStore, write_bundle
from storage.concepts.texts import open_texts
from storage.concepts.view import finish
from storage.kinds import Kind

KINDS = (
    Kind(
        ConceptRecipe.kind, open=ConceptStore, part_rows=1, finish=finish, write_bundle=write_bundle
    ),
    Kind(ConceptTextRecipe.kind, open=open_texts, part_rows=1),
    Kind(ScoreRecipe.kind, open=ConceptScores, part_rows=1024),
    Kind(ProbeRecipe.kind, open=open_probe),
)
