from conf.errors import did_you_mean


def test_the_nearest_name_is_said_and_no_other() -> None:
    assert did_you_mean("foldr", ["table", "folder"]) == "Did you mean 'folder'?"


def test_without_a_near_name_all_are_said_sorted() -> None:
    names = [f"name{number:02d}" for number in range(10)]
    assert did_you_mean("zzz", names[::-1]) == f"Known are: {', '.join(names)}."


def test_of_many_names_ten_are_said_and_how_many_there_are_beside() -> None:
    names = [f"name{number:02d}" for number in range(12)]
    assert did_you_mean("zzz", names) == f"Known are: {', '.join(names[:10])} and 2 more."


def test_without_any_name_none_is_known() -> None:
    assert did_you_mean("zzz", []) == "Known are: none."
