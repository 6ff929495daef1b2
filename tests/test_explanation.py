"""What an explanation holds, without a model."""

from __future__ import annotations

import json
import subprocess
import sys

from clinnlp.explanation import Explanation, WeightedSpan

TEXT = "No rash, itch."
FOUND = Explanation(
    "7",
    "skin",
    0.75,
    [
        WeightedSpan(0, 2, "No", -0.5),
        WeightedSpan(3, 7, "rash", 1.0),
        WeightedSpan(7, 8, ",", 0.0),
        WeightedSpan(9, 13, "itch", 2.0),
    ],
    [WeightedSpan(0, 14, TEXT, 2.5)],
    "integrated_gradients",
    TEXT,
)


def test_the_top_words_are_those_that_speak_for_the_label_heaviest_first() -> None:
    assert [word.text for word in FOUND.top()] == ["itch", "rash"]
    assert [word.text for word in FOUND.top(1)] == ["itch"]


def test_an_explanation_is_plain_json_and_its_name_tells_nothing_of_the_text() -> None:
    told = json.loads(json.dumps(FOUND.to_dict()))
    assert told["words"][2] == {"start": 7, "end": 8, "text": ",", "weight": 0.0}
    assert told["sentences"] == [{"start": 0, "end": 14, "text": TEXT, "weight": 2.5}]
    assert (told["record_id"], told["label"], told["probability"]) == ("7", "skin", 0.75)
    assert "rash" not in repr(FOUND)
    assert "'7'" in repr(FOUND)


def test_explanations_are_read_without_torch() -> None:
    code = "import sys, clinnlp.explanation; print(*{'torch', 'numpy', 'captum', 'spacy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
