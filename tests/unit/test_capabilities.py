"""Which parts fit together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore.capabilities import Chosen, check, mismatches
from nascore.errors import CapabilityError


def part(kind, requires=(), provides=()):
    return Chosen(kind, f"x:{kind}", SimpleNamespace(requires=frozenset(requires), provides=frozenset(provides)))


words = st.sets(st.sampled_from("abcd"))


@given(st.lists(st.tuples(words, words), max_size=5))
def test_a_mismatch_is_a_word_that_no_other_part_provides(parts):
    chosen = [part(str(i), requires, provides) for i, (requires, provides) in enumerate(parts)]
    expected = [
        (str(i), word)
        for i, (requires, _) in enumerate(parts)
        for word in sorted(requires)
        if word not in set().union(*(provides for j, (_, provides) in enumerate(parts) if j != i))
    ]
    assert [(m.chosen.kind, m.word) for m in mismatches(chosen)] == expected


def test_a_part_does_not_serve_itself():
    assert [m.word for m in mismatches([part("sampler", {"policy"}, {"policy"})])] == ["policy"]


def test_parts_that_fit_pass_without_a_look_at_what_is_installed():
    def providers(word):
        raise AssertionError("asked in vain")

    check([part("space", provides={"mutate"}), part("sampler", {"mutate"})], providers)


def test_the_error_names_the_part_the_word_and_what_would_fit():
    with pytest.raises(CapabilityError) as caught:
        check(
            [part("sampler", {"mutate", "policy"}), part("space")],
            lambda word: ["search space y:cells", "search space z:nets"] if word == "mutate" else [],
        )
    text = str(caught.value)
    assert "the sampler 'x:sampler' requires 'mutate'" in text
    assert "these do: search space y:cells, search space z:nets" in text
    assert "requires 'policy', which no other part provides; nothing installed does" in text
    assert "nascore plugins matrix" in text
