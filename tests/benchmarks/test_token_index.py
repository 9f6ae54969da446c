import json
import subprocess
import sys


def test_the_module_ends_with_one_line_of_json() -> None:
    command = [sys.executable, "-m", "benchmarks.token_index", "--json", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["name"] == "token_index"
    for name in ("ratio", "seconds", "entries_per_cpu_second", "build_peak_memory_bytes"):
        assert said[name] > 0
    assert len(said["cpu_seconds_by_tokens"]) == 2
    assert "| INFO" not in done.stderr  # Prefect is as quiet as under the command
