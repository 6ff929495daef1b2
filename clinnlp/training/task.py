"""What is fitted: a head with its examples, and heads on one encoder as one module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from clinnlp.encoders.model_heads import head_logits
from clinnlp.training.batches import Drawn

if TYPE_CHECKING:
    from clinnlp.training.scores import Scores

__all__ = ["Batch", "HeadTask", "HeadsOnEncoder", "TaskExamples"]

Batch = dict[str, Any]
"""`parts`, a list of padded inputs of the encoder, and what else the loss needs."""


@dataclass
class HeadTask:
    """A head, what it learns from, and how it is judged.

    Parameters
    ----------
    stage : Stage
        Whose head it is; its name is that of the task.
    head : Module
    examples : sequence
    lengths : sequence of int
        Tokens of each example, for batches of a token budget.
    collate : callable
        Makes a batch of a list of examples, with a generator for what is decided by chance.
    loss : callable
        Gives the mean loss of a batch: from the head's outputs on each of its parts, the batch, and for each teacher
        its outputs on the same parts.
    evaluate : callable, optional
        Scores the stage, as it then is, on development records.
    logits : callable, optional
        Gives what a temperature is fitted on: logits, targets and whether they are multi-label, on those records.
    tune : callable, optional
        Chooses thresholds on those records, at the end.
    head_rate : float, optional
        The head's learning rate.
    prepare : callable, optional
        Makes the head what is fitted, when the fit begins; what it gives back undoes that, for a fit that comes to
        nothing.
    rates : dict of str to float
        Learning rates of single weights of the head, by the beginning of their names.
    teachers : list of Stage
        Whose mean probabilities are learned beside the gold; `logits_of` gives them.
    records : int
        Training records.
    notes : list of str
        What a reader of the report should know.
    name : str
        Name of the task; by default the stage's.
    gold : dict of str to str
        Checksums of the records, for a run that is to go on from a checkpoint.
    """

    stage: Any
    head: Any
    examples: Sequence[Any]
    lengths: Sequence[int]
    collate: Callable[[list[Any], torch.Generator], Batch]
    loss: Callable[[list[torch.Tensor], Batch, list[list[torch.Tensor]]], torch.Tensor]
    evaluate: Callable[[], Scores] | None = None
    logits: Callable[[], tuple[Any, Any, bool]] | None = None
    tune: Callable[[], Any] | None = None
    head_rate: float | None = None
    prepare: Callable[[], Callable[[], None]] | None = None
    rates: dict[str, float] = field(default_factory=dict)
    teachers: list[Any] = field(default_factory=list)
    records: int = 0
    notes: list[str] = field(default_factory=list)
    name: str = ""
    gold: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.name or str(self.stage.name)


class TaskExamples(torch.utils.data.Dataset[tuple[Drawn, Any]]):
    """The examples of several tasks, by what the sampler drew."""

    def __init__(self, tasks: Sequence[HeadTask]) -> None:
        self.tasks = tasks

    def __len__(self) -> int:
        return sum(len(task.examples) for task in self.tasks)

    def __getitem__(self, drawn: Drawn) -> tuple[Drawn, Any]:
        return drawn, self.tasks[drawn.task].examples[drawn.index]

    def collate(self, items: list[tuple[Drawn, Any]]) -> Batch:
        """Make a batch of examples of one task."""
        drawn = items[0][0]
        chance = torch.Generator().manual_seed(drawn.seed)
        batch = self.tasks[drawn.task].collate([example for _, example in items], chance)
        return {"task": drawn.task, **batch}


class HeadsOnEncoder(nn.Module):
    """Heads on one encoder, run as they are run on records: states first, then the head on them.

    Parameters
    ----------
    encoder : Module or None
        None where each head is a whole model.
    heads : sequence of Module
    frozen : bool
        Whether the encoder stays as it is; what it gives for a window is then computed once, and kept in 16 bits.
    """

    # What is kept of a frozen encoder; beyond that, states are computed anew every time.
    most_kept = 4 * 2**30

    def __init__(self, encoder: nn.Module | None, heads: Sequence[nn.Module], frozen: bool = False) -> None:
        super().__init__()
        self.encoder, self.heads = encoder, nn.ModuleList(heads)
        self.frozen = frozen and encoder is not None
        self._kept: dict[bytes, torch.Tensor] = {}
        self._bytes = 0
        if self.frozen:
            assert encoder is not None
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> HeadsOnEncoder:
        """Switch dropout on or off; it stays off in an encoder that is frozen."""
        super().train(mode)
        if self.frozen and self.encoder is not None:
            self.encoder.eval()
        return self

    def forward(
        self,
        task: int,
        parts: Sequence[Mapping[str, torch.Tensor]],
        loss: Callable[[list[torch.Tensor]], torch.Tensor] | None = None,
    ) -> Any:
        """Give the outputs of one head on each part of a batch, or their loss.

        A loss may have weights of the head, and several processes only learn of those that are used in here.
        """
        head = self.heads[task]
        if self.encoder is None:
            outputs = [head(**part).logits for part in parts]
        else:
            outputs = [head_logits(head, self._states(part), part["attention_mask"]) for part in parts]
        return outputs if loss is None else loss(outputs)

    def _states(self, part: Mapping[str, torch.Tensor]) -> torch.Tensor:
        assert self.encoder is not None
        if not self.frozen:
            return self.encoder(**part)[0]  # type: ignore[no-any-return]
        ids, mask = part["input_ids"].cpu(), part["attention_mask"]
        rows = [row[: int(length)] for row, length in zip(ids, mask.sum(dim=1), strict=True)]
        keys = [row.numpy().tobytes() for row in rows]
        with torch.no_grad():
            if any(key not in self._kept for key in keys):
                states = self.encoder(**part)[0]
                if self._bytes < self.most_kept:
                    for key, row, own in zip(keys, rows, states, strict=True):
                        if key not in self._kept:
                            self._kept[key] = own[: len(row)].to("cpu", torch.float16)
                            self._bytes += 2 * self._kept[key].numel()
                return states  # type: ignore[no-any-return]
            found = [self._kept[key] for key in keys]
            states = torch.zeros((*ids.shape, found[0].shape[-1]), dtype=torch.float32)
            for i, own in enumerate(found):
                states[i, : len(own)] = own
        return states.to(mask.device)
