"""Training batches of a token budget, each of one task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from clinnlp.encoders.text import TextWindows

__all__ = ["BudgetSampler", "Drawn", "MixedSampler", "hide_words"]

_ROUNDING = 8


@dataclass(frozen=True, slots=True)
class Drawn:
    """An example that was drawn for a batch: its task, its place in it, and the seed of the batch's own chance."""

    task: int
    index: int
    seed: int


class BudgetSampler:
    """Batches of examples of like length, each at most `budget` tokens when padded.

    Examples whose lengths differ by less than 8 are shuffled among each other in every pass, and so are the
    batches. Where batches end depends on the lengths alone, so every pass has the same number of them.

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
        self.seed = seed
        order = sorted(self.lengths, reverse=True)
        self.sizes: list[int] = []
        at = 0
        while at < len(order):
            size = max(1, min(budget // max(order[at], 1), len(order) - at))
            self.sizes.append(size)
            at += size

    def __len__(self) -> int:
        return len(self.sizes)

    def batches(self, number: int) -> list[list[int]]:
        """Give the batches of a pass, as positions in `lengths`: each once."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        order.sort(key=lambda i: -self.lengths[i])
        batches: list[list[int]] = []
        at = 0
        for size in self.sizes:
            batches.append(order[at : at + size])
            at += size
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


class MixedSampler(Sampler[list[Drawn]]):
    """The batches of several tasks, mixed by chance; every epoch has the same number of them.

    The Trainer counts its steps by that number. What a batch's own chance decides, such as which words are hidden,
    hangs on the seed that is drawn with it and on nothing that ran before, so that a run that is resumed in the middle
    of an epoch sees the same.

    Parameters
    ----------
    tasks : sequence of BudgetSampler
    rates : sequence of float
        How often a task's examples are seen in an epoch: 1 is once. Below 1, the next epoch goes on where this one
        ended.
    seed : int
    multiple : int
        The number of batches is brought to a multiple of this, that of the processes, by more of the first ones.
    """

    def __init__(
        self, tasks: Sequence[BudgetSampler], rates: Sequence[float] | None = None, seed: int = 0, multiple: int = 1
    ) -> None:
        self.tasks, self.seed, self.epoch, self.multiple = tasks, seed, 0, multiple
        rates = [1.0] * len(tasks) if rates is None else rates
        self.counts = [max(1, round(rate * len(task))) for task, rate in zip(tasks, rates, strict=True)]
        # Batches differ in size: told a size, accelerate would leave out all batches of another one.
        self.batch_size = None
        self.drop_last = False

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-sum(self.counts) // self.multiple) * self.multiple

    def __iter__(self) -> Iterator[list[Drawn]]:
        batches = [(number, batch) for number in range(len(self.tasks)) for batch in self._epoch_of(number)]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if len(self.tasks) > 1:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        for i in range(len(self)):
            seed = int(torch.randint(2**62, (), generator=generator))
            number, batch = batches[i % len(batches)]
            yield [Drawn(number, index, seed) for index in batch]

    def _epoch_of(self, number: int) -> list[list[int]]:
        """Give the batches of one task in this epoch, going on after those of the epochs before."""
        task, count = self.tasks[number], self.counts[number]
        first = self.epoch * count
        passes = range(first // len(task), (first + count - 1) // len(task) + 1)
        ahead = [batch for number in passes for batch in task.batches(number)]
        return ahead[first % len(task) :][:count]


def hide_words(
    batch: dict[str, torch.Tensor], windows: TextWindows, share: float, chance: torch.Generator | None = None
) -> None:
    """Put the mask token in the place of a random share of a batch's word pieces, special ones excepted.

    Parameters
    ----------
    batch : dict of Tensor
        Its `input_ids` are replaced.
    windows : TextWindows
        Whose tokenizer must have a mask token; else nothing is done.
    share : float
        Between 0 and 1.
    chance : Generator, optional
    """
    mask_id = windows.tokenizer.mask_token_id
    if not share or mask_id is None:
        return
    ids = batch["input_ids"]
    special = torch.tensor([*windows.prefix, *windows.suffix, windows.pad_id])
    hidden = (torch.rand(ids.shape, generator=chance) < share) & ~torch.isin(ids, special)
    batch["input_ids"] = ids.masked_fill(hidden, mask_id)
