"""What the pages for users show in Python runs as it stands there."""

import re
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "testing.md"


def test_the_example_of_a_part_task_runs_as_it_stands(tmp_path: Path) -> None:
    (block,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
        if "def test_every_digit" in block
    ]
    names: dict[str, Callable[[Path], None]] = {}
    exec(compile(block, str(PAGE), "exec"), names)
    names["test_every_digit_gets_a_feature"](tmp_path)
    assert (tmp_path / "store" / "published" / "image-features").is_dir()
