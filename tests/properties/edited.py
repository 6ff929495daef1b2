"""Random texts and edits for the property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from clinnlp.alignment import Edit

PIECES = [
    "a",
    "B",
    "7",
    " ",
    ".",
    "\n",
    "\r\n",
    "\x00",
    "e\u0301",  # an accent of its own
    "a\u0323\u0301\u0302",  # a heap of them
    "\u0301",  # one without a letter
    "\u1112\u1161\u11ab",  # Hangul in parts
    "\U0001f469\u200d\u2695\ufe0f",  # a woman doctor: four code points, one sign
    "\U0001f637",
    "\u05d1\u05bc\u05d3\u05d9\u05e7\u05d4",  # Hebrew
    "\u0641\u062d\u0635\u200f",  # Arabic with a mark of direction
    "\u202b",
    "\u6025\u6027",
    "\uff21\uff11",
    "\ufeff",
    "\U0010ffff",
]

texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
any_text = st.one_of(texts, st.text(max_size=20))


@st.composite
def edits_of(draw: st.DrawFn, length: int, most: int = 6) -> list[Edit]:
    """Edits that a text of this length can take: replacements, deletions, insertions, side by side or apart."""
    edits: list[Edit] = []
    at, free = 0, True  # whether something may be inserted at `at`
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(at, length))
        end = draw(st.integers(start, min(length, start + 4)))
        text = draw(st.one_of(st.just(""), texts.filter(bool)))
        if start == end and (not text or (start == at and not free)):
            continue
        edits.append(Edit(start, end, text))
        at, free = end, start != end
    return draw(st.permutations(edits))


def spans_of(length: int) -> st.SearchStrategy[tuple[int, int]]:
    """Spans inside a text of this length, empty ones too."""
    return st.tuples(st.integers(0, length), st.integers(0, length)).map(lambda pair: (min(pair), max(pair)))
