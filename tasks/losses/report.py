"""What groups of images there are, for the terminal."""

from conf.runtime import Runtime
from storage.losses import LossClusters
from storage.store import Artifact, ArtifactStore

HEADER = ("group", "images", "medoid", "rich in")


def group_rows(groups: Artifact, runtime: Runtime) -> list[tuple[str, ...]]:
    """Return a row for each group: its size, its medoid, and the class that it is richest in."""
    found = LossClusters(ArtifactStore(runtime.store), groups)
    sizes = found.images["group"].value_counts()
    rich = {
        number: f"{classes[0]['name']} ({classes[0]['lift']:.1f} x)"
        for number, classes in found.rich_in.items()
    }
    return [
        (number, str(sizes[int(number)]), content[:12], rich.get(int(number), ""))
        for number, content in found.summary["medoids"].items()
    ]
