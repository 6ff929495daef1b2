"""What in a record speaks for and against a label of a multimodal classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

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

_METHOD = "integrated gradients of the text's vector; all else left out, and alone"
_STEPS = 32
# Events that are told apart: the latest.
_MOST = 48


@dataclass(slots=True)
class _Thing:
    """Something that a record has, and the vector of its modality without it, None where nothing is left, and of it
    alone.
    """

    finding: Finding
    rest: NDArray[np.float32] | None
    alone: NDArray[np.float32]


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
    findings = _mean([_findings(member, record, output) for member in members])
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


def _mean(found: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Give the findings of several stages with their mean weights; what one of them does not know weighs 0 in it."""
    made: dict[tuple[str, str, int], Finding] = {}
    for of_member in found:
        numbers: Counter[tuple[str, str]] = Counter()
        for one in of_member:
            kind = (one.modality, one.name)
            before = made.get(key := (*kind, numbers[kind]))
            numbers[kind] += 1
            weight = one.weight / len(found)
            made[key] = replace(one, weight=weight if before is None else before.weight + weight)
    return list(made.values())


def _findings(stage: MultimodalClassifier, record: Record, output: int) -> list[Finding]:
    """Give what the things that a record has weigh in a label, by one stage alone."""
    whole = stage.read([record])
    things = [*_pictures(stage, record), *_variables(stage, record), *_events(stage, record)]
    # In order: the whole record, without each modality, without each thing, and with each thing alone in its modality.
    changes: list[tuple[int, NDArray[np.float32] | None]] = [(at, None) for at in range(len(stage.modalities))]
    places = [stage.modalities.index(one.finding.modality) for one in things]
    changes += [(at, one.rest) for at, one in zip(places, things, strict=True)]
    changes += [(at, one.alone) for at, one in zip(places, things, strict=True)]
    present = np.repeat(whole.present, len(changes) + 1, axis=0)
    vectors = {name: np.repeat(given, len(changes) + 1, axis=0) for name, given in whole.vectors.items()}
    for row, (at, vector) in enumerate(changes, 1):
        if vector is None:
            present[row, at] = False
        else:
            vectors[stage.modalities[at]][row] = vector
    logits, _ = stage.fused(Modalities(present, vectors))
    full, absent, rest, alone = np.split(
        _against_others(stage, logits)[:, output], np.cumsum([1, len(stage.modalities), len(things)]).tolist()
    )
    weights = (full - rest + alone - absent[places]) / 2
    return [
        *(_passages(stage, record, whole.vectors["text"][0], output) if whole.present[0, 0] else ()),
        *(replace(one.finding, weight=float(weight)) for one, weight in zip(things, weights, strict=True)),
    ]


def _against_others(stage: MultimodalClassifier, logits: Any) -> Any:
    """Give logits against the mean of a record's: the scores of labels that exclude each other depend on that."""
    return logits if stage.multi_label else logits - logits.mean(-1)[:, None]


class _States:
    """Reads the states of the encoder's last layer, as the stage of an encoder."""

    def head_outputs(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return states


def _passages(stage: MultimodalClassifier, record: Record, vector: NDArray[np.float32], output: int) -> list[Finding]:
    """Give what the sentences add to a logit, from a text that tells nothing, whose vector is the mean of all.

    The text's vector is, but for its length, the mean over its windows, special pieces among them; what those add to it
    each piece has its share of.
    """
    reader = _States()
    (item,) = stage.encoder.read([record.view.text], reader)
    states = np.concatenate(item.central(reader))
    starts = np.concatenate([paragraph.starts for paragraph in item.paragraphs])
    ends = np.concatenate([paragraph.ends for paragraph in item.paragraphs])
    means, _ = stage.pooled([record.view.text])
    states += (means[0] - states.mean(axis=0)).astype(np.float32)
    base = stage.head.fusion.norms[0].mean.cpu().numpy()
    gradient = _gradient(stage, vector, base, output)
    of_pieces = (states / np.linalg.norm(means[0]) - base) @ gradient / len(states)
    found = []
    for start, end in [(one.start, one.end) for one in record.sentences] or _lines(record.text):
        low, high = record.view.to_target(start, end)
        first, last = np.searchsorted(ends, low, side="right"), np.searchsorted(starts, high, side="left")
        if first < last:
            weight = float(of_pieces[first:last].sum())
            found.append(Finding("text", weight, text=record.text[start:end], start=start, end=end))
    return found


def _gradient(
    stage: MultimodalClassifier, vector: NDArray[np.float32], base: NDArray[np.float32], output: int
) -> NDArray[np.float32]:
    """Give the mean gradient of a logit on the line between two vectors of a text, shape (width,)."""
    fusion = stage.head.fusion
    shares = (np.arange(_STEPS, dtype=np.float32) + 0.5) / _STEPS
    with torch.inference_mode(False), torch.enable_grad():
        on_line = torch.from_numpy(base + shares[:, None] * (vector - base)).to(fusion.classifier.weight.device)
        on_line.requires_grad_()
        logits = fusion.alone("text", on_line)
        (gradient,) = torch.autograd.grad(_against_others(stage, logits)[:, output].mean(), on_line)
    return gradient.sum(dim=0).cpu().numpy()


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Give the spans of the lines that are not blank, without the white space around them."""
    at = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            start = at + len(line) - len(line.lstrip())
            yield start, start + len(line.strip())
        at += len(line)


def _pictures(stage: MultimodalClassifier, record: Record) -> list[_Thing]:
    if stage.head.images is None:
        return []
    (pictures,) = stage.pictures([record])
    alone = image_vectors(stage.head.images, stage.processor, [[picture] for picture in pictures])
    # The vector of several pictures is the mean of theirs.
    return [
        _Thing(
            Finding("images", 0.0, image=i),
            np.delete(alone, i, axis=0).mean(axis=0) if len(pictures) > 1 else None,
            alone[i],
        )
        for i in range(len(pictures))
    ]


def _variables(stage: MultimodalClassifier, record: Record) -> list[_Thing]:
    variables = variables_from(stage.plan["variables"])
    if not variables:
        return []
    row = encode_variables(variables, [record])[0][0]
    made, at = [], 0
    for variable in variables:
        own, rest, places = np.zeros_like(row), row.copy(), slice(at, at + variable.width)
        own[places], rest[places] = row[places], 0
        at += variable.width
        if own.any():
            finding = Finding("metadata", 0.0, name=variable.name, text=", ".join(map(str, variable.read(record))))
            made.append(_Thing(finding, rest if rest.any() else None, own))
    return made


def _events(stage: MultimodalClassifier, record: Record) -> list[_Thing]:
    if stage.head.course is None or stage.events is None:
        return []
    (course,) = stage.courses([record])
    texts = [event.text for event in events_of(record, stage.events)]

    def vector(kept: Sequence[int]) -> NDArray[np.float32]:
        some = Course(course.vectors[list(kept)], [course.days[i] for i in kept])
        (made,) = course_vectors(stage.head.course, [some])
        return np.asarray(made)

    # The latest are the ones that are told apart.
    places = range(max(len(texts) - _MOST, 0), len(texts))
    return [
        _Thing(
            Finding("course", 0.0, text=texts[i]),
            vector([j for j in range(len(texts)) if j != i]) if len(texts) > 1 else None,
            vector([i]),
        )
        for i in places
    ]


def _heat_maps(stage: MultimodalClassifier, record: Record, output: int, probability: float) -> Iterator[HeatMap]:
    if stage.head.images is None:
        return
    network = FusedPictures(stage.head.images, stage.head.fusion)
    for number, (image, read) in enumerate(zip(record.images, stage.pictures([record])[0], strict=True)):
        values = activation_over(image, read, network, stage.processor, output)
        yield HeatMap(record.id, number, stage.labels[output], probability, values, image.pixels(), "LayerCAM")
