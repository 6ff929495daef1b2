"""What records have - text, images, metadata, a course - as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clinnlp.encoders.fusion import image_features, image_width
from clinnlp.encoders.images import batches, model_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.encoders.courses import CourseEncoder

__all__ = ["Course", "Modalities", "course_vectors", "image_vectors", "pad_courses", "shares"]

_BATCH = 32


@dataclass
class Course:
    """The events of a record, the oldest first.

    Parameters
    ----------
    vectors : ndarray of float32, shape (events, width)
    days : list of int
        How long ago each was; -1 where nobody knows.
    """

    vectors: NDArray[np.float32]
    days: list[int]


@dataclass
class Modalities:
    """What records have, as vectors.

    Parameters
    ----------
    present : ndarray of bool, shape (records, modalities)
        In the order of the head's modalities.
    vectors : dict of str to ndarray of float32, shape (records, width)
        By modality; zeros where a record does not have it.
    """

    present: NDArray[np.bool_]
    vectors: dict[str, NDArray[np.float32]]

    def part(self, rows: Sequence[int] | slice = slice(None)) -> dict[str, torch.Tensor]:
        """Give what the fusion takes of some of the records."""
        made = {name: torch.from_numpy(np.ascontiguousarray(given[rows])) for name, given in self.vectors.items()}
        return {"present": torch.from_numpy(np.ascontiguousarray(self.present[rows])), **made}


def image_vectors(network: Any, processor: Any, pictures: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.float32]:
    """Give the mean of the vectors of each record's pictures, shape (records, width).

    Parameters
    ----------
    network : PreTrainedModel
        Image classifier.
    processor : image processor of transformers
    pictures : sequence of sequence of ndarray of uint8, shape (3, height, width)
        As the processor resizes them; none of a record without images.
    """
    network.eval()
    device = next(network.parameters()).device
    owners = np.array([i for i, some in enumerate(pictures) for _ in some], dtype=np.int64)
    made = np.zeros((len(pictures), image_width(network)), dtype=np.float32)
    rows = []
    for some in batches([picture for own in pictures for picture in own], _BATCH):
        with torch.inference_mode():
            rows.append(image_features(network, model_inputs(processor, some).to(device)).float().cpu().numpy())
    if rows:
        np.add.at(made, owners, np.concatenate(rows))
    counts = np.bincount(owners, minlength=len(pictures)).reshape(-1, 1)
    return np.asarray(made / np.maximum(counts, 1), dtype=np.float32)


def pad_courses(vectors: Sequence[NDArray[np.float32]], days: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Give what `CourseEncoder` takes of courses of different lengths; of no event at all, a padding of one."""
    most = max((len(own) for own in days), default=0) or 1
    width = vectors[0].shape[1]
    events, ago = torch.zeros((len(days), most, width)), torch.full((len(days), most), -1.0)
    there = torch.zeros((len(days), most), dtype=torch.bool)
    for i, (rows, own) in enumerate(zip(vectors, days, strict=True)):
        events[i, : len(own)] = torch.from_numpy(rows)
        ago[i, : len(own)] = torch.tensor(own, dtype=torch.float32)
        there[i, : len(own)] = True
    return {"events": events, "days": ago, "there": there}


def course_vectors(encoder: CourseEncoder, courses: Sequence[Course]) -> NDArray[np.float32]:
    """Give the vectors of courses, shape (records, width)."""
    encoder.eval()
    device = next(encoder.parameters()).device
    padded = pad_courses([course.vectors for course in courses], [course.days for course in courses])
    with torch.inference_mode():
        made = encoder(*(tensor.to(device) for tensor in padded.values()))
    return made.float().cpu().numpy()  # type: ignore[no-any-return]


def shares(parts: NDArray[np.float64], scores: NDArray[np.float64], found: Modalities) -> NDArray[np.float64]:
    """Give the share of each modality in what all add to the best label, without its sign, shape (records, modalities).

    Parameters
    ----------
    parts : ndarray of float, shape (records, modalities, labels)
        What each adds to the logits.
    scores : ndarray of float, shape (records, labels)
        Which label is best.
    found : Modalities
        Which there are: each has the same share where none adds anything, and 0 what is not there.
    """
    added = np.take_along_axis(parts, scores.argmax(axis=1)[:, None, None], axis=2)[:, :, 0]
    added = np.abs(added) * found.present
    total = added.sum(axis=1, keepdims=True)
    even = found.present / np.maximum(found.present.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.where(total > 0, added / np.maximum(total, 1e-12), even))
