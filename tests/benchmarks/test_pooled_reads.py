import json
import subprocess
import sys


def test_the_module_ends_with_one_line_of_json() -> None:
    command = [sys.executable, "-m", "benchmarks.pooled_reads", "--json", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["name"] == "pooled_reads"
    assert said["ratio"] > 1
    assert said["memmap_ratio"] > 0
