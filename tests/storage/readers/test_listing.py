from storage.readers.listing import Listing, Stamps
from storage.readers.protocol import Entry, Stamp

ENTRIES = [
    Entry("a.png", "train", 1, "cat", Stamp("/p/a.png", 10, 5)),
    Entry("b.png", problem="gone: there is no such file"),
    Entry("c", stamp=Stamp("/p/a.npz", 7, 6, "c"), is_sure=False),
]


def test_a_listing_is_the_sequence_of_its_entries() -> None:
    listing = Listing.of(ENTRIES)
    assert list(listing) == ENTRIES
    assert listing[1:] == ENTRIES[1:]
    assert listing[-1] == ENTRIES[-1]
    assert len(Listing.of([])) == 0


def test_a_listing_is_taken_as_it_is() -> None:
    listing = Listing.of(ENTRIES)
    assert Listing.of(listing) is listing


def test_stamps_are_columns_and_a_missing_one_stays_missing() -> None:
    stamps = Stamps.of([entry.stamp for entry in ENTRIES])
    assert stamps.path == ("/p/a.png", "", "/p/a.npz")
    assert [stamps.row(at) for at in range(3)] == [entry.stamp for entry in ENTRIES]
