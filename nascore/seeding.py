"""Random numbers: one seed names them all, and nobody's global state is touched."""

from __future__ import annotations

import hashlib
import random
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def derive_seed(seed: int, *path: int | str) -> int:
    """A seed in [0, 2**32) for one purpose, named by ``path``, of the search with this ``seed``.

    Example:
        >>> derive_seed(0, "trial", 1) == derive_seed(0, "trial", 1) != derive_seed(0, "trial", 2)
        True
    """
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


@contextmanager
def isolated_random(seed: int) -> Iterator[None]:
    """Seed random, numpy and torch (those that are imported) inside; give the old state back after.

    Training code draws from torch's global generator (initialisation, dropout), so a trial's
    value depends on its seed alone only if that generator is set; and the caller's own stream
    must not notice.
    """
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    python_state = random.getstate()
    numpy_state = numpy.random.get_state() if numpy else None
    torch_state = torch.get_rng_state() if torch else None
    cuda_states = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None
    random.seed(seed)
    if numpy:
        numpy.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)
        if torch:
            torch.set_rng_state(torch_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
