"""The loss of a linear-chain conditional random field (Lafferty et al., 2001), and its probabilities while training."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import pad_sequence

from clinnlp.training.losses import IGNORED

__all__ = ["chain_marginals", "crf_loss", "words_of"]


def words_of(values: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take what belongs to words out of windows of pieces.

    Parameters
    ----------
    values : Tensor, shape (windows, pieces, ...)
    targets : Tensor of int64, shape (windows, pieces)
        Labels of words at their first pieces; other pieces are `IGNORED`.

    Returns
    -------
    values : Tensor, shape (windows with words, words, ...)
        Padded with zeros.
    mask : Tensor of bool, shape (windows with words, words)
    """
    kept = targets != IGNORED
    rows = [i for i, row in enumerate(kept) if bool(row.any())]
    ones = [torch.ones(int(kept[i].sum()), dtype=torch.bool, device=kept.device) for i in rows]
    return pad_sequence([values[i][kept[i]] for i in rows], batch_first=True), pad_sequence(ones, batch_first=True)


def crf_loss(logits: torch.Tensor, targets: torch.Tensor, transitions: torch.Tensor) -> torch.Tensor:
    """Give the mean negative log likelihood of a word's label, over whole windows.

    Parameters
    ----------
    logits : Tensor of float, shape (windows, pieces, labels)
    targets : Tensor of int64, shape (windows, pieces)
        Labels of words at their first pieces; other pieces are `IGNORED`, and the chain passes over them.
    transitions : Tensor of float, shape (labels, labels)
        Score of the second label after the first.
    """
    if not bool((targets != IGNORED).any()):
        return logits.sum() * 0.0 + transitions.sum() * 0.0  # a batch without gold, whose graph must be whole
    scores, mask = words_of(logits.float(), targets)
    labels, _ = words_of(targets, targets)
    gold = (scores.gather(2, labels[:, :, None]).squeeze(2) * mask).sum(dim=1)
    gold = gold + (transitions[labels[:, :-1], labels[:, 1:]] * mask[:, 1:]).sum(dim=1)
    return (_log_partition(scores, mask, transitions) - gold).sum() / mask.sum()


def chain_marginals(scores: torch.Tensor, mask: torch.Tensor, transitions: torch.Tensor) -> torch.Tensor:
    """Give the probability of each label of each word: the slope of the log partition function.

    Parameters
    ----------
    scores : Tensor of float, shape (windows, words, labels)
    mask : Tensor of bool, shape (windows, words)
    transitions : Tensor of float, shape (labels, labels)

    Returns
    -------
    Tensor of float, shape (windows, words, labels)
        Which can be differentiated, where gradients are enabled.
    """
    going_on = torch.is_grad_enabled()
    with torch.enable_grad():
        scores = scores if scores.requires_grad else scores.detach().requires_grad_(True)
        total = _log_partition(scores, mask, transitions).sum()
        (slope,) = torch.autograd.grad(total, scores, create_graph=going_on)
    return slope


def _log_partition(scores: torch.Tensor, mask: torch.Tensor, transitions: torch.Tensor) -> torch.Tensor:
    state = scores[:, 0]
    for t in range(1, scores.shape[1]):
        further = torch.logsumexp(state[:, :, None] + transitions, dim=1) + scores[:, t]
        state = torch.where(mask[:, t, None], further, state)
    return torch.logsumexp(state, dim=1)
