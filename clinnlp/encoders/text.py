"""Texts to word pieces with offsets, windows of them, and batches for an encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinnlp.encoders.windows import chunk_spans, owned_ranges, paragraph_spans, window_ranges
from clinnlp.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

__all__ = ["Paragraph", "TextWindows", "Window", "check_sizes"]

_TOKENIZED_AT_ONCE = 256


@dataclass(slots=True)
class Paragraph:
    """The word pieces of one paragraph.

    Parameters
    ----------
    ids : ndarray of int32, shape (pieces,)
        Vocabulary ids, without special ones.
    starts, ends : ndarray of int64, shape (pieces,)
        Offsets in the text that was tokenized.
    words : ndarray of int64, shape (pieces,)
        Number of the tokenizer's own word that each piece belongs to, rising; -1 for none.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    words: NDArray[np.int64]


@dataclass(slots=True)
class Window:
    """A range of a paragraph's pieces, and the part of it whose results are kept.

    Parameters
    ----------
    paragraph : int
        Position of the paragraph in the list that was cut.
    start, end : int
        Pieces that the encoder reads.
    keep_start, keep_end : int
        Pieces of which this window holds the most central copy.
    """

    paragraph: int
    start: int
    end: int
    keep_start: int
    keep_end: int


class TextWindows:
    """A tokenizer with the windows of an encoder.

    Parameters
    ----------
    tokenizer : fast tokenizer of transformers
    size : int
        Longest window in pieces, special ones counted.
    overlap : int
        Pieces that two windows of one paragraph share at least.
    config : PretrainedConfig, optional
        The encoder's configuration, whose positions bound the window.

    Raises
    ------
    ConfigError
        If the windows are longer than the encoder allows, or do not move forward.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, size: int, overlap: int, config: PretrainedConfig | None = None
    ) -> None:
        self.tokenizer = tokenizer
        if hasattr(tokenizer, "backend_tokenizer"):
            # "[SEP]" in a note is four marks and a word, not an order to the encoder.
            tokenizer.backend_tokenizer.encode_special_tokens = True
        self.prefix, self.suffix = _special_ids(tokenizer)
        self.pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        positions = _positions(tokenizer, config)
        self.content = min(size, positions) - len(self.prefix) - len(self.suffix)
        self.overlap = overlap
        if self.content < 1 or not 0 <= overlap < self.content:
            raise ConfigError(
                f"windows of {size} pieces with an overlap of {overlap} do not fit: the encoder reads {positions},"
                f" {len(self.prefix) + len(self.suffix)} of them special; the overlap must be less than the rest"
            )

    def paragraphs(self, texts: Iterable[str]) -> list[list[Paragraph]]:
        """Tokenize texts paragraph by paragraph; all of a text is read, whatever its length."""
        chunks: list[tuple[int, int, int, str]] = []
        counts: list[int] = []
        number = 0
        for text in texts:
            spans = paragraph_spans(text)
            counts.append(len(spans))
            for start, end in spans:
                chunks += [(number, low, high, text) for low, high in chunk_spans(text, start, end)]
                number += 1
        made = self._tokenize(chunks)
        parts: list[list[Paragraph]] = [[] for _ in range(number)]
        for (paragraph, *_), part in zip(chunks, made, strict=True):
            parts[paragraph].append(part)
        joined = iter([_join(part) for part in parts])
        return [[next(joined) for _ in range(count)] for count in counts]

    def _tokenize(self, chunks: Sequence[tuple[int, int, int, str]]) -> Iterator[Paragraph]:
        for at in range(0, len(chunks), _TOKENIZED_AT_ONCE):
            some = chunks[at : at + _TOKENIZED_AT_ONCE]
            encoded = self.tokenizer(
                [text[low:high] for _, low, high, text in some],
                add_special_tokens=False,
                return_offsets_mapping=True,
                return_attention_mask=False,
                return_token_type_ids=False,
                truncation=False,
                verbose=False,
            )
            for i, (_, low, _, _) in enumerate(some):
                offsets = np.array(encoded["offset_mapping"][i], dtype=np.int64).reshape(-1, 2) + low
                words = np.array([-1 if word is None else word for word in encoded.word_ids(i)], dtype=np.int64)
                ids = np.array(encoded["input_ids"][i], dtype=np.int32)
                yield Paragraph(ids, offsets[:, 0], offsets[:, 1], words)

    def windows(self, paragraphs: Sequence[Paragraph]) -> list[Window]:
        """Cut paragraphs into windows, in order."""
        found: list[Window] = []
        for i, paragraph in enumerate(paragraphs):
            ranges = window_ranges(len(paragraph.ids), self.content, self.overlap)
            for (start, end), (keep_start, keep_end) in zip(ranges, owned_ranges(ranges), strict=True):
                found.append(Window(i, start, end, keep_start, keep_end))
        return found

    def input_ids(self, paragraph: Paragraph, window: Window) -> list[int]:
        """Give a window's ids with the special ones around them."""
        return [*self.prefix, *paragraph.ids[window.start : window.end].tolist(), *self.suffix]

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Make a padded batch.

        Returns
        -------
        dict of Tensor, int64, shape (rows, longest)
            `input_ids` and `attention_mask`.
        """
        import torch

        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[i, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}


def check_sizes(stage: str, **sizes: int) -> None:
    """Refuse sizes that are no whole numbers from 0.

    Raises
    ------
    ConfigError
        Naming the stage and the setting.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ConfigError(f"stage {stage!r}: {name} must be a whole number of word pieces, from 0")


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a", add_special_tokens=True)["input_ids"]
    for at in range(len(full) - len(bare) + 1):
        if full[at : at + len(bare)] == bare:
            return full[:at], full[at + len(bare) :]
    return [], []


def _positions(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig | None) -> int:
    """Give the longest input: tokenizers without a limit say a huge number, RoBERTa counts two for padding."""
    limits = [int(tokenizer.model_max_length)]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        padded = getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "longformer")
        limits.append(positions - 2 if padded else positions)
    return min(limits)


def _join(parts: Sequence[Paragraph]) -> Paragraph:
    if len(parts) == 1:
        return parts[0]
    shift = 0
    words: list[NDArray[np.int64]] = []
    for part in parts:
        words.append(np.where(part.words >= 0, part.words + shift, -1))
        shift += int(part.words.max(initial=-1)) + 1
    return Paragraph(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
        np.concatenate(words),
    )
