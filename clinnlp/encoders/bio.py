"""Label schemes of token classifiers, and decoding that cannot give an invalid sequence.

IO, BIO and BIOES (also written BILOU or BMES) are read from the labels themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.errors import CheckpointError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LabelScheme", "bio_labels"]

_TAG = re.compile(r"([BIOESLUM])[-_](.+)", re.DOTALL)
_SAME = {"L": "E", "U": "S", "M": "I"}


def bio_labels(types: Sequence[str]) -> list[str]:
    """Give the labels of the BIO scheme for some entity types: `O`, then `B-` and `I-` of each."""
    return ["O", *(f"{tag}-{name}" for name in types for tag in "BI")]


@dataclass(frozen=True)
class LabelScheme:
    """What the labels of a token classifier mean.

    Parameters
    ----------
    tags : tuple of str
        One of O, B, I, E, S for each label.
    types : tuple of str
        Entity type of each label; `""` for O.
    """

    tags: tuple[str, ...]
    types: tuple[str, ...]

    @classmethod
    def read(cls, labels: Sequence[str]) -> LabelScheme:
        """Read a scheme from a checkpoint's labels.

        Raises
        ------
        CheckpointError
            If the labels are bare `LABEL_n`, or hold no `O`.
        """
        if any(re.fullmatch(r"LABEL_\d+", label) for label in labels):
            raise CheckpointError("the checkpoint's labels are bare LABEL_n: set id2label in its config.json")
        if labels.count("O") != 1:
            raise CheckpointError(
                f"the checkpoint's {len(labels)} labels are not of IO, BIO or BIOES form: there must be one 'O'"
            )
        plain = [label for label in labels if label != "O" and not _TAG.fullmatch(label)]
        if (plain and len(plain) < len(labels) - 1) or any(re.search(r"[-_]([BIOESLUM]?)$", label) for label in plain):
            raise CheckpointError(
                f"{len(plain)} of the checkpoint's {len(labels) - 1} entity labels have no B-, I- or the like before"
                " a type: mend id2label in its config.json"
            )
        tags, types = [], []
        for label in labels:
            match = _TAG.fullmatch(label)
            if label == "O":
                tags.append("O")
                types.append("")
            elif match is not None and match[1] != "O":
                tags.append(_SAME.get(match[1], match[1]))
                types.append(match[2])
            else:  # a bare type name is inside: the IO scheme
                tags.append("I")
                types.append(label)
        return cls(tuple(tags), tuple(types))

    @property
    def entity_types(self) -> list[str]:
        """The entity types, in the order of the labels."""
        return list(dict.fromkeys(name for name in self.types if name))

    def starts(self) -> NDArray[np.bool_]:
        """Tell for each label whether a sequence may begin with it."""
        return np.array([self._may_follow(None, j) for j in range(len(self.tags))])

    def ends(self) -> NDArray[np.bool_]:
        """Tell for each label whether a sequence may end with it."""
        return np.array([not self._is_open(i) for i in range(len(self.tags))])

    def transitions(self) -> NDArray[np.bool_]:
        """Tell for each pair (from, to) of labels whether the second may follow the first."""
        size = range(len(self.tags))
        return np.array([[self._may_follow(i, j) for j in size] for i in size])

    def _has(self, tag: str, name: str) -> bool:
        return any(t == tag and n == name for t, n in zip(self.tags, self.types, strict=True))

    def _is_open(self, i: int) -> bool:
        """Tell whether an entity at label i must go on: in BIOES, after B and I."""
        return self.tags[i] in "BI" and self._has("E", self.types[i])

    def _may_follow(self, i: int | None, j: int) -> bool:
        tag, name = self.tags[j], self.types[j]
        inside = i is not None and self.tags[i] in "BI" and self.types[i] == name
        if i is not None and self._is_open(i):
            return tag in "IE" and inside
        if tag == "E":
            return inside
        if tag == "I":
            return inside or not (self._has("B", name) or self._has("S", name))
        return True

    def decode(self, log_probs: NDArray[np.float32]) -> NDArray[np.int64]:
        """Find the most probable valid sequence of labels (Viterbi, 1967).

        Parameters
        ----------
        log_probs : ndarray of float, shape (words, labels)

        Returns
        -------
        ndarray of int, shape (words,)
        """
        best: NDArray[np.int64] = log_probs.argmax(axis=1)
        starts, ends, transitions = self.starts(), self.ends(), self.transitions()
        if not len(best):
            return best
        # The best sequence without constraints is the best with them wherever it is valid.
        if starts[best[0]] and ends[best[-1]] and transitions[best[:-1], best[1:]].all():
            return best
        return _viterbi(log_probs, starts, ends, transitions)

    def spans(self, labels: NDArray[Any]) -> list[tuple[int, int, str]]:
        """Read entities off a valid sequence of labels.

        Returns
        -------
        list of (int, int, str)
            First word, word after the last, and type.
        """
        found: list[tuple[int, int, str]] = []
        named = np.array([name != "" for name in self.types])
        closed = True
        for k in np.flatnonzero(named[labels]).tolist():
            tag, name = self.tags[labels[k]], self.types[labels[k]]
            if not closed and tag in "IE" and found[-1][1:] == (k, name):
                found[-1] = (found[-1][0], k + 1, name)
            else:
                found.append((k, k + 1, name))
            closed = tag in "ES"
        return found


def _viterbi(
    log_probs: NDArray[np.float32],
    starts: NDArray[np.bool_],
    ends: NDArray[np.bool_],
    transitions: NDArray[np.bool_],
) -> NDArray[np.int64]:
    never = -1e9
    penalty = np.where(transitions, 0.0, never)
    count, size = log_probs.shape
    back = np.zeros((count, size), dtype=np.int16)
    score = log_probs[0] + np.where(starts, 0.0, never)
    columns = np.arange(size)
    for t in range(1, count):
        paths = score[:, None] + penalty
        back[t] = paths.argmax(axis=0)
        score = paths[back[t], columns] + log_probs[t]
    path = np.empty(count, dtype=np.int64)
    path[-1] = int((score + np.where(ends, 0.0, never)).argmax())
    for t in range(count - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path
