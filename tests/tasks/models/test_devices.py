import threading

import pytest

from conf.errors import RecipeError
from conf.models import ModelSpec
from tasks.models.devices import DeviceMissing, choose_device, enter_lane, require_precision


def test_auto_takes_a_device_that_is_there() -> None:
    assert choose_device(choose_device("auto")) == choose_device("auto")


def test_a_device_that_is_not_there_is_named_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.models.devices._present", lambda: ["cpu"])
    with pytest.raises(DeviceMissing, match=r"'cuda' was asked for; this machine has cpu\. Set"):
        choose_device("cuda")


def test_half_precision_is_refused_on_the_cpu_which_says_what_works() -> None:
    spec = ModelSpec(family="open_clip", precision="fp16")
    with pytest.raises(RecipeError, match=r"'fp16' .* cpu, which computes fp32, bf16\. .* 'bf16'"):
        require_precision(spec, "cpu")


def test_a_lane_takes_its_share_of_threads_and_leaves_the_others_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    torch.set_num_threads(1)
    assert torch.get_num_threads() == 1  # a thread takes the number up when it first asks
    monkeypatch.setattr("tasks.models.devices.cores", lambda: 4)
    seen = []

    def lane() -> None:
        enter_lane("cpu", lanes=2)
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=lane)
    thread.start()
    thread.join()
    assert seen == [2]
    assert torch.get_num_threads() == 1
