"""Where an image classifier saw a label, over the picture as it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinnlp.encoders.heat_maps import class_activation, to_original
from clinnlp.encoders.images import model_inputs
from clinnlp.explanation import HeatMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clinnlp.image import Image
    from clinnlp.record import Record
    from clinnlp.stages.images import ImageClassifier

__all__ = ["activation_over", "heat_map"]


def heat_map(stage: ImageClassifier, record: Record, number: int, label: str | None) -> HeatMap:
    """Give the heat map of a label, or the most probable one, over one of a record's pictures."""
    image = record.images[number]
    (read,) = stage.read([image])
    (scores,) = stage.predict([read])
    chosen = int(scores.argmax()) if label is None else stage.labels.index(label)
    values = activation_over(image, read, stage.model, stage.processor, chosen)
    return HeatMap(record.id, number, stage.labels[chosen], float(scores[chosen]), values, image.pixels(), "LayerCAM")


def activation_over(
    image: Image, read: NDArray[np.uint8], network: Any, processor: Any, output: int
) -> NDArray[np.float32]:
    """Give what the places of a picture add to a logit, over the picture as it was given.

    Parameters
    ----------
    image : Image
    read : ndarray of uint8, shape (3, height, width)
        The picture, or its cleaned one, as the network reads it.
    network : Module
        As `clinnlp.encoders.heat_maps.class_activation` takes it.
    processor : image processor of transformers
    output : int

    Returns
    -------
    ndarray of float32, shape (height, width)
    """
    device = next(network.parameters()).device
    values, _ = class_activation(network, model_inputs(processor, [read]).to(device), output)
    height, width, _ = image.view().shape
    values = to_original(values, processor, height, width, (read.shape[1], read.shape[2]))
    return values if image.cleaned is None else image.cleaned.map_to_original(values)
