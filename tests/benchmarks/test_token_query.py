import json
import subprocess
import sys


def test_the_module_ends_with_one_line_of_json() -> None:
    command = [sys.executable, "-m", "benchmarks.token_query", "--json", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["name"] == "token_query"
    for name in ("ratio", "statistics_ratio", "seconds", "top_20_with_contexts_seconds"):
        assert said[name] > 0
    assert said["entries"] == 70_000 * 32
