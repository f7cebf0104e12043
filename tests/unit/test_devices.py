from __future__ import annotations

import pytest

from nascore.devices import available_devices, check_device
from nascore.errors import SettingsError


def test_the_devices_that_are_here_can_be_used():
    devices = available_devices()
    assert devices[0] == "cpu"
    for name in devices:
        check_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:77", "meta", "hpu", "", "CPU "])
def test_any_other_is_refused_with_those_that_are_here(name):
    with pytest.raises(SettingsError, match=r"cannot be used here; allowed: cpu.*torch says: .") as caught:
        check_device(name)
    assert repr(name) in str(caught.value)
