"""Training batches of a token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from clinnlp.encoders.text import TextWindows

__all__ = ["BudgetSampler", "hide_words"]

_ROUNDING = 8


class BudgetSampler(Sampler[list[int]]):
    """Batches of examples of like length, each at most `budget` tokens when padded.

    Examples whose lengths differ by less than 8 are shuffled among each other in every epoch, and so are the
    batches. Where batches end depends on the lengths alone, so every epoch has the same number of them: the
    Trainer counts steps by that.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each example.
    budget : int
        Tokens of a padded batch; a longer example goes alone.
    seed : int
    """

    def __init__(self, lengths: Sequence[int], budget: int, seed: int = 0) -> None:
        self.lengths = [-(-length // _ROUNDING) * _ROUNDING for length in lengths]
        self.seed, self.epoch = seed, 0
        order = sorted(self.lengths, reverse=True)
        self.sizes: list[int] = []
        at = 0
        while at < len(order):
            size = max(1, min(budget // max(order[at], 1), len(order) - at))
            self.sizes.append(size)
            at += size
        # The Trainer reads this as the usual size of a batch.
        self.batch_size = max(self.sizes, default=1)
        self.drop_last = False

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        order.sort(key=lambda i: -self.lengths[i])
        batches: list[list[int]] = []
        at = 0
        for size in self.sizes:
            batches.append(order[at : at + size])
            at += size
        for i in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[i]


def hide_words(batch: dict[str, torch.Tensor], windows: TextWindows, share: float) -> None:
    """Put the mask token in the place of a random share of a batch's word pieces, special ones excepted.

    Parameters
    ----------
    batch : dict of Tensor
        Its `input_ids` are replaced.
    windows : TextWindows
        Whose tokenizer must have a mask token; else nothing is done.
    share : float
        Between 0 and 1.
    """
    mask_id = windows.tokenizer.mask_token_id
    if not share or mask_id is None:
        return
    ids = batch["input_ids"]
    special = torch.tensor([*windows.prefix, *windows.suffix, windows.pad_id])
    hidden = (torch.rand(ids.shape) < share) & ~torch.isin(ids, special)
    batch["input_ids"] = ids.masked_fill(hidden, mask_id)
