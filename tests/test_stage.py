from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import clinnlp
from clinnlp import Label, Pipeline, Record, Stage, as_stage, stage
from clinnlp.errors import ClinNLPError, MissingPackageError, PipelineError, StageError
from clinnlp.stage import FunctionStage, register, resolve, stage_names


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test registers end with it."""
    monkeypatch.setattr(stage, "_REGISTRY", dict(stage._REGISTRY))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages on the path, with one that offers stages by entry points."""
    (tmp_path / "hospital_stages.py").write_text(
        "from clinnlp import Stage\n"
        "class Triage(Stage):\n"
        "    kind = 'triage'\n"
        "    assigns = ('labels',)\n"
        "    def process(self, records):\n"
        "        for record in records: record.labels['triage'] = ['urgent']\n"
        "class Needy:\n"
        "    pass\n"
        "def extra():\n"
        "    pass\n"
    )
    (tmp_path / "needs_extra.py").write_text(
        "from clinnlp.errors import MissingPackageError\nraise MissingPackageError('presidio', 'deid')\n"
    )
    (tmp_path / "broken.py").write_text("import a_package_that_nobody_has\n")
    info = tmp_path / "hospital-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hospital\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[clinnlp.stages]\n"
        "triage = hospital_stages:Triage\n"
        "no-stage = hospital_stages:Needy\n"
        "no-class = hospital_stages:extra\n"
        "absent = hospital_stages:Absent\n"
        "broken = broken:Stage\n"
        "extra = needs_extra:Stage\n"
        "entities = hospital_stages:Triage\n"
        "[other]\n"
        "foreign = os:system\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("hospital_stages", "needs_extra", "broken"):
        sys.modules.pop(name, None)


def test_a_class_of_five_lines_is_a_stage() -> None:
    class Length(Stage):
        assigns = ("labels",)

        def process(self, records: Sequence[Record]) -> None:
            for record in records:
                record.labels["length"] = ["long" if len(record.text) > 5 else "short"]  # type: ignore[list-item]

    record = Pipeline([Length()])("short")
    assert record.labels == {"length": [Label("short")]}
    assert Length().name == "Length"
    assert Length(name="size").name == "size"


def test_a_function_of_five_lines_is_a_stage() -> None:
    @as_stage(requires=("tokens",), assigns=("labels",))
    def length(record: Record) -> None:
        record.labels["length"] = [Label(str(len(record.tokens)))]

    assert isinstance(length, FunctionStage)
    assert (length.name, length.requires, length.assigns) == ("length", ("tokens",), ("labels",))
    with pytest.raises(StageError, match="has no 'tokens'"):
        Pipeline([length])("short")


def test_a_bare_function_is_a_stage() -> None:
    def shout(record: Record) -> None:
        record.metadata["loud"] = record.text.upper()

    nlp = Pipeline([shout])
    assert list(nlp.stages) == ["shout"]
    assert nlp("no").metadata == {"loud": "NO"}


def test_a_stage_runs_alone_on_a_text_or_a_record() -> None:
    mark = as_stage(name="mark")(lambda record: record.labels.update(a=["b"]))
    assert mark("text").labels == {"a": [Label("b")]}
    record = Record("text", id="7")
    assert mark(record) is record


def test_one_name_of_a_field_need_not_stand_in_a_tuple() -> None:
    class Forgot(Stage):
        requires = "tokens"  # type: ignore[assignment]
        assigns = ["entities"]  # type: ignore[assignment]  # noqa: RUF012

        def process(self, records: Sequence[Record]) -> None: ...

    forgot = Pipeline([Forgot()])["Forgot"]
    assert (forgot.requires, forgot.assigns) == (("tokens",), ("entities",))
    assert as_stage(name="f", assigns="tokens")(print).assigns == ("tokens",)


def test_a_class_that_forgets_the_init_of_stage_still_has_a_name() -> None:
    class Own(Stage):
        def __init__(self, word: str) -> None:
            self.word = word

        def process(self, records: Sequence[Record]) -> None: ...

    assert list(Pipeline([Own("x")]).stages) == ["Own"]


def test_shipped_stages_are_registered_and_known_by_name() -> None:
    assert {"cleaning", "tokenization", "sections", "entities", "reports", "images"} <= set(stage_names())


def test_building_any_shipped_stage_by_name_gives_the_class_of_clinnlp_stages() -> None:
    assert resolve("entities") is clinnlp.stages.EntityExtractor


class Registered(Stage):
    kind = "registered"


def test_a_class_is_registered_under_its_name() -> None:
    with pytest.raises(PipelineError, match="unknown stage 'registered'"):
        resolve("registered")
    register("registered", Registered)
    assert resolve("registered") is Registered
    assert "registered" in stage_names()


def test_a_class_may_be_registered_by_its_place() -> None:
    register("registered", f"{__name__}:Registered")
    assert resolve("registered") is Registered
    register("registered", Registered)


def test_a_name_is_registered_once_but_a_class_that_is_defined_anew_takes_its_own_place() -> None:
    def define() -> type[Stage]:
        class Cell(Stage):
            pass

        return Cell

    register("cell", define())
    anew = define()
    register("cell", anew)
    assert resolve("cell") is anew
    for kind in ("cell", "entities"):
        with pytest.raises(PipelineError, match=f"the stage name '{kind}' is taken"):
            register(kind, Registered)


@pytest.mark.parametrize("place", ["os:system", "os", "no_such_module:Stage", "os:nothing", "not a place"])
def test_what_is_registered_must_be_a_stage(place: str) -> None:
    register("wrong", place)
    with pytest.raises(PipelineError, match="'wrong'"):
        resolve("wrong")


@pytest.mark.parametrize("kind", ["os:system", "builtins.exec", "clinnlp.stage:Stage", "", "foreign", "None"])
def test_nothing_is_imported_that_is_not_registered(kind: str, installed: Path) -> None:
    with pytest.raises(PipelineError, match="unknown stage"):
        resolve(kind)


def test_an_installed_package_offers_stages_by_entry_points(installed: Path) -> None:
    assert "triage" in stage_names()
    assert "hospital_stages" not in sys.modules
    found = resolve("triage")
    assert found.__module__ == "hospital_stages"
    assert Pipeline([found()])("x").labels == {"triage": [Label("urgent")]}


def test_an_entry_point_cannot_take_the_name_of_a_shipped_stage(installed: Path) -> None:
    assert resolve("entities").__module__ == "clinnlp.stages.entities"


@pytest.mark.parametrize("kind", ["no-stage", "no-class", "absent", "broken"])
def test_an_entry_point_that_is_no_stage_is_an_error_that_names_it(kind: str, installed: Path) -> None:
    with pytest.raises(PipelineError, match=f"stage '{kind}'") as caught:
        resolve(kind)
    assert "\n" not in str(caught.value)


def test_an_entry_point_that_lacks_an_extra_says_how_to_mend_it(installed: Path) -> None:
    with pytest.raises(MissingPackageError, match=r"pip install 'clinnlp\[deid\]'"):
        resolve("extra")


def test_a_stage_without_process_is_no_silent_success() -> None:
    with pytest.raises(ClinNLPError, match="NotImplementedError"):
        Pipeline([Registered()])("x")


def test_loading_gives_the_settings_to_the_class() -> None:
    class Set(Stage):
        def __init__(self, level: int = 1, name: str | None = None) -> None:
            super().__init__(name)
            self.level = level

    made: Any = Set.load({"level": 3})
    assert made.level == 3
    assert Set().config() == {}


def test_repr_names_class_and_name() -> None:
    assert repr(Registered("a")) == "Registered(name='a')"
