"""What the tests in tests/fuzz share: how many inputs they try, hostile values, damage, and what a refusal must be.

Without NASCORE_FUZZ_EXAMPLES a test tries a few inputs, the same ones each time. With it, so many are tried in all
tests together, and others each time.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from nascore.errors import NascoreError

TOTAL = int(os.environ.get("NASCORE_FUZZ_EXAMPLES", "0"))
TRIED: Counter[str] = Counter()
"""Target -> inputs that were tried."""

SECONDS = 10
"""Of processor time that one input may take. Of waiting it is twelve times as long: other processes take turns."""
LONGEST = 6_000
"""Characters of a message that somebody reads."""


def fuzz(share, few):
    """Decorator of a test: of all inputs it tries ``share``, and ``few`` where nothing else is said.

    Args:
        share: of NASCORE_FUZZ_EXAMPLES.
        few: how many by default.
    """
    return settings(
        max_examples=max(few, round(share * TOTAL)),
        derandomize=not TOTAL,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


class TookTooLongError(BaseException):
    """Raised inside whatever hangs; no ``except Exception`` may stop it."""


@contextlib.contextmanager
def quickly():
    """What runs inside must be done in time."""

    def stop(number, frame):
        raise TookTooLongError(f"more than {SECONDS} s")

    before = [signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 12 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGALRM, before[1])


def refused_or(target, action, *arguments):
    """Count an input and try it: what ``action`` gives, or None where it refuses with a message that helps.

    Anything else but a NascoreError passes through and fails the test.
    """
    TRIED[target] += 1
    try:
        with quickly():
            return action(*arguments)
    except NascoreError as error:
        check_message(str(error))
        return None


def check_message(text):
    """It says something, is no essay, and shows at once on any terminal."""
    assert text.strip()
    assert len(text) <= LONGEST, f"{len(text)} characters: {text[:200]} ..."


# ------------------------------------------------------------------------------------ hostile values


def nested(depth, inner=0):
    value = inner
    for _ in range(depth):
        value = [value]
    return value


HOSTILE_TEXTS = [
    "", "0", "1", "none", "skip_connect", "True", "nan", "a" * 3_000, "\ud800", "\x00", "\x1b[2J", "é漢🙂",
    "../../etc/passwd", "/etc/passwd", "C:\\x", "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>",
    "$\\frac{", "$$", "_hidden", "{0}", "%s%n", "__class__", "a\nb", "‮abc",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2, 3, 7, 255, 2**31, 2**53, 2**63, 2**64, 10**400, -(10**400), 0.0, -0.0, 0.5, 1.0, 1e-320, 1e308,
    float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from([None, True, False, *NUMBERS, *HOSTILE_TEXTS]),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=12),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6) | st.sampled_from(HOSTILE_TEXTS), inner)
    ),
    max_leaves=12,
)
RARE = st.one_of(
    st.builds(nested, st.sampled_from([5, 60, 300, 900])),
    st.builds(lambda: "x" * 10_000_000),  # made when drawn: damage may change a list
    st.builds(lambda: [0] * 100_000),
)
VALUES = st.integers(0, 200).flatmap(lambda dice: RARE if dice == 0 else JSON if dice < 60 else SCALARS)


@st.composite
def damaged(draw, value, values=VALUES, times=2):
    """A copy of plain JSON with something replaced, removed, doubled, moved or put in."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, times))):
        value = _damage(draw, value, values)
    return value


def _damage(draw, value, values):
    if not isinstance(value, (dict, list)) or not value:
        return draw(values)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    what = draw(st.sampled_from(["inside", "inside", "inside", "replace", "remove", "double", "swap", "whole"]))
    if what == "inside":
        value[key] = _damage(draw, value[key], values)
    elif what == "replace":
        value[key] = draw(values)
    elif what == "remove":
        del value[key]
    elif what == "swap":
        other = draw(st.sampled_from(keys))
        value[key], value[other] = value[other], value[key]
    elif what == "double" and isinstance(value, list):
        value.insert(key, copy.deepcopy(value[key]))
    elif what == "double":
        value[draw(st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=8))] = copy.deepcopy(value[key])
    else:
        return draw(values)
    return value


@st.composite
def corrupted(draw, content):
    """Bytes with some flipped, cut off, put in, doubled or moved; or others altogether."""
    for _ in range(draw(st.integers(1, 3))):
        first, second = sorted(draw(st.integers(0, len(content))) for _ in range(2))
        what = draw(st.sampled_from(["flip", "flip", "cut", "drop", "insert", "double", "noise"]))
        if what == "flip" and first < len(content):
            flipped = content[first] ^ (1 << draw(st.integers(0, 7)))
            content = content[:first] + bytes([flipped]) + content[first + 1 :]
        elif what == "cut":
            content = content[:second]
        elif what == "drop":
            content = content[:first] + content[second:]
        elif what == "insert":
            content = content[:first] + draw(st.binary(max_size=20)) + content[first:]
        elif what == "double":
            content = content[:second] + content[first:]
        elif what == "noise" and draw(st.integers(0, 5)) == 0:
            content = draw(st.binary(max_size=200))
    return content
