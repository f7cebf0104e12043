"""Language modelling, character by character, on a text."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nascore.contracts import Dataset, Splits, Task
from nascore.errors import DataError, SettingsError
from nascore_blocks.data.splits import TensorSplit, check_fractions, fingerprint

UNKNOWN = 0
"""The token of every character that is not in the vocabulary."""
SEEN = 2
"""How often a character must occur in the training text to be in the vocabulary."""


class Text(Dataset):
    """Windows of a text, to predict each next character.

    Without a path, the text is the language reference that CPython brings along for ``help()``
    (``pydoc_data.topics``): some 380,000 characters of English once repeated paragraphs are taken out,
    many of which would stand in two splits. It changes a little from one Python to the next; the
    fingerprint tells.

    The splits are cut by position: the first part of the text to learn from, then ``valid``, then ``test``,
    whatever the seed. So no window reaches into another split, but a text of your own that repeats itself
    does so across them. The vocabulary is that of the training text.

    An input is (length,) int64, ``length`` tokens in a row; its label is (length,) int64, the token
    after each. Windows do not overlap.

    Args:
        path: a text file, UTF-8; empty for CPython's reference.
        length: tokens in a window, >= 1.
        characters: of the training text that are learnt from, the first ones; 0 for all.
        vocabulary: most characters that are told apart, one token for all others included, >= 2.
        valid: fraction that architectures are chosen on.
        test: fraction that ``retrain`` tests on.

    Attributes:
        alphabet: what each token stands for, in order; the first, ``""``, for all other characters. Known
            after :meth:`load`.

    Raises:
        SettingsError: a value that is not allowed.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"tokens", "labels"})

    def __init__(
        self,
        path: str = "",
        length: int = 32,
        characters: int = 0,
        vocabulary: int = 96,
        valid: float = 0.1,
        test: float = 0.1,
    ) -> None:
        check_fractions([valid, test])
        for name, value, least in (("length", length, 1), ("characters", characters, 0), ("vocabulary", vocabulary, 2)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        self.path = Path(path).expanduser() if path else None
        self.length, self.characters, self.vocabulary = length, characters, vocabulary
        self.valid, self.test = valid, test
        self.alphabet: tuple[str, ...] = ()

    def load(self, seed: int) -> Splits:
        """Read the text, cut it in three, number its characters; the same for every seed."""
        name = "text" if self.path is None else f"text:{self.path.name}"
        codes = _codes(reference() if self.path is None else _read(self.path))
        held, tested = round(self.valid * len(codes)), round(self.test * len(codes))
        parts = list(np.split(codes, [len(codes) - held - tested, len(codes) - tested]))
        parts[0] = parts[0][: self.characters or None]
        for part, of in zip(parts, ("train", "valid", "test"), strict=True):
            if len(part) < 2 * self.length + 1:
                raise DataError(
                    f"The {of} part of {name} has {len(part)} characters; it needs {2 * self.length + 1} at least for "
                    f"two windows of length {self.length}: give a longer text, or a smaller data.length."
                )
        known = _vocabulary(parts[0], self.vocabulary - 1)
        self.alphabet = ("", *map(chr, known.tolist()))
        tokens = [torch.from_numpy(_numbered(part, known)) for part in parts]
        task = Task(
            name, (self.length,), len(self.alphabet), kind="language-modelling",
            fingerprint=fingerprint(name, "".join(self.alphabet), str(self.length), *tokens),
        )  # fmt: skip
        return Splits(task, *(windows(part, self.length) for part in tokens))

    def decode(self, tokens: Tensor) -> str:
        """The text of tokens (time,); a character that is not in the alphabet comes as U+FFFD."""
        return "".join(self.alphabet[token] or "\ufffd" for token in tokens.tolist())


def windows(tokens: Tensor, length: int) -> TensorSplit:
    """Windows of ``length`` tokens side by side, each with the tokens that follow; what is left over is cut off.

    Args:
        tokens: (tokens,) int64, more than ``length``.
        length: of a window.

    Returns:
        A split with inputs and labels (windows, length) int64, which share the memory of ``tokens``.
    """
    used = (len(tokens) - 1) // length * length
    return TensorSplit(tokens[:used].view(-1, length), tokens[1 : used + 1].view(-1, length))


def reference() -> str:
    """CPython's language reference as ``help()`` shows it, each paragraph where it comes first."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:  # some distributions of Python leave it out
        raise DataError(
            "This Python comes without pydoc_data.topics, the text that is taken by default; "
            "name a text of your own: --data text:PATH."
        ) from error
    seen: set[str] = set()
    kept = []
    for topic in topics.values():
        for paragraph in topic.split("\n\n"):
            words = " ".join(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                kept.append(paragraph)
    return "\n\n".join(kept)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}.") from error
    except OSError as error:
        raise DataError(f"Cannot read the text {path}: {error.strerror or error}. Name a file: text:PATH.") from error


def _codes(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _vocabulary(
    codes: np.ndarray[tuple[int], np.dtype[np.uint32]], most: int
) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The most frequent characters that occur :data:`SEEN` times or more, sorted by their code points."""
    found, counts = np.unique(codes, return_counts=True)
    ranked = np.argsort(-counts, kind="stable")[:most]  # of equals, the lower code point
    return np.sort(found[ranked[counts[ranked] >= SEEN]])


def _numbered(
    codes: np.ndarray[tuple[int], np.dtype[np.uint32]], known: np.ndarray[tuple[int], np.dtype[np.uint32]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Token of each character: 1 + its place among the known ones, or :data:`UNKNOWN`."""
    if not len(known):
        return np.full(len(codes), UNKNOWN, dtype=np.int64)
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return np.where(known[place] == codes, place + 1, UNKNOWN).astype(np.int64)
