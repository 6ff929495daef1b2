"""VectorClassifier: labels of whole notes by their vectors, from few examples or in seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.cards import base_name
from clinnlp.stages._ensemble import refuse_ensemble
from clinnlp.stages.reports import ReportClassifier

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PretrainedConfig

    from clinnlp.encoders.own_heads import LabelledVectorHead
    from clinnlp.stage import Stage
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import FitReport, Gold

__all__ = ["VectorClassifier"]


class VectorClassifier(ReportClassifier):
    """Classify whole notes by their vectors.

    The vector of a note is the mean of the encoder's states over all its windows, each weighing as many word pieces
    as it holds most centrally, brought to length 1; a linear layer gives the labels from it. Results stand where those
    of a `ReportClassifier` do, and all its settings are the same. transformers has no model of this form: the head is
    saved beside the encoder.

    A bag of words votes with it, unless `bag_of_words=False`.

    `FitConfig(method=...)` says how it learns: "linear", the default, from the encoder as it is, in one pass over the
    notes and some seconds, with classes weighing the same where a note may have several; "nearest" from very few
    examples; "contrastive" from 8 to 64 examples a class, the encoder with it; "tuned" goes on from "linear" with
    encoder and head.
    """

    kind: ClassVar[str] = "vectors"
    auto_class: ClassVar[str] = ""
    head_form: ClassVar[str] = "LabelledVectorHead"
    new_bag: ClassVar[bool] = True

    def _make_head(self, config: PretrainedConfig) -> LabelledVectorHead:
        from clinnlp.encoders.own_heads import LabelledVectorHead

        return LabelledVectorHead(config)

    def vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give the vectors of texts.

        Returns
        -------
        vectors : ndarray of float, shape (texts, width)
            Of length 1; zeros for a text without a word.
        empty : ndarray of bool, shape (texts,)
            Which texts have no word.
        """
        return self.text_vectors(texts)

    def _head_logits(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give the logits of the vector of each text."""
        vectors, empty = self.vectors(texts)
        layer = self.head.classifier
        weights, bias = (part.detach().double().cpu().numpy() for part in (layer.weight, layer.bias))
        return vectors @ weights.T + bias, empty

    def head_logits_of(self, pooled: torch.Tensor) -> torch.Tensor:
        """Give the logits of the averaged vectors of reports; shape (reports, labels)."""
        return self.head.label(pooled)  # type: ignore[no-any-return]

    def window_logits(self, text: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Give what makes logits of states and mask, the length of the text's vector being what it is."""
        import torch

        from clinnlp.encoders.model_heads import head_logits

        layer = self.head.classifier
        length = max(float(np.linalg.norm(self._pooled([text], layer.in_features)[0])), 1e-12)

        def logits(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(head_logits(self.head, states, mask) / length, layer.weight, layer.bias)

        return logits

    def default_fit_config(self) -> FitConfig:
        """Give the settings of a `fit` without any."""
        from clinnlp.training.config import FitConfig

        # Where a note may have any number of labels the rare ones are seldom given otherwise: macro F1 on a fold of
        # MTSamples was 0.748 with classes that weigh the same, and 0.689 without.
        return FitConfig(method="linear", class_weights="balanced" if self.multi_label else None)

    def fit(
        self,
        train: Gold,
        dev: Gold | None = None,
        config: FitConfig | None = None,
        teacher: Stage | Sequence[Stage] | None = None,
    ) -> FitReport:
        """Fine-tune on gold, in place; see `LearningStage.fit` and `FitConfig.method`, by default "linear"."""
        from clinnlp.training.vectors import fit_vectors

        refuse_ensemble(self, "fitted")
        return fit_vectors(self, train, dev, config or self.default_fit_config(), teacher)

    def told_of_fit(self, report: FitReport) -> str | None:
        """Say how it was fitted where it was not in epochs."""
        method = report.config.method
        if method not in ("linear", "nearest"):
            return None
        way = "a logistic regression on" if method == "linear" else "the nearest mean of"
        own = "it is" if not self.encoder.changed else "it was after other heads were trained on it"
        return (
            f"Fitted on {report.records.get(self.fitted_as, 'an unknown number of')} training records as {way} the"
            f" vectors of `{base_name(report.base)}` as {own}, seed {report.config.seed}."
        )

    def set_classifier(self, weights: Any, bias: Any) -> None:
        """Give the linear layer its weights, shape (labels, width), and bias, shape (labels,)."""
        import torch

        with torch.no_grad():
            self.head.classifier.weight.copy_(torch.from_numpy(np.asarray(weights, dtype=np.float32)))
            self.head.classifier.bias.copy_(torch.from_numpy(np.asarray(bias, dtype=np.float32)))
        self.head_changed = True
