"""A bag of words: labels of texts by the terms in them, without an encoder.

Term frequencies weighted by inverse document frequency (TF-IDF) and a logistic regression for each label, both of
scikit-learn. Terms are hashed (Weinberger et al., 2009): what is saved has no word of the texts that it learned from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.encoders.checkpoints import BAG_FILE
from clinnlp.errors import CheckpointError, TrainingError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["VIEWS", "BagOfWords", "Terms", "has_terms", "joined", "regression"]


# Single letters are words too: "T wave", "vitamin D". "No" and "not" are no content words in scikit-learn's list.
_WORD = re.compile(r"\b\w+\b")
_NGRAMS = (2, 3, 4)
# Of a million buckets few are shared by two terms that matter.
_BUCKETS = 2**20
# A term of one document says nothing of others, where there are enough of these.
_MANY = 100
# The log odds of a label that no text has, or every text.
_NEVER = -20.0

# Characters of text whose terms are in memory at once, before equal ones are counted together.
_AT_ONCE = 1_000_000
# Terms of one text that are in memory at once, where it is told what they weigh.
_TERMS_AT_ONCE = 100_000

_Term = tuple[str, tuple[tuple[int, int], ...]]


def _words(text: str, leave_out: frozenset[str] = frozenset()) -> Iterator[_Term]:
    """Give words and pairs of them in lower case, with where their words stand."""
    before: tuple[str, tuple[int, int]] | None = None
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word in leave_out:
            continue
        yield word, (match.span(),)
        if before is not None:
            yield f"{before[0]} {word}", (before[1], match.span())
        before = word, match.span()


def _content_words(text: str) -> Iterator[_Term]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return _words(text, ENGLISH_STOP_WORDS)


def _characters(text: str) -> Iterator[_Term]:
    """Give two to four characters in a row inside of what white space parts, its edges marked by a blank."""
    for match in re.finditer(r"\S+", text):
        word, span = f" {match[0].lower()} ", (match.span(),)
        for size in _NGRAMS:
            for at in range(max(len(word) - size, 0) + 1):
                yield word[at : at + size], span
            if len(word) <= size:
                break


VIEWS: dict[str, Callable[[str], Iterator[_Term]]] = {
    "words": _words,
    "content words": _content_words,
    "characters": _characters,
}
"""What can be counted: words and pairs of them, those that are no English stop words, and characters in a row."""


def has_terms(text: str) -> bool:
    """Tell whether a text has a term in every view: a word that is in any."""
    return _WORD.search(text) is not None


@dataclass
class Terms:
    """The terms of a view of a text, hashed, and what each weighs by its rarity.

    Parameters
    ----------
    view : str
        One of `VIEWS`.
    buckets : ndarray of int32, shape (terms,)
        Hashes of the terms that are counted, in order.
    rarity : ndarray of float32, shape (terms,)
        Inverse document frequency of each.
    """

    view: str
    buckets: NDArray[np.int32]
    rarity: NDArray[np.float32]

    @classmethod
    def fit(cls, view: str, texts: Sequence[str]) -> tuple[Self, Any]:
        """Find the terms of texts, those of two or more texts where there are 100 or more; and count them.

        Returns
        -------
        Terms
        counted : sparse matrix, shape (texts, terms)
            As `transform` gives it.

        Raises
        ------
        TrainingError
            If no text has a term.
        """
        counts = _hashed(view, texts)
        frequency = np.bincount(counts.indices, minlength=_BUCKETS)
        kept = np.flatnonzero(frequency >= (2 if len(texts) >= _MANY else 1))
        if not len(kept):
            kept = np.flatnonzero(frequency)
        if not len(kept):
            raise TrainingError(f"none of {len(texts)} training texts has {view}: a bag of words has nothing to count")
        rarity = np.log((1 + len(texts)) / (1 + frequency[kept])) + 1
        made = cls(view, kept.astype(np.int32), rarity.astype(np.float32))
        return made, made._weigh(counts)

    def transform(self, texts: Sequence[str]) -> Any:
        """Count the terms of texts: the logarithm of each number and one, times its rarity, in rows of length 1."""
        return self._weigh(_hashed(self.view, texts))

    def carried(self, text: str, weights: NDArray[np.float32]) -> Iterator[tuple[tuple[tuple[int, int], ...], float]]:
        """Give the spans of each term of a text, and its part of a sum of `weights`, shape (terms,), by its counts."""
        from sklearn.feature_extraction import FeatureHasher

        counts = _hashed(self.view, [text])
        row, kept = self._weigh(counts), counts[:, self.buckets]
        often = dict(zip(kept.indices.tolist(), kept.data.tolist(), strict=True))
        parts = {
            place: part / often[place]
            for place, part in zip(row.indices.tolist(), (row.data * weights[row.indices]).tolist(), strict=True)
        }
        hasher = FeatureHasher(_BUCKETS, input_type="string", alternate_sign=False)
        terms = VIEWS[self.view](text)
        while parts and (some := list(islice(terms, _TERMS_AT_ONCE))):
            hashes = hasher.transform([term] for term, _ in some).indices
            places = np.searchsorted(self.buckets, hashes)
            known = self.buckets[np.minimum(places, len(self.buckets) - 1)] == hashes
            for (_, spans), place, counted in zip(some, places.tolist(), known.tolist(), strict=True):
                if counted:
                    yield spans, parts[place]

    def _weigh(self, counts: Any) -> Any:
        from scipy.sparse import diags
        from sklearn.preprocessing import normalize

        kept = counts[:, self.buckets]
        kept.data = np.log(kept.data) + 1
        return normalize(kept @ diags(self.rarity.astype(np.float64)), copy=False).tocsr()


def _hashed(view: str, texts: Sequence[str]) -> Any:
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import HashingVectorizer

    find = VIEWS[view]
    vectorizer = HashingVectorizer(
        analyzer=lambda text: (term for term, _ in find(text)), n_features=_BUCKETS, alternate_sign=False, norm=None
    )
    parts: list[list[str]] = [[]]
    size = 0
    for text in texts:
        if parts[-1] and size + len(text) > _AT_ONCE:
            parts.append([])
            size = 0
        parts[-1].append(text)
        size += len(text)
    return vstack([vectorizer.transform(part) for part in parts]).tocsr()


def joined(counted: Sequence[Any]) -> Any:
    """Put the counts of several views side by side."""
    from scipy.sparse import hstack

    return hstack(counted).tocsr()


@dataclass
class BagOfWords:
    """Tells labels of texts by the terms in them, each label from all others.

    Parameters
    ----------
    terms : list of Terms
    weights : ndarray of float32, shape (labels, terms of all views)
    bias : ndarray of float32, shape (labels,)
    """

    terms: list[Terms]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def fit(cls, texts: Sequence[str], aims: NDArray[np.bool_], features: Sequence[str], strength: float) -> Self:
        """Learn from texts.

        Parameters
        ----------
        texts : sequence of str
        aims : ndarray of bool, shape (texts, labels)
        features : sequence of str
            Some of `VIEWS`.
        strength : float
            Inverse of the regularization, scikit-learn's `C`.

        Raises
        ------
        TrainingError
            If no text has a term.
        """
        pairs = [Terms.fit(view, texts) for view in features]
        weights, bias = regression(joined([counted for _, counted in pairs]), aims, strength)
        return cls([terms for terms, _ in pairs], weights, bias)

    def log_odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Give the log odds of each label; shape (texts, labels)."""
        if not texts:
            return np.zeros((0, len(self.bias)))
        return np.asarray(joined([terms.transform(texts) for terms in self.terms]) @ self.weights.T + self.bias)

    def carried(self, text: str, output: int) -> dict[tuple[int, int], float]:
        """Tell what the words of a text weigh in the log odds of a label; with the bias they sum up to them.

        Parameters
        ----------
        text : str
        output : int
            Which label.

        Returns
        -------
        dict of (int, int) to float
            Span of a word, or of what white space parts, in offsets of the text -> weight. What a pair of words weighs
            is shared by both.
        """
        found: dict[tuple[int, int], float] = {}
        before = 0
        for terms in self.terms:
            own = self.weights[output, before : before + len(terms.buckets)]
            before += len(terms.buckets)
            for spans, weight in terms.carried(text, own):
                for span in spans:
                    found[span] = found.get(span, 0.0) + weight / len(spans)
        return found

    def divided(self, temperature: float) -> BagOfWords:
        """Give one whose log odds are divided by a temperature."""
        return BagOfWords(self.terms, self.weights / np.float32(temperature), self.bias / np.float32(temperature))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Give what it is made of by name."""
        import torch

        state = {"weights": torch.from_numpy(self.weights), "bias": torch.from_numpy(self.bias)}
        for number, terms in enumerate(self.terms):
            state[f"terms.{number}.buckets"] = torch.from_numpy(terms.buckets)
            state[f"terms.{number}.rarity"] = torch.from_numpy(terms.rarity)
        return state

    def save(self, folder: Path, dtype: str = "float32") -> None:
        """Write it into a folder, as `BAG_FILE`.

        Parameters
        ----------
        folder : Path
        dtype : {"float32", "float16", "bfloat16"}
            How the weights are written.
        """
        import torch
        from safetensors.torch import save_file

        state = self.state_dict()
        state["weights"] = state["weights"].to(getattr(torch, dtype))
        save_file(state, folder / BAG_FILE, metadata={"views": json.dumps([terms.view for terms in self.terms])})

    @classmethod
    def load(cls, folder: Path, labels: int) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : Path
        labels : int
            How many it must have.

        Raises
        ------
        CheckpointError
            If it cannot be read, or is that of another head.
        """
        from safetensors import SafetensorError, safe_open

        path = folder / BAG_FILE
        try:
            with safe_open(path, "pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
                views = json.loads((file.metadata() or {})["views"])
            terms = [
                Terms(str(view), state[f"terms.{i}.buckets"].numpy(), state[f"terms.{i}.rarity"].numpy())
                for i, view in enumerate(views)
            ]
            made = cls(terms, state["weights"].float().numpy(), state["bias"].float().numpy())
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise CheckpointError(
                f"cannot read {path}: {type(error).__name__}: {reason}: save the stage again"
            ) from None
        wide = sum(len(one.buckets) for one in terms)
        if not set(views) <= set(VIEWS) or made.weights.shape != (labels, wide) or made.bias.shape != (labels,):
            raise CheckpointError(f"{path} is not that of this head: save the stage again")
        return made


def regression(
    counted: Any, aims: NDArray[np.bool_], strength: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit a logistic regression for each label, with what has it weighing as much as what has not.

    Returns
    -------
    weights : ndarray of float32, shape (labels, terms)
    bias : ndarray of float32, shape (labels,)
        -20 where nothing has the label, and 20 where all do.
    """
    from sklearn.linear_model import LogisticRegression

    weights = np.zeros((aims.shape[1], counted.shape[1]), dtype=np.float32)
    bias = np.full(aims.shape[1], _NEVER, dtype=np.float32)
    for i, aim in enumerate(aims.T):
        if aim.all():
            bias[i] = -_NEVER
        elif aim.any():
            model = LogisticRegression(C=strength, class_weight="balanced", solver="liblinear", max_iter=1000)
            model.fit(counted, aim)
            weights[i], bias[i] = model.coef_[0], model.intercept_[0]
    return weights, bias
