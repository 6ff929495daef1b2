"""Where an image classifier saw a label, over the picture as it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinnlp.encoders.heat_maps import class_activation, to_original
from clinnlp.encoders.images import model_inputs
from clinnlp.explanation import HeatMap

if TYPE_CHECKING:
    from clinnlp.record import Record
    from clinnlp.stages.images import ImageClassifier

__all__ = ["heat_map"]


def heat_map(stage: ImageClassifier, record: Record, number: int, label: str | None) -> HeatMap:
    """Give the heat map of a label, or the most probable one, over one of a record's pictures."""
    image = record.images[number]
    (read,) = stage.read([image])
    (scores,) = stage.predict([read])
    chosen = int(scores.argmax()) if label is None else stage.labels.index(label)
    inputs = model_inputs(stage.processor, [read]).to(stage.model.device)
    values, _ = class_activation(stage.model, inputs, chosen)
    height, width, _ = image.view().shape
    values = to_original(values, stage.processor, height, width, (read.shape[1], read.shape[2]))
    if image.cleaned is not None:
        values = image.cleaned.map_to_original(values)
    return HeatMap(record.id, number, stage.labels[chosen], float(scores[chosen]), values, image.pixels(), "LayerCAM")
