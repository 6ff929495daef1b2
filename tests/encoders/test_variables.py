"""Metadata as numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clinnlp import Record
from clinnlp.encoders.variables import encode_variables, learn_variables, variables_from
from clinnlp.errors import TrainingError
from clinnlp.record import Value


def records(*given: dict[str, object]) -> list[Record]:
    return [Record("", metadata=one) for one in given]


def test_numbers_are_standardized_and_their_absence_is_told() -> None:
    some = records({"age": 40}, {"age": "60"}, {"age": None}, {}, {"age": math.nan}, {"age": ""})
    (age,) = learn_variables(["age"], some, "s")
    assert (age.mean, age.deviation, age.categories) == (50.0, 10.0, [])
    numbers, known = encode_variables([age], some)
    assert numbers.tolist() == [[-1, 1], [1, 1], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert known.tolist() == [True, True, False, False, False, False]
    assert encode_variables([age], records({"age": "old"}))[0].tolist() == [[0, 0]]


def test_categories_and_lists_of_them_have_a_place_each() -> None:
    some = records({"genes": ["BRCA1", "TP53"]}, {"genes": "TP53"}, {"genes": []}, {"genes": True})
    (genes,) = learn_variables(["genes"], some, "s")
    assert genes.categories == ["BRCA1", "TP53", "True"]
    assert encode_variables([genes], some)[0].tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    numbers, known = encode_variables([genes], records({"genes": "KRAS"}))
    assert not numbers.any()
    assert not known.any()


def test_a_constant_number_has_no_deviation_to_divide_by() -> None:
    (age,) = learn_variables(["age"], records({"age": 5}, {"age": 5}), "s")
    assert np.isfinite(encode_variables([age], records({"age": 7}))[0]).all()


def test_equal_numbers_have_no_deviation_that_is_a_rounding_error() -> None:
    some = records(*({"dose": 0.1} for _ in range(3)))
    (dose,) = learn_variables(["dose"], some, "s")
    assert dose.deviation == 1
    assert encode_variables([dose], some)[0][:, 0] == pytest.approx([0, 0, 0])


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_too_large_for_single_precision_are_cut_off_or_none_at_all() -> None:
    (age,) = learn_variables(["age"], records({"age": 40}, {"age": 60}), "s")
    found, _ = encode_variables([age], records({"age": 1e300}, {"age": -1e300}, {"age": 10**400}))
    assert found.tolist() == [[1e6, 1], [-1e6, 1], [0, 0]]


def test_the_last_measured_value_of_a_name_is_a_variable() -> None:
    text = "Hb 9, then Hb 11."
    values = [
        Value(0, 4, kind="measurement", name="hemoglobin", numbers=[9.0]),
        Value(11, 16, kind="measurement", name="Hemoglobin", numbers=[11.0]),
    ]
    (found,) = learn_variables(["values.hemoglobin"], [Record(text, values=values), Record("")], "s")
    assert found.mean == 11.0


def test_variables_survive_being_written() -> None:
    made = learn_variables(["age", "sex"], records({"age": 3, "sex": "F"}, {"age": 5, "sex": "M"}), "s")
    assert variables_from([one.to_dict() for one in made]) == made


def test_what_nobody_has_or_names_each_record_is_refused() -> None:
    with pytest.raises(TrainingError, match="no training record has the variable 'weight'"):
        learn_variables(["weight"], records({"age": 3}), "s")
    named = records(*({"who": f"patient {i}"} for i in range(30)))
    with pytest.raises(TrainingError, match="'who' has 30 different values in 30 records") as caught:
        learn_variables(["who"], named, "s")
    assert "patient 1" not in str(caught.value)
