"""The corpus of synthetic breast ultrasound: its generator, its sample, and what each half of a case can tell."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import clinnlp
from clinnlp import Record
from clinnlp.formats.sources import read_all
from clinnlp.shipped import corpora_folder

FOLDER = corpora_folder() / "ultrasound"
sys.path.insert(0, str(FOLDER))

from sonowriter.cases import MODES, Case, draw_cases, write_cases  # noqa: E402
from sonowriter.pictures import MM_PER_PIXEL, draw_picture  # noqa: E402

TRACES = re.compile(r"[{}\[\]|<@\\]|  | [,;.]|\.\.|(?<!o)\. [a-z]|^\s|\s$|\b[Aa] [aeiou]")
# Names that the text may have, which are those of tests, genes and the like.
WORDS = {"LEFT", "RIGHT", "MRI", "CT", "MHz", "BI-RADS", "BRCA1", "BRCA2", "US"}
MANY = {"matching": 60, "contradicting": 60, "halves": 240}


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    return {mode: list(islice(draw_cases(11, mode), MANY[mode])) for mode in MODES}


def label(record: Record, name: str) -> str:
    return (record.labels.get(name) or record.images[0].labels[name])[0].name


def test_two_runs_write_the_same_bytes_and_the_sample_is_what_they_write(tmp_path: Path) -> None:
    for hash_seed in ("1", "2"):
        command = [sys.executable, str(FOLDER / "generate_ultrasound.py"), "--seed", "7", "--count", "10"]
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(clinnlp.__file__).parents[1])}
        subprocess.run([*command, "--output", str(tmp_path / hash_seed)], check=True, env=environment)
    one, two = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (tmp_path / "1", tmp_path / "2"))
    assert len(one) == 33
    assert one == two
    for mode in MODES:
        assert one[Path(f"{mode}.jsonl")] == (FOLDER / f"{mode}.jsonl").read_bytes()
    shown = clinnlp.corpora.load("ultrasound")
    for mode, records in shown.items():
        assert len(records) == 10
        for record, again in zip(records, write_cases(7, mode), strict=False):
            # Machines round the last bit of a logarithm each in their own way: one of the 32 greys at most, and rarely.
            apart = np.abs(record.images[0].pixels()[..., 0].astype(int) - np.asarray(again.images[0].array))
            assert apart.max() <= 9
            assert (apart > 0).mean() < 0.001
            assert (record.id, record.text, record.metadata) == (again.id, again.text, again.metadata)
            assert record.labels == again.labels
            assert record.images[0].labels == again.images[0].labels


def test_the_sample_is_small_and_opens_as_a_file_of_records() -> None:
    held = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in held) < 300_000
    records = read_all(FOLDER / "halves.jsonl")
    assert records == clinnlp.corpora.load("ultrasound", "halves")["halves"]
    assert all(label(record, name) for record in records for name in ("urgency", "risk", "shape"))


def test_more_cases_begin_with_the_same_ones_and_other_seeds_and_modes_differ() -> None:
    first, again = (list(islice(write_cases(3, "halves"), count)) for count in (2, 5))
    assert first == again[:2]
    assert len({record.text for record in again}) == 5
    assert next(write_cases(4, "halves")) != first[0]
    assert len({next(write_cases(3, mode)).text for mode in MODES}) == 3
    with pytest.raises(ValueError, match="no mode 'both': there are matching, contradicting, halves"):
        next(write_cases(3, "both"))


def test_the_box_lies_around_the_lesion_which_is_darker_than_what_is_beside_it(cases: dict[str, list[Case]]) -> None:
    for case in (case for some in cases.values() for case in some):
        pixels = np.asarray(case.record.images[0].array)
        assert (pixels.shape, pixels.dtype, case.mask.shape) == ((96, 96), np.uint8, (96, 96))
        box = case.record.metadata.get("box")
        if box is None:
            assert not case.mask.any()
            assert label(case.record, "finding") == "normal"
            continue
        left, top, right, bottom = box
        inside = np.zeros_like(case.mask)
        inside[top:bottom, left:right] = True
        assert not (case.mask & ~inside).any()
        assert all(
            edge.any() for edge in (case.mask[top], case.mask[bottom - 1], case.mask[:, left], case.mask[:, right - 1])
        )
        beside = binary_dilation(case.mask, iterations=6) & ~binary_dilation(case.mask, iterations=2)
        beside[bottom:] = False  # behind it there may be a shadow
        assert pixels[case.mask].mean() < pixels[beside].mean() - 25, case.record.id


def test_oval_lesions_are_wide_and_let_sound_through_and_spiculated_ones_are_tall_and_cast_a_shadow() -> None:
    def behind(shape: str | None, seed: int) -> float:
        picture = draw_picture(shape, 14, seed)
        left, _, right, bottom = picture.box or [40, 0, 56, 50]
        band = picture.pixels[bottom + 2 : bottom + 12].astype(float)
        columns = np.arange(96)
        beside = (columns < left - 3) | (columns > right + 3)
        middle = (columns > left + 4) & (columns < right - 4)
        return float(band[:, middle].mean() - band[:, beside].mean())

    assert all(behind("spiculated", seed) < -25 for seed in range(30))
    ovals = [behind("oval", seed) for seed in range(30)]
    assert min(ovals) > -10
    assert np.mean(ovals) > 15
    assert abs(np.mean([behind(None, seed) for seed in range(30)])) < 10
    for shape in ("oval", "spiculated"):
        for seed in range(30):
            left, top, right, bottom = draw_picture(shape, 14, seed).box or []
            assert (right - left > bottom - top) == (shape == "oval")
            assert abs(max(right - left, bottom - top) * MM_PER_PIXEL - 14) < 0.9


def test_reports_tell_of_side_clock_and_size_and_of_the_finding_that_they_are_labelled_with(
    cases: dict[str, list[Case]],
) -> None:
    signs = {
        "malignant": r"spic|spik|stellate|irregular|vertically",
        "benign": r"oval|ovoid|ellips|circumscribed|parallel",
    }
    for mode in ("matching", "contradicting"):
        for record in (case.record for case in cases[mode]):
            shown, told = label(record, "finding"), label(record, "reported")
            assert label(record, "agreement") == ("agrees" if shown == told else "contradicts")
            assert (shown == told) == (mode == "matching")
            assert re.search(rf"\b{record.metadata['side']}\b", record.text, re.IGNORECASE)
            assert f"{record.metadata['clock']} o'clock" in record.text
            size = re.search(r"([\d.]+) x ([\d.]+) ([mc])m", record.text)
            assert (size is None) == (told == "normal")
            if size is not None:
                assert re.search(signs[told], record.text, re.IGNORECASE), record.text
                wide, tall = (float(size[i]) * (10 if size[3] == "c" else 1) for i in (1, 2))
                assert (wide > tall) == (told == "benign")  # no text contradicts itself
                if mode == "matching":
                    assert [round(wide), round(tall)] == record.metadata["size_mm"]
    told = Counter(label(case.record, "reported") for case in cases["contradicting"])
    assert min(told.values()) > MANY["contradicting"] / 4


def test_one_modality_tells_three_of_four_halves_and_both_tell_all(cases: dict[str, list[Case]]) -> None:
    records = [case.record for case in cases["halves"]]
    urgent = np.array([label(record, "urgency") == "urgent" for record in records])
    shape = np.array([[label(record, "shape") == "spiculated"] for record in records], float)
    # All that a text says: beside the risk none of it tells anything.
    said = np.array(
        [
            [
                label(record, "risk") == "raised",
                record.metadata["age"] / 50,
                record.metadata["sex"] == "M",
                record.metadata["side"] == "left",
                record.metadata["clock"] / 12,
                record.metadata["largest_mm"] / 18,
            ]
            for record in records
        ],
        float,
    )

    def right(attributes: np.ndarray) -> float:
        return float(cross_val_score(LogisticRegression(C=100), attributes, urgent, cv=6).mean())

    assert urgent.mean() == 0.45
    assert all((urgent[at : at + 20]).sum() == 9 for at in range(0, len(urgent), 20))
    assert right(shape) == pytest.approx(0.75, abs=0.01)
    assert right(said) == pytest.approx(0.75, abs=0.03)  # of what says nothing it learns a little
    assert right(said[:, 1:]) < 0.6
    assert right(np.hstack([shape, said])) > 0.99


def test_requests_tell_of_side_clock_and_size(cases: dict[str, list[Case]]) -> None:
    for record in (case.record for case in cases["halves"]):
        assert re.search(rf"\b{record.metadata['side']}\b", record.text, re.IGNORECASE), record.text
        assert f"{record.metadata['clock']} o'clock" in record.text
        largest = record.metadata["largest_mm"]
        assert f"{largest} mm" in record.text or f"{largest / 10:.1f} cm" in record.text


def test_texts_of_halves_say_nothing_of_the_shape_and_pictures_show_it(cases: dict[str, list[Case]]) -> None:
    records = [case.record for case in cases["halves"]]
    assert not [r.id for r in records if re.search(r"spic|oval|irregul|smooth|shadow|\btall|BI-RADS| x \d", r.text)]
    assert all("size_mm" not in record.metadata for record in records)
    spiculated = np.array([label(record, "shape") == "spiculated" for record in records])
    # The longest side is drawn before the shape is: in both it is the same on average.
    longest = np.array([record.metadata["largest_mm"] for record in records])
    assert abs(longest[spiculated].mean() - longest[~spiculated].mean()) < 0.8
    blocks = np.array([np.asarray(r.images[0].array).reshape(24, 4, 24, 4).mean((1, 3)).ravel() for r in records])
    scaled = (blocks - blocks[:160].mean(0)) / blocks[:160].std(0)
    model = LogisticRegression(C=0.001, max_iter=300).fit(scaled[:160], spiculated[:160])
    assert model.score(scaled[160:], spiculated[160:]) > 0.9


def test_texts_read_as_reports_and_name_nobody(cases: dict[str, list[Case]]) -> None:
    texts = [case.record.text for some in cases.values() for case in some]
    assert not [text for text in texts if TRACES.search(text)]
    assert len(set(texts)) > 0.99 * len(texts)
    # A name would be a word with a capital inside a sentence; what begins a line, a sentence or a field is none.
    inside = {
        word
        for text in texts
        for word in re.findall(r"(?<=[a-z,] )[A-Z][\w-]+", re.sub(r"^[^\n]*:$", "", text, flags=re.MULTILINE))
    }
    assert inside <= WORDS
    assert not [text for text in texts if re.search(r"\b(Mrs?|Ms|Dr)\b\.?", text)]


def test_men_are_told_of_as_men(cases: dict[str, list[Case]]) -> None:
    men = [case.record for some in cases.values() for case in some if case.record.metadata["sex"] == "M"]
    assert 4 < len(men) < 30
    assert not [
        record.id for record in men if re.search(r"\b(woman|her|herself|periods)\b", record.text, re.IGNORECASE)
    ]


def test_the_card_counts_what_there_is() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    sample = clinnlp.corpora.load("ultrasound")

    def counted(records: list[Record], name: str, labels: tuple[str, ...]) -> str:
        found = Counter(label(record, name) for record in records)
        return ", ".join(f"{found[one]:,}" for one in labels)

    findings = ("normal", "benign", "malignant")
    assert f"| matching: normal, benign, malignant | {counted(sample['matching'], 'finding', findings)} |" in card
    told = counted(sample["contradicting"], "reported", findings)
    assert f"| contradicting: reported normal, benign, malignant | {told} |" in card
    assert f"| halves: urgent, routine | {counted(sample['halves'], 'urgency', ('urgent', 'routine'))} |" in card
    words = sum(len(record.text.split()) for records in sample.values() for record in records)
    assert f"| words | {words:,} |" in card
