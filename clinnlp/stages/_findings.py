"""What in a record speaks for and against a label of a multimodal classifier: each thing is left out once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinnlp.encoders.courses import events_of
from clinnlp.encoders.fusion import FusedPictures
from clinnlp.encoders.modalities import Course, Modalities, course_vectors, image_vectors
from clinnlp.encoders.variables import encode_variables, variables_from
from clinnlp.errors import ConfigError
from clinnlp.explanation import Finding, FusedExplanation, HeatMap
from clinnlp.record import Label, Record
from clinnlp.stages._heat_maps import activation_over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clinnlp.stages.multimodal import MultimodalClassifier

__all__ = ["explain_fused"]

_METHOD = "leave one out"
# Passages and events that are left out one by one: each costs a pass over the text, so that those of longer records
# are joined.
_MOST = 48


@dataclass(slots=True)
class _Left:
    """What a record is without one thing: the vector of its modality, None where nothing of it is left."""

    finding: Finding
    vector: NDArray[np.float32] | None


def explain_fused(stage: MultimodalClassifier, records: Sequence[Record], label: str | None) -> list[FusedExplanation]:
    """Explain a label of each record; see `MultimodalClassifier.explain`."""
    if label is not None and label not in stage.labels:
        raise ConfigError(f"stage {stage.name!r} has no label {label!r}: its labels are {', '.join(stage.labels)}")
    return [_explain(stage, record, label) for record in records]


def _explain(stage: MultimodalClassifier, record: Record, label: str | None) -> FusedExplanation:
    members = (stage, *stage.members)
    scores, shares = stage.predict([record])
    if not scores.any():
        return FusedExplanation(record.id, label or "", 0.0, method=_METHOD)
    output = int(scores[0].argmax()) if label is None else stage.labels.index(label)
    found = [_findings(member, record, output) for member in members]
    weights = np.mean([[one.weight for one in of_member] for of_member in found], axis=0)
    findings = [
        Finding(one.modality, float(weight), one.name, one.text, one.start, one.end, one.image)
        for one, weight in zip(found[0], weights, strict=True)
    ]
    carried = [Label(name, float(share)) for name, share in zip(stage.modalities, shares[0], strict=True) if share > 0]
    return FusedExplanation(
        record.id,
        stage.labels[output],
        float(scores[0][output]),
        sorted(carried, key=lambda one: -one.score),
        sorted(findings, key=lambda one: -one.weight),
        list(_heat_maps(stage, record, output, float(scores[0][output]))),
        _METHOD,
    )


def _findings(stage: MultimodalClassifier, record: Record, output: int) -> list[Finding]:
    """Give what the things that a record has weigh in a label, by one stage alone."""
    whole = stage.read([record])
    left = [
        *_passages(stage, record),
        *_pictures(stage, record),
        *_variables(stage, record),
        *_events(stage, record),
    ]
    present = np.repeat(whole.present, len(left) + 1, axis=0)
    vectors = {name: np.repeat(given, len(left) + 1, axis=0) for name, given in whole.vectors.items()}
    for row, one in enumerate(left, 1):
        at = stage.modalities.index(one.finding.modality)
        present[row, at] &= one.vector is not None
        if one.vector is not None:
            vectors[one.finding.modality][row] = one.vector
    logits, _ = stage.fused(Modalities(present, vectors))
    if not stage.multi_label:  # the scores of labels that exclude each other depend on how they differ
        logits = logits - logits.mean(axis=1, keepdims=True)
    weights = logits[0, output] - logits[1:, output]
    return [
        Finding(f.modality, float(weight), f.name, f.text, f.start, f.end, f.image)
        for f, weight in zip((one.finding for one in left), weights, strict=True)
    ]


def _passages(stage: MultimodalClassifier, record: Record) -> list[_Left]:
    view = record.view
    spans = _joined([(one.start, one.end) for one in record.sentences] or list(_lines(record.text)))
    cuts = [view.to_target(start, end) for start, end in spans]
    vectors, empty = stage.text_vectors([view.text[:start] + " " + view.text[end:] for start, end in cuts])
    return [
        _Left(Finding("text", 0.0, text=record.text[start:end], start=start, end=end), None if nothing else vector)
        for (start, end), vector, nothing in zip(spans, vectors, empty, strict=True)
    ]


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Give the spans of the lines that are not blank, without the white space around them."""
    at = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            start = at + len(line) - len(line.lstrip())
            yield start, start + len(line.strip())
        at += len(line)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join neighbours until there are few enough."""
    size = -(-len(spans) // _MOST) or 1
    return [
        (spans[i][0], max(end for _, end in spans[i : i + size]))
        for i in range(0, len(spans), size)
        if spans[i][0] < max(end for _, end in spans[i : i + size])
    ]


def _pictures(stage: MultimodalClassifier, record: Record) -> list[_Left]:
    if stage.head.images is None:
        return []
    (pictures,) = stage.pictures([record])
    rest = [pictures[:i] + pictures[i + 1 :] for i in range(len(pictures))]
    vectors = image_vectors(stage.head.images, stage.processor, rest)
    return [_Left(Finding("images", 0.0, image=i), vectors[i] if rest[i] else None) for i in range(len(pictures))]


def _variables(stage: MultimodalClassifier, record: Record) -> list[_Left]:
    variables = variables_from(stage.plan["variables"])
    if not variables:
        return []
    row = encode_variables(variables, [record])[0][0]
    made, at = [], 0
    for variable in variables:
        rest = row.copy()
        rest[at : at + variable.width] = 0
        at += variable.width
        if (rest != row).any():
            finding = Finding("metadata", 0.0, name=variable.name, text=", ".join(map(str, variable.read(record))))
            made.append(_Left(finding, rest if rest.any() else None))
    return made


def _events(stage: MultimodalClassifier, record: Record) -> list[_Left]:
    if stage.head.course is None:
        return []
    (course,) = stage.courses([record])
    assert stage.events is not None
    texts = [event.text for event in events_of(record, stage.events)]
    # The latest are the ones that are told apart.
    first = max(len(texts) - _MOST, 0)
    made = []
    for i in range(first, len(texts)):
        rest = Course(np.delete(course.vectors, i, axis=0), course.days[:i] + course.days[i + 1 :])
        vector = course_vectors(stage.head.course, [rest])[0] if rest.days else None
        made.append(_Left(Finding("course", 0.0, text=texts[i]), vector))
    return made


def _heat_maps(stage: MultimodalClassifier, record: Record, output: int, probability: float) -> Iterator[HeatMap]:
    if stage.head.images is None:
        return
    network = FusedPictures(stage.head.images, stage.head.fusion)
    for number, (image, read) in enumerate(zip(record.images, stage.pictures([record])[0], strict=True)):
        values = activation_over(image, read, network, stage.processor, output)
        yield HeatMap(record.id, number, stage.labels[output], probability, values, image.pixels(), "LayerCAM")
