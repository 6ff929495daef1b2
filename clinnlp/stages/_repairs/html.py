"""What is left of HTML: character references, tags, comments, scripts and styles."""

from __future__ import annotations

import re
from html import unescape
from html.entities import html5

from clinnlp.alignment import Edit

__all__ = ["html_characters", "html_tags"]

_REFERENCE = re.compile(r"&(?:amp;)*(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

# Tags that end a line, and those that a text can be without; `address` and `time` are placeholders' names as well.
_LINE = re.compile(
    "article|blockquote|caption|dd|div|dl|dt|form|h[1-6]|hr|ol|option|p|pre|section|table|tbody|thead|title|tr|ul"
)
_INLINE = re.compile(
    "a|abbr|acronym|b|big|body|br|center|cite|code|col|colgroup|del|dfn|em|embed|fieldset|font|footer|head|header|html"
    "|i|img|input|ins|kbd|label|legend|li|link|main|map|mark|meta|nav|nobr|object|param|q|s|samp|script|select|small"
    "|span|strike|strong|style|sub|sup|td|textarea|tfoot|th|tt|u|var|wbr"
)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,9})(\s[^<>]{0,2000})?/?>|<!--|<[!?][A-Za-z][^<>]{0,2000}>")
_HIDDEN = ("script", "style")


def html_characters(text: str) -> list[Edit]:
    """Put characters in the place of references such as `&nbsp;`, `&lt;` and `&#39;`, also of `&amp;lt;`.

    Only references that end in a semicolon and that HTML knows are read, so that `R&D;` or `&c` stay as they are.
    """
    if "&" not in text:
        return []
    edits: list[Edit] = []
    for match in _REFERENCE.finditer(text):
        name = match.group()[1:].replace("amp;", "") or "amp;"
        if name[0] == "#" or name in html5:
            edits.append(Edit(match.start(), match.end(), unescape(f"&{name}")))
    return edits


def html_tags(text: str) -> list[Edit]:
    """Take out tags, comments, scripts and styles; tags that end a line become one, cells become tabs.

    Only names that HTML has are tags, so that `<5 mg`, `<PERSON>` and `p<.05` stay as they are.
    """
    if "<" not in text:
        return []
    edits: list[Edit] = []
    unclosed: set[str] = set()
    done, before = 0, ""
    for match in _TAG.finditer(text):
        start, end = match.span()
        if start < done or (name := _name(match)) is None:
            continue
        if name == "!--" or (name in _HIDDEN and not match.group(1)):
            end = _close(text, end, name, unclosed) or (start if name == "!--" else end)
        if end > start:
            before = text[start - 1] if start > done else before
            edit = Edit(start, end, _stand_in(name, bool(match.group(1)), before, text[end : end + 1]))
            edits.append(edit)
            done, before = end, edit.text[-1:] or before
    return edits


def _name(match: re.Match[str]) -> str | None:
    """Give the tag's name, `!--` for a comment, `!` for a declaration; None for what only looks like a tag."""
    if not match.group(2):
        return "!--" if match.group() == "<!--" else "!"
    name = match.group(2).lower()
    attributes = (match.group(3) or "").strip(" \t\r\n/")
    if (_LINE.fullmatch(name) or _INLINE.fullmatch(name)) and (not attributes or "=" in attributes):
        return name
    return None


def _close(text: str, start: int, name: str, unclosed: set[str]) -> int | None:
    """Find the end of a comment, script or style; one search to the end of the text for each kind at most."""
    if name in unclosed:
        return None
    closing = "-->" if name == "!--" else f"</{name}>"
    at = text.find(closing, start)
    if at < 0 and name != "!--":
        at = text.find(closing.upper(), start)
    if at < 0:
        unclosed.add(name)
        return None
    return at + len(closing)


def _stand_in(name: str, closing: bool, before: str, after: str) -> str:
    """Give what separates the text before a tag from that after it."""
    if name == "br":
        return "" if after in ("\n", "\r") else "\n"
    if name == "li" and not closing:
        return "- " if before in ("", "\n") else "\n- "
    if name in ("td", "th") and closing:
        return "\t"
    if _LINE.fullmatch(name):
        return "" if before in ("", "\n") or after in ("", "\n", "\r") else "\n"
    return ""
