"""One record with a note and images through one pipeline, from reading to output.

Draws small mammogram-like pictures, writes short reports to go with them, fits an image classifier and a report
classifier on them, puts both behind the text stages of one pipeline, saves and loads it, and runs records that it
reads from JSON Lines. Everything is made here: no download, no patient. Takes well under a minute on a CPU.

    python examples/text_and_image.py --output out
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from rich.console import Console
from rich.table import Table

import clinnlp
from clinnlp import FitConfig, Image, Pipeline, Record
from clinnlp.formats import jsonl
from clinnlp.shipped import shipped_names
from clinnlp.stages import ImageClassifier, ReportClassifier, SectionDetector, TextCleaner, Tokenizer

SIDE = 28
FINDINGS = ["none", "mass"]
ADVICE = ["routine", "recall"]

REASONS = ["Yearly screening.", "Screening, no complaints.", "Follow-up after a prior film.", "Baseline study."]
CLEAR = ["No mass is seen.", "Tissue is fatty and even.", "No suspicious density.", "Unchanged from before."]
MASS = ["A round dense mass is seen.", "New bright nodule.", "There is a focal density.", "A solid mass stands out."]
ROUTINE = [
    "Benign. Return in one year.",
    "Nothing suspicious. Routine follow-up.",
    "Normal. Next film in a year.",
]
RECALL = ["Suspicious. Recall for ultrasound.", "Biopsy is advised.", "Needs work-up: call back for more views."]


def draw(seed: int, mass: bool) -> np.ndarray:
    """Draw noisy tissue, with a bright round mass in it or not; uint8, shape (28, 28)."""
    chance = np.random.default_rng(seed)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    pixels = chance.normal(70, 14, (SIDE, SIDE)) + 25 * np.sin(rows / chance.uniform(3, 6))
    if mass:
        row, column = chance.integers(7, SIDE - 7, 2)
        pixels += 130 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / chance.uniform(10, 24))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_note(seed: int, mass: bool) -> str:
    """Write a short report with three headings."""
    chance = random.Random(seed)  # noqa: S311
    findings = chance.sample(MASS if mass else CLEAR, 2)
    impression = chance.choice(RECALL if mass else ROUTINE)
    return f"INDICATION:  {chance.choice(REASONS)}\n\nFINDINGS: {' '.join(findings)}\n\nIMPRESSION: {impression}\n"


def make_records(first: int, count: int, folder: Path) -> list[Record]:
    """Make records with gold labels; their pictures are written as PNG files."""
    records = []
    for seed in range(first, first + count):
        mass = seed % 2 == 1
        path = folder / f"{seed}.png"
        Picture.fromarray(draw(seed, mass)).save(path)
        image = Image(path, labels={"finding": FINDINGS[mass]})
        records.append(
            Record(write_note(seed, mass), id=f"study-{seed}", images=[image], labels={"advice": ADVICE[mass]})
        )
    return records


def write_dicom(pixels: np.ndarray, path: Path) -> None:
    """Write a grey picture as a DICOM file, as a scanner would."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid(entropy_srcs=[path.name])
    data.Modality = "MG"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = pixels.tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)


def tiny_encoder(texts: Sequence[str], folder: Path) -> Path:
    """Build a random BERT for the words of some texts, for a checkout that ships no encoder yet."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer
    from transformers.utils import logging

    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, model_max_length=128)
    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.1,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def fit_stages(train: Sequence[Record], dev: Sequence[Record], base: str | Path, epochs: int) -> Pipeline:
    """Fit both classifiers and put them behind the text stages."""
    # select="last" writes no checkpoint in between: there is little to choose among so few pictures.
    images = ImageClassifier.from_base(labels=FINDINGS, name="finding", image_size=SIDE)
    images.fit(train, dev, FitConfig(epochs=epochs, learning_rate=3e-3, batch_tokens=512, select="last"))
    reports = ReportClassifier.from_base(base, labels=ADVICE, name="advice")
    rate = 3e-3 if isinstance(base, Path) else 1e-4  # random weights have more to learn
    fast = FitConfig(epochs=epochs, learning_rate=rate, head_learning_rate=3e-3, batch_tokens=1024, select="last")
    reports.fit(train, dev, fast)
    return Pipeline([TextCleaner(), Tokenizer(), SectionDetector(), reports, images], name="text-and-image")


def show(records: Sequence[Record]) -> None:
    """Print what was found, a row for each record."""
    table = Table("record", "sections", "tokens", "advice", "images", "finding")
    for record in records:
        advice, finding = (record.labels[name][0] for name in ("advice", "finding"))
        table.add_row(
            record.id,
            ", ".join(section.name for section in record.sections),
            str(len(record.tokens)),
            f"{advice.name} {advice.score:.2f}",
            ", ".join(Path(image.path or "").suffix for image in record.images),
            f"{finding.name} {finding.score:.2f}",
        )
    Console().print(table)


def main(output: Path, base: str | Path | None = None, count: int = 48, epochs: int = 6) -> list[Record]:
    """Run the example in a folder, and give the annotated records."""
    pictures = output / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    train, dev = make_records(0, count, pictures), make_records(10_000, 16, pictures)
    if base is None:
        shipped = "clinical-en" in shipped_names()
        base = "clinical-en" if shipped else tiny_encoder([record.text for record in train], output / "encoder")
    fit_stages(train, dev, base, epochs).save(output / "pipeline")

    # Paths in a file are relative to that file.
    new = [Record(record.text, id=record.id, images=[f"pictures/{10_000 + i}.png"]) for i, record in enumerate(dev[:6])]
    write_dicom(draw(20_001, mass=True), pictures / "20001.dcm")
    new[1].images.append(Image("pictures/20001.dcm"))
    jsonl.write(new, output / "records.jsonl")

    nlp = clinnlp.load(output / "pipeline")
    jsonl.write(nlp.pipe(jsonl.read(output / "records.jsonl"), on_error="keep"), output / "annotated.jsonl")
    annotated = list(jsonl.read(output / "annotated.jsonl"))
    show(annotated)
    return annotated


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("out") / "text_and_image")
    main(parser.parse_args().output)
