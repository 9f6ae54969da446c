from tasks.compute.synth.reviews import write_reviews


def test_the_same_seed_writes_the_same_and_more_begin_with_fewer() -> None:
    assert write_reviews(20, 3)[:10] == write_reviews(10, 3)
    assert write_reviews(10, 3) != write_reviews(10, 4)


def test_reviews_have_one_to_five_stars_and_all_of_them() -> None:
    assert {review.stars for review in write_reviews(200)} == {1, 2, 3, 4, 5}


def test_words_go_with_stars() -> None:
    found = write_reviews(400)
    texts = {n: " ".join(r.text for r in found if r.stars == n) for n in (1, 5)}
    share = {n: text.count("friendly") / len(text) for n, text in texts.items()}
    assert share[5] > 5 * share[1]
    share = {n: text.count("rude") / len(text) for n, text in texts.items()}
    assert share[1] > 5 * share[5]


def test_some_words_are_not_ascii() -> None:
    assert not " ".join(review.text for review in write_reviews(50)).isascii()
