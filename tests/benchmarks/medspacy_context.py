"""ConText of medspaCy on JSON Lines, for `assertion.py`; run by the Python of an environment that has medspacy 1.3.1.

Each line has a text, the spans to judge and the starts of its sentences; each line of the answer has a dictionary of
flags for each span.
"""

from __future__ import annotations

import json
import sys

import medspacy  # type: ignore[import-not-found]  # noqa: F401 - registers the component
import spacy
from spacy.tokens import Doc, Span


def main() -> None:
    """Read lines from standard input and write as many to standard output."""
    nlp = spacy.blank("en")
    context = nlp.add_pipe("medspacy_context")
    for line in sys.stdin:
        item = json.loads(line)
        doc = nlp.make_doc(item["text"])
        mark_sentences(doc, item["starts"])
        spans = [doc.char_span(*span, alignment_mode="expand") for span in item["spans"]]
        flags = []
        for span in spans:
            doc.ents = [Span(doc, span.start, span.end, "CONDITION")]
            context(doc)
            own = doc.ents[0]._
            hypothetical = own.is_hypothetical or own.is_uncertain
            found = {"negated": own.is_negated, "hypothetical": hypothetical}
            flags.append({**found, "historical": own.is_historical, "family": own.is_family})
        print(json.dumps(flags))


def mark_sentences(doc: Doc, starts: list[int]) -> None:
    """Let sentences start where they do by our tokenizer."""
    left = sorted(starts, reverse=True)
    for token in doc:
        token.is_sent_start = token.i == 0
        while left and left[-1] < token.idx + len(token.text):
            left.pop()
            token.is_sent_start = True


if __name__ == "__main__":
    main()
