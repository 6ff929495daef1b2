"""One encoder pass for all heads on it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from heads import Negation, Vectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import save_classifier, tiny_base

import clinnlp
from clinnlp import Entity, Pipeline, Record
from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.shared import current_pass
from clinnlp.errors import CheckpointError, ClinNLPError, PipelineError, StageError
from clinnlp.stages import EntityExtractor, ReportClassifier

WORDS = ["took", "aspirin", "fever", "today", "no", "and", "the"]
SIZES: dict[str, Any] = {"window": 32, "overlap": 8}
NOTES = [
    "took aspirin today and no fever. " * 12,
    "no fever today.\n\nPLAN: took aspirin.",
    "the fever",
    "",
    "no fever today.\n\nPLAN: took aspirin.",
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), WORDS)


def five_heads(base: Path | TextEncoder, **sizes: Any) -> list[Any]:
    sizes = sizes or ({} if isinstance(base, TextEncoder) else SIZES)
    torch.manual_seed(7)
    stages = [
        EntityExtractor.from_base(base, ["Drug", "Symptom"], **sizes),
        Negation(base if isinstance(base, TextEncoder) else str(base), new=True, **sizes),
        ReportClassifier.from_base(base, ["a", "b", "c"], name="kind", **sizes),
        ReportClassifier.from_base(base, ["x", "y"], name="topics", multi_label=True, threshold=0.0, **sizes),
        Vectors(base if isinstance(base, TextEncoder) else str(base), new=True, **sizes),
    ]
    for stage in stages:
        stage.warm_up()
    return stages


def counted(encoder: TextEncoder) -> Callable[[], int]:
    """Count the windows that go through an encoder."""
    seen = [0]

    def count(_: Any, args: Any, kwargs: dict[str, torch.Tensor], output: Any) -> None:
        seen[0] += len(kwargs["input_ids"])

    encoder.model.register_forward_hook(count, with_kwargs=True)
    return lambda: seen[0]


def plain(record: Record) -> dict[str, Any]:
    return record.to_dict()


def same(one: Record, other: Record) -> None:
    assert [(e.start, e.end, e.label, e.assertion) for e in one.entities] == [
        (e.start, e.end, e.label, e.assertion) for e in other.entities
    ]
    for name in one.labels:
        assert {x.name: pytest.approx(x.score, abs=1e-4) for x in one.labels[name]} == {
            x.name: x.score for x in other.labels[name]
        }
    assert one.metadata["vector"] == pytest.approx(other.metadata["vector"], abs=1e-4)


def test_five_heads_make_one_forward_pass_for_each_window(base: Path) -> None:
    nlp = Pipeline(five_heads(base))
    encoder = nlp["entities"].encoder
    assert all(stage.encoder is encoder for stage in nlp.stages.values())
    passes = counted(encoder)
    list(nlp.pipe(NOTES))
    windows = encoder.windows
    texts = list(dict.fromkeys(NOTES))
    expected = sum(len(windows.windows(paragraphs)) for paragraphs in windows.paragraphs(texts))
    assert passes() == expected > len(texts)


def test_heads_together_find_what_each_finds_alone(base: Path) -> None:
    stages = five_heads(base)
    alone = [Record(text) for text in NOTES]
    for stage in stages:
        for record in alone:
            Pipeline([stage])(record)
    together = list(Pipeline(stages).pipe(Record(text) for text in NOTES))
    for one, other in zip(alone, together, strict=True):
        same(one, other)


def test_nothing_is_kept_after_a_batch_and_no_other_thread_sees_the_pass(base: Path) -> None:
    seen: list[Any] = []

    def look(record: Record) -> None:
        seen.append(current_pass(encoder))
        thread = threading.Thread(target=lambda: seen.append(current_pass(encoder)))
        thread.start()
        thread.join()

    stages = five_heads(base)
    encoder = stages[0].encoder
    nlp = Pipeline([*stages[:3], look])
    list(nlp.pipe(NOTES[:1]))
    assert len(seen[0].found) == 1
    assert seen[1] is None
    assert current_pass(encoder) is None


def test_a_text_that_changes_between_two_heads_is_read_again(base: Path) -> None:
    from clinnlp.alignment import Alignment, Edit, EditedText

    def shorten(record: Record) -> None:
        record.cleaned = EditedText(record.text[4:], Alignment(len(record.text), [Edit(0, 4, "")]))

    stages = five_heads(base)
    nlp = Pipeline([stages[0], shorten, stages[2]])
    expected = stages[2](Record("aspirin today")).labels["kind"]
    found = nlp(Record("the aspirin today")).labels["kind"]
    assert [(x.name, pytest.approx(x.score, abs=1e-5)) for x in found] == [(x.name, x.score) for x in expected]


def test_a_failing_head_costs_neither_the_others_nor_other_records(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = five_heads(base)
    process = type(stages[2]).process

    def fail(self: Any, records: Any) -> None:
        if any("PLAN" in record.text for record in records):
            raise ValueError("secret")
        process(self, records)

    monkeypatch.setattr(ReportClassifier, "process", fail)
    nlp = Pipeline(stages)
    passes = counted(nlp["entities"].encoder)
    records = list(nlp.pipe(NOTES, on_error="keep"))
    assert [[failure.stage for failure in record.errors] for record in records] == [
        [],
        ["kind", "topics"],
        [],
        [],
        ["kind", "topics"],
    ]
    assert all("vector" in record.metadata for record in records)
    windows = nlp["entities"].encoder.windows
    assert passes() == sum(len(windows.windows(p)) for p in windows.paragraphs(dict.fromkeys(NOTES)))


def test_a_head_that_cannot_be_read_is_told_under_its_own_name(base: Path, tmp_path: Path) -> None:
    stages = five_heads(base)
    Pipeline(stages).save(tmp_path / "saved")
    (tmp_path / "saved" / "topics" / "head.safetensors").write_bytes(b"nothing")
    nlp = clinnlp.load(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="topics"):
        nlp("fever")


@pytest.mark.parametrize("other", [{"window": 40, "overlap": 8}, {"window": 32, "overlap": 4}])
def test_other_windows_are_another_encoder(base: Path, other: dict[str, int]) -> None:
    one, two = EntityExtractor.from_base(base, ["Drug"], **SIZES), ReportClassifier.from_base(base, ["a", "b"], **other)
    Pipeline([one, two])
    assert one.encoder is not two.encoder


def test_an_encoder_that_was_changed_in_memory_is_shared_by_nobody_who_only_names_the_same_folder(base: Path) -> None:
    one, two = EntityExtractor.from_base(base, ["Drug"]), ReportClassifier.from_base(base, ["a", "b"])
    one.encoder.changed = True
    Pipeline([one, two])
    assert one.encoder is not two.encoder
    three = ReportClassifier.from_base(one.encoder, ["a", "b"])
    assert three.encoder is one.encoder


def test_a_checkpoint_with_a_head_keeps_its_own_encoder(base: Path, tmp_path: Path) -> None:
    foreign = EntityExtractor.from_pretrained(save_classifier(tmp_path, ["O", "B-Drug"], WORDS), name="foreign")
    nlp = Pipeline([EntityExtractor.from_base(base, ["Drug"]), foreign])
    assert nlp["foreign"].encoder is not nlp["entities"].encoder


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_pipeline_saves_a_shared_encoder_once_and_small_heads(base: Path, tmp_path: Path, dtype: str) -> None:
    nlp = Pipeline(five_heads(base))
    folder = nlp.save(tmp_path / "saved", dtype)
    weights = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors"))
    assert weights == [
        "encoder/model.safetensors",
        *sorted(f"{name}/head.safetensors" for name in ("entities", "test_negation", "kind", "topics", "test_vectors")),
    ]
    head, encoder = folder / "entities" / "head.safetensors", folder / "encoder" / "model.safetensors"
    assert head.stat().st_size < encoder.stat().st_size / 10
    assert (folder / "pipeline.yaml").read_text().count("window") == 1
    again = clinnlp.load(folder)
    assert len({id(stage.encoder) for stage in again.stages.values()}) == 1
    if dtype == "float32":
        for one, other in zip(nlp.pipe(NOTES), again.pipe(NOTES), strict=True):
            same(one, other)
    # And once more, over itself.
    assert clinnlp.load(again.save(folder))("fever").labels["kind"]


def test_a_stage_of_a_saved_pipeline_can_be_taken_alone(base: Path, tmp_path: Path) -> None:
    nlp = Pipeline(five_heads(base))
    folder = nlp.save(tmp_path / "saved")
    for kind, name in ((EntityExtractor, "entities"), (ReportClassifier, "kind")):
        stage = kind.from_pretrained(folder)  # type: ignore[attr-defined]
        assert (stage.name, stage.encoder.window, stage.encoder.overlap) == (name, 32, 8)
        one, other = Pipeline([stage])(NOTES[0]), Pipeline([nlp[name]])(NOTES[0])
        assert [(e.start, e.label) for e in one.entities] == [(e.start, e.label) for e in other.entities]
    with pytest.raises(CheckpointError, match="has no stage 'images'"):
        clinnlp.stages.ImageClassifier.from_pretrained(folder)
    # The encoder of the pipeline is a base for other heads, with its windows, so that they read in its pass.
    other = EntityExtractor.from_base(folder, ["Other"], name="other")
    assert other.checkpoint == str(folder / "encoder")
    loaded = clinnlp.load(folder)
    assert Pipeline([*loaded.stages.values(), other])["other"].encoder is loaded["entities"].encoder
    assert EntityExtractor.from_base(folder, ["Other"], window=24).encoder.window == 24
    single = Pipeline([nlp["kind"]]).save(tmp_path / "single")
    assert ReportClassifier.from_base(single, ["a", "b"]).encoder.window == 32


def test_one_stage_saved_alone_is_a_whole_checkpoint_that_plain_transformers_opens(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    stage = five_heads(base)[2]
    folder = stage.save(tmp_path / "kind")
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    inputs = AutoTokenizer.from_pretrained(folder)("took aspirin today", return_tensors="pt")
    with torch.inference_mode():
        scores = model.eval()(**inputs).logits.softmax(-1)[0]
    found = {label.name: label.score for label in stage("took aspirin today").labels["kind"]}
    assert [found[name] for name in stage.labels] == pytest.approx(scores.tolist(), abs=1e-5)


def test_pickling_a_pipeline_leaves_weights_that_a_folder_holds_and_shares_the_encoder(
    base: Path, tmp_path: Path
) -> None:
    folder = Pipeline(five_heads(base)).save(tmp_path / "saved")
    nlp = clinnlp.load(folder).warm_up()
    raw = pickle.dumps(nlp)
    assert len(raw) < 20_000
    again = pickle.loads(raw)
    assert len({id(stage.encoder) for stage in again.stages.values()}) == 1
    assert len(again["kind"].encoder.users) == 5
    same(nlp(NOTES[0]), again(NOTES[0]))
    # A pipeline without a stage does not carry its head along.
    assert b"topics" not in pickle.dumps(nlp.without("topics"))


def test_the_identity_of_a_pipeline_names_encoder_and_heads(base: Path, tmp_path: Path) -> None:
    from clinnlp.engines.identity import pipeline_identity

    folder = Pipeline(five_heads(base)).save(tmp_path / "saved")
    before = pipeline_identity(clinnlp.load(folder))
    assert pipeline_identity(clinnlp.load(folder)) == before
    for name in ("encoder/model.safetensors", "kind/head.safetensors"):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert pipeline_identity(clinnlp.load(folder)) != before
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["encoders"].clear(), "no encoder 'encoder'"),
        (lambda d: d["encoders"]["encoder"].update(weights="../elsewhere"), "missing"),
        (lambda d: d["encoders"]["encoder"].update(oops=1), "unknown key 'oops'"),
        (lambda d: d["encoders"].update(encoder={"pipeline": "nowhere"}), "no pipeline beside this one"),
        (lambda d: d["stages"][0].update(encoder="other"), "no encoder 'other'"),
        (lambda d: d.update(encoders=[1]), "no encoder"),
    ],
)
def test_what_is_wrong_with_an_encoder_of_a_pipeline_is_one_line(
    base: Path, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    import yaml

    folder = Pipeline(five_heads(base)).save(tmp_path / "saved")
    document = yaml.safe_load((folder / "pipeline.yaml").read_text())
    change(document)
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(PipelineError, match=message) as caught:
        clinnlp.load(folder)
    assert "\n" not in str(caught.value)


def test_a_head_of_another_encoder_is_refused(base: Path, tmp_path: Path) -> None:
    from tiny import tiny_config, tiny_tokenizer
    from transformers import BertModel

    folder = Pipeline(five_heads(base)).save(tmp_path / "saved")
    tokenizer = tiny_tokenizer(WORDS)
    BertModel(tiny_config(tokenizer, hidden_size=64)).save_pretrained(folder / "encoder")
    with pytest.raises(CheckpointError, match="head of another encoder"):
        clinnlp.load(folder).warm_up()


def test_too_little_memory_says_what_to_lower(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = EntityExtractor.from_base(base, ["Drug"])
    stage.warm_up()

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(stage.encoder.model, "forward", full)
    with pytest.raises(StageError, match="lower batch_tokens, which is 4096"):
        stage("fever")


def test_architectures_whose_head_reads_more_than_states_are_refused(tmp_path: Path) -> None:
    from tiny import tiny_tokenizer
    from transformers import GPT2Config, GPT2ForSequenceClassification

    tokenizer = tiny_tokenizer(WORDS)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, pad_token_id=0)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ClinNLPError, match="cannot be told from its encoder"):
        ReportClassifier.from_pretrained(tmp_path).warm_up()


@pytest.mark.parametrize("architecture", ["Roberta", "DistilBert", "Electra", "Albert", "DebertaV2", "ModernBert"])
@pytest.mark.parametrize("task", ["TokenClassification", "SequenceClassification"])
def test_heads_of_many_architectures_give_what_their_whole_models_give(
    architecture: str, task: str, tmp_path: Path
) -> None:
    import transformers
    from tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer(WORDS)
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": 0, "max_position_embeddings": 128}
    width = (
        {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
        if architecture == "DistilBert"
        else {
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        }
    )
    torch.manual_seed(3)
    config = getattr(transformers, f"{architecture}Config")(**sizes, **width, num_labels=3)
    config.id2label = {0: "O", 1: "B-Drug", 2: "I-Drug"}
    model = getattr(transformers, f"{architecture}For{task}")(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    kind = EntityExtractor if task == "TokenClassification" else ReportClassifier
    stage = kind.from_pretrained(tmp_path, window=64, overlap=8)
    stage.warm_up()
    text = "took aspirin today and no fever"
    (item,) = stage.encoder.read([text], stage)
    inputs = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[0]
    if task == "TokenClassification":
        assert np.allclose(item.outputs[stage][0], logits.log_softmax(-1)[1:-1].numpy(), atol=1e-4)
    else:
        assert np.allclose(item.outputs[stage][0], logits.numpy(), atol=1e-4)
    # And the whole checkpoint is written again under the names that the architecture has.
    again = type(model).from_pretrained(stage.save(tmp_path / "again"))
    for (name, one), other in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_span_logits_are_the_same_in_training_and_over_windows(data: st.DataObject) -> None:
    from clinnlp.encoders.own_heads import span_logits, torch_span_logits

    pieces = data.draw(st.integers(1, 20))
    first = data.draw(st.integers(0, pieces - 1))
    last = data.draw(st.integers(first + 1, pieces))
    rows = torch.randn(1, pieces, 6)
    one = span_logits(rows[0].numpy(), first, last)
    other = torch_span_logits(rows, torch.tensor([[0, first, last]]))[0]
    assert one == pytest.approx(other.numpy(), abs=1e-4)
    by_hand = rows[0, first, :2] + rows[0, last - 1, 2:4] + rows[0, first:last, 4:].mean(0)
    assert one == pytest.approx(by_hand.numpy(), abs=1e-4)


def test_vectors_of_passages_are_means_over_their_pieces_in_windows(base: Path) -> None:
    from clinnlp.encoders.own_heads import mean_vectors

    stage = Vectors(str(base), new=True, **SIZES)
    text = NOTES[0]
    (item,) = stage.encoder.read([text], stage)
    whole, part, none = mean_vectors(item, stage, [(0, len(text)), (5, 12), (4, 5)])
    states = np.concatenate(item.central(stage))
    assert len(item.windows) > 1
    assert whole == pytest.approx(states.mean(0) / np.linalg.norm(states.mean(0)), abs=1e-5)
    assert part == pytest.approx(states[1] / np.linalg.norm(states[1]), abs=1e-5)
    assert not none.any()
    assert mean_vectors(stage.encoder.read([""], stage)[0], stage, [(0, 0)]).shape == (1, 32)


def test_a_span_head_learns_from_what_stands_around_an_entity(base: Path) -> None:
    from clinnlp import Assertion, FitConfig
    from clinnlp.training.stages import fit_stage

    train = []
    for i in range(40):
        negated = i % 2 == 0
        text = f"{'the ' * (i % 5)}{'no' if negated else 'and'} fever today"
        start = text.index("fever")
        train.append(Record(text, entities=[Entity(start, start + 5, "Symptom", assertion=Assertion(negated))]))
    stage = Negation(str(base), new=True, **SIZES)
    fit_stage(stage, train, train, FitConfig(epochs=12, learning_rate=5e-3, batch_tokens=256))
    assert stage.evaluate(train)["accuracy"] == 1.0


def test_a_second_pipeline_does_not_part_the_first_ones_heads(base: Path) -> None:
    one, two, three = five_heads(base)[0], five_heads(base)[2], five_heads(base)[3]
    Pipeline([one, two])
    Pipeline([three, one])
    assert one.encoder is two.encoder is three.encoder


def test_the_same_record_twice_in_a_batch_is_annotated_once(tmp_path: Path) -> None:
    from tiny import lexicon_classifier

    ner = EntityExtractor.from_pretrained(lexicon_classifier(tmp_path, {"aspirin": "B-Drug"}, ["O", "B-Drug"]))
    record = Record("took aspirin")
    assert [[e.text for e in r.entities] for r in Pipeline([ner]).pipe([record, record])] == [["aspirin"]] * 2


def test_a_stage_outside_of_a_pipeline_reads_a_window_once(base: Path) -> None:
    ner = EntityExtractor.from_base(base, ["Drug"], **SIZES)
    ner.warm_up()
    passes = counted(ner.encoder)
    ner.process([Record("took aspirin")])
    assert passes() == 1


def test_a_head_that_fails_on_states_costs_no_other_head(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = five_heads(base)

    def fail(*_: Any) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(stages[2], "head_outputs", fail)
    record = Pipeline(stages)("took aspirin", on_error="keep")
    assert [failure.stage for failure in record.errors] == ["kind"]
    assert "vector" in record.metadata
    assert list(record.labels) == ["topics"]


def test_a_new_head_is_the_same_in_every_copy(base: Path) -> None:
    stage = ReportClassifier.from_base(base, ["a", "b"], name="kind", **SIZES)
    raw = pickle.dumps(stage)
    one, other = pickle.loads(raw), pickle.loads(raw)
    assert one("fever").labels == other("fever").labels == stage("fever").labels


def test_a_save_in_another_layout_leaves_nothing_of_the_one_before(base: Path, tmp_path: Path) -> None:
    alone = EntityExtractor.from_base(base, ["Drug"], **SIZES)
    both = Pipeline(
        [
            EntityExtractor.from_base(base, ["Other"], **SIZES),
            ReportClassifier.from_base(base, ["a", "b"], name="kind", **SIZES),
        ]
    )
    folder = tmp_path / "saved"
    alone.save(folder)
    both.save(folder)
    assert EntityExtractor.from_pretrained(folder).labels == ["Other"]
    alone.save(folder)
    assert EntityExtractor.from_pretrained(folder).labels == ["Drug"]
    with pytest.raises(PipelineError, match=r"no pipeline.yaml"):
        clinnlp.load(folder)


def test_one_of_several_stages_of_a_kind_is_taken_by_its_name(base: Path, tmp_path: Path) -> None:
    folder = Pipeline(five_heads(base)).save(tmp_path / "saved")
    assert ReportClassifier.from_pretrained(folder, name="topics").labels == ["x", "y"]
    assert ReportClassifier.from_pretrained(folder).name == "kind"
    with pytest.raises(CheckpointError, match="it has kind, topics"):
        ReportClassifier.from_pretrained(folder, name="other")
