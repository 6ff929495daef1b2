from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import clinnlp
from clinnlp import Label, Pipeline, Record, Stage, saving, stage
from clinnlp.errors import CheckpointError, ClinNLPError, ConfigError, PipelineError
from clinnlp.stage import register


class Marker(Stage):
    """A stage with settings."""

    kind = "marker"
    assigns = ("labels",)

    def __init__(self, mark: str = "x", levels: Sequence[int] = (), name: str | None = None) -> None:
        super().__init__(name)
        if mark == "refused":
            raise ConfigError("mark may not be 'refused'")
        if not isinstance(mark, str):
            raise ValueError("a mark\nis a text")
        self.mark, self.levels = mark, list(levels)

    def process(self, records: Sequence[Record]) -> None:
        for record in records:
            record.labels[self.name] = [Label(self.mark)]

    def config(self) -> dict[str, Any]:
        return {"mark": self.mark, "levels": self.levels}


class Weighted(Stage):
    """A stage with weights, read at first use."""

    kind = "weighted"
    assigns = ("labels",)

    def __init__(self, weight: str = "", folder: Path | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.weight, self.folder = weight, folder

    def warm_up(self) -> None:
        if not self.weight and self.folder is not None:
            self.weight = (self.folder / "weight.txt").read_text(encoding="utf-8")

    def process(self, records: Sequence[Record]) -> None:
        for record in records:
            record.labels[self.name] = [Label(self.weight)]

    def save(self, folder: str | Path) -> None:
        self.warm_up()
        if self.weight == "broken":
            raise CheckpointError("cannot write")
        if self.weight == "full":
            raise OSError(28, "No space left on device")
        Path(folder).mkdir()
        (Path(folder) / "weight.txt").write_text(self.weight, encoding="utf-8")

    @classmethod
    def load(cls, config: Mapping[str, Any], folder: Path | None = None) -> Weighted:
        if folder is None:
            raise CheckpointError("weights are needed")
        return cls(folder=folder, **config)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_REGISTRY", dict(stage._REGISTRY))
    register("marker", Marker)
    register("weighted", Weighted)


def labels(nlp: Pipeline) -> dict[str, str]:
    return {name: found[0].name for name, found in nlp("text").labels.items()}


def names(folder: Path) -> list[str]:
    """All files in a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def written(folder: Path, *stages: Any, **changes: Any) -> Path:
    """A pipeline.yaml by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"clinnlp": 1, "name": "hand", "stages": list(stages), **changes}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return folder


def refused(folder: Path | str, match: str, error: type[ClinNLPError] = PipelineError) -> None:
    with pytest.raises(error, match=match) as caught:
        clinnlp.load(folder)
    assert "\n" not in str(caught.value)


def test_what_is_saved_is_loaded_the_same(tmp_path: Path) -> None:
    stages = [Marker("é 🫀", name="first"), Weighted("w1", name="second"), Marker("no", [1, 2], name="third")]
    nlp = Pipeline(stages, name="mine", batch_size=3)
    assert nlp.save(tmp_path / "saved") == tmp_path / "saved"
    back = clinnlp.load(tmp_path / "saved")
    assert list(back.stages) == ["first", "second", "third"]
    assert (back.name, back.batch_size) == ("mine", 3)
    assert labels(back) == labels(nlp) == {"first": "é 🫀", "second": "w1", "third": "no"}
    assert names(tmp_path) == ["saved/README.md", "saved/pipeline.yaml", "saved/second/weight.txt"]


def test_loading_reads_no_weights(tmp_path: Path) -> None:
    Pipeline([Weighted("w")]).save(tmp_path)
    (tmp_path / "weighted" / "weight.txt").unlink()
    nlp = clinnlp.load(tmp_path)
    with pytest.raises(ClinNLPError, match="'weighted' cannot load: FileNotFoundError"):
        nlp("text")


def test_the_same_pipeline_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    nlp = Pipeline([Marker("a"), Weighted("w")])
    nlp.save(tmp_path / "a")
    clinnlp.load(tmp_path / "a").save(tmp_path / "b")
    assert names(tmp_path / "a") == names(tmp_path / "b")
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_saved_folder_may_be_moved(tmp_path: Path) -> None:
    Pipeline([Weighted("w")]).save(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert labels(clinnlp.load(tmp_path / "b")) == {"weighted": "w"}


def test_saving_over_a_save_replaces_it_and_leaves_other_files(tmp_path: Path) -> None:
    Pipeline([Weighted("w", name="one"), Weighted("w", name="two")]).save(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.txt").write_text("mine")
    nlp = clinnlp.load(tmp_path)
    nlp.without("one").save(tmp_path)
    assert names(tmp_path) == ["README.md", "data/x.txt", "pipeline.yaml", "two/weight.txt"]
    assert labels(clinnlp.load(tmp_path)) == {"two": "w"}


def test_weights_never_take_the_place_of_a_folder_that_is_not_of_a_save(tmp_path: Path) -> None:
    (tmp_path / "One").mkdir()
    (tmp_path / "One" / "x.txt").write_text("mine")
    nlp = Pipeline([Weighted("w", name="one")])
    for _ in range(2):
        nlp.save(tmp_path)
        assert names(tmp_path) == ["One/x.txt", "README.md", "one_/weight.txt", "pipeline.yaml"]
    assert labels(clinnlp.load(tmp_path)) == {"one": "w"}


@pytest.mark.parametrize(
    "name", ["../up", "/abs", "a/b", "pipeline.yaml", "..", "x" * 300, "nul\0", "é é", "CON", "a:b"]
)
def test_a_stage_of_any_name_keeps_its_weights_inside_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    nlp = Pipeline([Weighted("w1", name=name), Weighted("w2", name=name.replace("/", "_") + "_")])
    nlp.save(folder)
    assert labels(clinnlp.load(folder)) == labels(nlp)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize("weight", ["broken", "full"])
def test_a_save_that_fails_leaves_the_old_one(weight: str, tmp_path: Path) -> None:
    Pipeline([Weighted("old"), Marker("old")]).save(tmp_path)
    with pytest.raises(ClinNLPError, match="cannot"):
        Pipeline([Weighted("new"), Weighted(weight, name="second")]).save(tmp_path)
    assert labels(clinnlp.load(tmp_path)) == {"weighted": "old", "marker": "old"}
    assert names(tmp_path) == ["README.md", "pipeline.yaml", "weighted/weight.txt"]


def test_a_new_folder_does_not_appear_where_saving_fails(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        Pipeline([Weighted("broken")]).save(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_nobody_could_load_again_is_not_saved(tmp_path: Path) -> None:
    class Unregistered(Marker):
        kind = "unregistered"

    class Borrowed(Marker):
        """Has the kind of another."""

    for stage_ in (Unregistered(), Borrowed(), stage.as_stage(name="function")(print)):
        with pytest.raises(PipelineError, match="register"):
            Pipeline([stage_]).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_setting_that_is_no_plain_value_is_not_saved(tmp_path: Path) -> None:
    marker = Marker()
    marker.levels = [object()]  # type: ignore[list-item]
    with pytest.raises(PipelineError, match="stage 'marker' cannot be saved: its config"):
        Pipeline([marker]).save(tmp_path / "new")


def test_saving_in_the_place_of_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ClinNLPError, match="is a file"):
        Pipeline([Marker()]).save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_dtype_reaches_stages_that_know_of_it(tmp_path: Path) -> None:
    given: list[str] = []

    class Typed(Weighted):
        kind = "typed"

        def save(self, folder: str | Path, dtype: str = "float32") -> None:
            given.append(dtype)
            super().save(folder)

    register("typed", Typed)
    nlp = Pipeline([Typed("w")])
    nlp.save(tmp_path / "a")
    nlp.save(tmp_path / "b", dtype="float16")
    assert given == ["float32", "float16"]


def test_stages_of_ones_own_take_the_place_of_those_in_the_file(tmp_path: Path) -> None:
    written(tmp_path, {"name": "mine", "stage": "marker"}, {"name": "yours", "stage": "a function of mine"})
    refused(tmp_path, "unknown stage 'a function of mine'")
    nlp = clinnlp.load(tmp_path, stages={"yours": lambda record: record.labels.update(yours=["z"])})
    assert list(nlp.stages) == ["mine", "yours"]
    assert labels(nlp) == {"mine": "x", "yours": "z"}
    assert clinnlp.load(tmp_path, stages={"yours": Marker("own")})["yours"].name == "yours"
    with pytest.raises(PipelineError, match="has no stage 'other' to put yours in for"):
        clinnlp.load(tmp_path, stages={"yours": Marker(), "other": Marker()})


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"name": "a", "stage": "os:system"}, "stage 'a': unknown stage 'os:system'"),
        ({"name": "a", "stage": "clinnlp.stage:Stage"}, "unknown stage"),
        ({"name": "a", "stage": "nothing"}, "unknown stage 'nothing': known are .*entities.*marker"),
        ({"name": "a"}, "stage 'a' does not say which `stage` it is"),
        ({"name": "a", "stage": 3}, "does not say which"),
        ({"stage": "marker"}, "each stage needs a name"),
        ({"name": 3, "stage": "marker"}, "each stage needs a name"),
        ("marker", "each stage needs a name"),
        (None, "each stage needs a name"),
        ({"name": "a", "stage": "marker", "cofig": {}}, "stage 'a' has the unknown key 'cofig'"),
        ({"name": "a", "stage": "marker", "config": {"marks": "x"}}, "stage 'a': its config does not fit.*'marks'"),
        ({"name": "a", "stage": "marker", "config": ["x"]}, "config is not a mapping"),
        ({"name": "a", "stage": "marker", "config": {3: "x"}}, "config is not a mapping"),
        ({"name": "a", "stage": "marker", "config": {"mark": 3}}, "does not fit: ValueError: a mark is a text"),
        ({"name": "a", "stage": "marker", "config": {"mark": "refused"}}, "stage 'a': mark may not be 'refused'"),
        ({"name": "a", "stage": "weighted"}, "stage 'a': weights are needed"),
        ({"name": "a", "stage": "weighted", "weights": "absent"}, "weights are missing: no folder absent"),
        ({"name": "a", "stage": "weighted", "weights": 3}, "not the name of a folder"),
        ({"name": "a", "stage": "weighted", "weights": ""}, "not the name of a folder"),
        ({"name": "a", "stage": "weighted", "weights": "../outside"}, "outside the pipeline's folder"),
        ({"name": "a", "stage": "weighted", "weights": "/etc"}, "outside the pipeline's folder"),
        ({"name": "a", "stage": "weighted", "weights": "link"}, "outside the pipeline's folder"),
        ({"name": "a", "stage": "weighted", "weights": "inside/../../outside"}, "outside the pipeline's folder"),
    ],
    ids=str,
)
def test_a_stage_that_cannot_be_made_is_an_error_that_names_file_and_stage(
    entry: Any, match: str, tmp_path: Path
) -> None:
    folder = written(tmp_path / "saved", entry)
    (tmp_path / "outside").mkdir()
    (folder / "inside").mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    refused(folder, r"pipeline\.yaml: .*" + match)


def test_misordered_stages_are_an_error_that_names_both(tmp_path: Path) -> None:
    class Needs(Marker):
        kind = "needs"
        requires = ("labels",)
        assigns = ()

    register("needs", Needs)
    folder = written(tmp_path, {"name": "later", "stage": "needs"}, {"name": "first", "stage": "marker"})
    refused(folder, r"pipeline\.yaml: stage 'later' comes before 'first'")


def test_two_stages_of_one_name_are_an_error(tmp_path: Path) -> None:
    refused(written(tmp_path, *[{"name": "a", "stage": "marker"}] * 2), r"pipeline\.yaml: two stages are named 'a'")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"clinnlp": 2}, "of format 2, this version reads 1"),
        ({"clinnlp": None}, "of format None"),
        ({"stages": None}, "no list of stages"),
        ({"stages": {"a": 1}}, "no list of stages"),
        ({"batchsize": 3}, "unknown key 'batchsize': known are .*batch_size"),
        ({"batch_size": "many"}, "batch_size must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"batch_size": [64]}, "batch_size must be a whole number"),
    ],
    ids=str,
)
def test_a_file_of_another_form_is_an_error_that_names_it(changes: Any, match: str, tmp_path: Path) -> None:
    refused(written(tmp_path, **changes), r"pipeline\.yaml.*" + match)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [1",
        "just text",
        "- 1\n- 2",
        "\t- a",
        "a: b: c",
        "\0",
        "[" * 10_000,
        "stages: &a [*a]",
        "3",
        "!!timestamp x",
        "2024-99-99",
        "&a a: *b",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_broken_file_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(text, encoding="utf-8")
    refused(tmp_path, r"pipeline\.yaml")


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_bytes(b"name: \xff\xfe")
    refused(tmp_path, "not valid YAML")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {proof}']",
        "!!python/object/new:os.system ['touch {proof}']",
        "!!python/name:os.system ''",
        "!!python/object/apply:subprocess.check_output [['touch', '{proof}']]",
        "!!python/module:os ''",
    ],
)
def test_no_code_in_a_file_is_run(tag: str, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    tag = tag.format(proof=proof)
    for text in (tag, f"clinnlp: 1\nstages:\n- name: a\n  stage: marker\n  config: {{mark: {tag}}}\n"):
        (tmp_path / "pipeline.yaml").write_text(text)
        refused(tmp_path, "not valid YAML")
        assert not proof.exists()


def test_a_folder_without_a_pipeline_is_an_error(tmp_path: Path) -> None:
    refused(tmp_path, r"no pipeline\.yaml in .*: give a folder that Pipeline\.save wrote")
    (tmp_path / "config.json").touch()
    refused(tmp_path, r"no pipeline\.yaml in .*: a stage that was saved alone is loaded by its class")
    (tmp_path / "pipeline.yaml").mkdir()
    refused(tmp_path, r"pipeline\.yaml cannot be read: Is a directory")


@pytest.mark.parametrize(
    "name", ["no-such-pipeline", "", "../no/such/folder", "./missing", "a/b/c", "\0", "x" * 5000, "~"]
)
def test_a_name_of_nothing_is_an_error(name: str) -> None:
    refused(name, "no pipeline")


def test_a_repository_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    refused("somebody/no-such-pipeline", "the Hub did not give it")


def test_a_shipped_name_wins_over_the_hub_and_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "shipped"
    written(shipped / "demo", {"name": "shipped", "stage": "marker"})
    written(tmp_path / "work" / "demo", {"name": "local", "stage": "marker"})
    monkeypatch.setattr("clinnlp.shipped.pipelines_folder", lambda: shipped)
    monkeypatch.chdir(tmp_path / "work")
    assert list(clinnlp.load("demo").stages) == ["shipped"]
    assert list(clinnlp.load(Path("demo")).stages) == ["local"]


def test_a_folder_is_found_by_text_path_and_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "a" / "b", {"name": "x", "stage": "marker"})
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "a" / "b", str(tmp_path / "a" / "b"), "a/b", os.path.join("a", "b", "")):  # noqa: PTH118
        assert list(clinnlp.load(name).stages) == ["x"]


def test_the_format_number_is_written(tmp_path: Path) -> None:
    Pipeline([Marker()]).save(tmp_path)
    document = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    assert document == {
        "clinnlp": saving.FORMAT,
        "name": "pipeline",
        "batch_size": 64,
        "stages": [{"name": "marker", "stage": "marker", "config": {"mark": "x", "levels": []}}],
    }
