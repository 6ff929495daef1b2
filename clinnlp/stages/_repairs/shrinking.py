"""Edits that cover no more than what they change."""

from __future__ import annotations

from clinnlp.alignment import Edit

__all__ = ["shrink"]


def shrink(source: str, start: int, end: int, text: str) -> Edit | None:
    """Give the smallest edit that turns `source[start:end]` into `text`; None where they are the same."""
    old = source[start:end]
    if old == text:
        return None
    most = min(len(old), len(text))
    prefix = 0
    while prefix < most and old[prefix] == text[prefix]:
        prefix += 1
    suffix = 0
    while suffix < most - prefix and old[-1 - suffix] == text[-1 - suffix]:
        suffix += 1
    return Edit(start + prefix, end - suffix, text[prefix : len(text) - suffix])
