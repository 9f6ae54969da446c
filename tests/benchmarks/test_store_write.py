import json
import subprocess
import sys


def test_the_module_ends_with_one_line_of_json() -> None:
    command = [sys.executable, "-m", "benchmarks.store_write", "--json", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["name"] == "store_write"
    assert said["ratio"] > 0
    assert said["seconds"] > 0
    assert said["part_bytes"] == 16 * 49 * 64 * 2
    assert len(said["all_seconds"]) == len(said["all_plain_seconds"]) == 2
