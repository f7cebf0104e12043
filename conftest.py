"""One thread for all tests: on a busy machine their many tiny networks are ten times slower with more."""

from __future__ import annotations

import contextlib

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    with contextlib.suppress(ImportError):  # the core alone brings no torch
        import torch

        torch.set_num_threads(1)
