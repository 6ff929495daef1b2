"""What each word piece of a text weighs in one logit of a head that labels windows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clinnlp.encoders.encoder import enough_memory
from clinnlp.encoders.windows import batch_by_length
from clinnlp.errors import MissingPackageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.encoders.text import Paragraph

__all__ = ["PieceAttribution"]

# Word pieces that go through the encoder and back at once, padding counted: the way back needs what every layer gave.
_TOKENS = 1024


class PieceAttribution:
    """Tells what word pieces weigh in a logit, by integrated gradients at the word embeddings, with captum.

    A weight is the sum over an embedding's components. Integrated gradients (Sundararajan et al., 2017, "Axiomatic
    attribution for deep networks") go from a text of masked pieces to the text; their weights sum up to the difference
    of the two logits, but for the error of the Gauss-Legendre rule, which falls with the number of steps.

    Parameters
    ----------
    stage : EncoderStage
        With `window_logits`: what of its windows is averaged to the logits of a text.
    steps : int
        Points between the masked text and the text, from 1.

    Raises
    ------
    MissingPackageError
        If captum is not installed.
    """

    def __init__(self, stage: Any, steps: int) -> None:
        try:
            from captum.attr import LayerIntegratedGradients
        except ImportError:
            raise MissingPackageError("captum", "explain") from None
        self.stage, self.steps = stage, steps
        self.logits_of: Any = None
        self.model = _with_same_weights(stage.encoder.model)
        self.attribution = LayerIntegratedGradients(self._logits, self.model.get_input_embeddings())

    def _logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.model(input_ids=ids, attention_mask=mask)[0]
        return self.logits_of(states, mask).float()  # type: ignore[no-any-return]

    def weights(self, text: str, paragraphs: Sequence[Paragraph], output: int) -> list[NDArray[np.float64]]:
        """Give the weights of the pieces of a text in its logit, the mean of its windows' by their shares.

        A piece that stands in several windows weighs what it does in all of them. One batch of windows is in memory at
        a time.

        Parameters
        ----------
        text : str
        paragraphs : sequence of Paragraph
            Of the text.
        output : int
            Which logit.

        Returns
        -------
        list of ndarray of float64, shape (pieces,)
            For each paragraph.
        """
        layout = self.stage.windows
        self.logits_of = self.stage.window_logits(text)
        windows = layout.windows(paragraphs)
        rows = [layout.input_ids(paragraphs[window.paragraph], window) for window in windows]
        shares = np.array([window.keep_end - window.keep_start for window in windows], dtype=np.float64)
        shares /= shares.sum()
        found = [np.zeros(len(paragraph.ids)) for paragraph in paragraphs]
        budget = min(_TOKENS, self.stage.encoder.batch_tokens)
        for batch in batch_by_length([len(row) for row in rows], budget):
            of_batch = self._attribute([rows[i] for i in batch], output, budget)
            for i, weights in zip(batch, of_batch, strict=True):
                window = windows[i]
                at = len(layout.prefix)
                found[window.paragraph][window.start : window.end] += (
                    shares[i] * weights[at : at + window.end - window.start]
                )
        return found

    def _attribute(self, rows: Sequence[Sequence[int]], output: int, budget: int) -> NDArray[np.float64]:
        """Give the weights of a batch of windows, shape (windows, longest), special pieces and padding among them."""
        encoder = self.stage.encoder
        inputs = encoder.to_device(self.stage.windows.pad(rows))
        ids = inputs["input_ids"]
        # What passes at once is a window at several steps, so that short windows do not go step by step.
        at_once = max(len(ids), budget // ids.shape[1])
        # Gradients are needed even where the caller has switched them off.
        with torch.inference_mode(mode=False), torch.enable_grad(), enough_memory("batch_tokens", budget):
            found = self.attribution.attribute(
                ids,
                baselines=self._masked(ids, rows),
                target=output,
                additional_forward_args=inputs["attention_mask"],
                n_steps=self.steps,
                internal_batch_size=at_once,
            )
        return found.detach().sum(dim=-1).double().cpu().numpy()  # type: ignore[no-any-return]

    def _masked(self, ids: torch.Tensor, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Put the tokenizer's mask, or padding where it has none, in the place of all that is no special piece."""
        layout = self.stage.windows
        blank = layout.tokenizer.mask_token_id
        made = ids.clone()
        for i, row in enumerate(rows):
            made[i, len(layout.prefix) : len(row) - len(layout.suffix)] = layout.pad_id if blank is None else blank
        return made


def _with_same_weights(model: Any) -> Any:
    """Copy the modules of a model and not its weights: hooks on the copy are not seen by those who use the model."""
    kept = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, kept)
