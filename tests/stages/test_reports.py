from __future__ import annotations

import json
import pickle
import random
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save_classifier, tiny_config, tiny_tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    BertModel,
)

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.alignment import EditedText, replace
from clinnlp.encoders.text import TextWindows
from clinnlp.errors import CheckpointError, ConfigError, StageError, TrainingError
from clinnlp.stages import ReportClassifier
from clinnlp.training.fit import read_gold

LABELS = ["heart", "lungs", "skin"]
WORDS = {"heart": ["murmur", "angina"], "lungs": ["cough", "wheeze"], "skin": ["rash", "itch"]}
FILLER = ["took", "no", "the", "daily", "seen", "and"]
FAST = {"learning_rate": 3e-3, "head_learning_rate": 3e-3, "batch_tokens": 6 * 128, "warmup": 0.0}


def note(seed: int, *labels: str, length: int = 12) -> Record:
    """A note of filler with a word for each of its labels."""
    chance = random.Random(seed)
    words = [chance.choice(FILLER) for _ in range(length)]
    for label in labels:
        words.insert(chance.randrange(len(words)), chance.choice(WORDS[label]))
    return Record(" ".join(words), id=str(seed), labels={"organ": list(labels)})


def notes(first: int, count: int) -> list[Record]:
    return [note(seed, LABELS[seed % 3]) for seed in range(first, first + count)]


TRAIN, DEV = notes(0, 60), notes(1000, 18)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder whose words differ enough to be told apart in a few steps."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer([*[word for some in WORDS.values() for word in some], *FILLER])
    BertModel(tiny_config(tokenizer, initializer_range=0.1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def fitted(base: Path) -> ReportClassifier:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    stage.fit(TRAIN, DEV, FitConfig(epochs=8, **FAST))
    return stage


@pytest.fixture(scope="module")
def many(base: Path) -> ReportClassifier:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ", multi_label=True)
    train = [note(seed, *[label for i, label in enumerate(LABELS) if seed >> i & 1]) for seed in range(96)]
    stage.fit(train, None, FitConfig(epochs=15, **FAST))
    return stage


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> ReportClassifier:
    """A classifier whose logit of `yes`, in each window, is the share of its pieces that are `rash`."""
    tokenizer = tiny_tokenizer(["rash", "the"])
    names = {0: "no", 1: "yes"}
    config = tiny_config(tokenizer, num_attention_heads=1, id2label=names, label2id={"no": 0, "yes": 1})
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        bert = model.bert
        bert.embeddings.LayerNorm.weight.fill_(1.0)
        table = bert.embeddings.word_embeddings.weight
        table[:, 0], table[:, 1] = 1.0, -1.0
        rash = tokenizer.convert_tokens_to_ids("rash")
        table[rash, 2], table[rash, 3] = 50.0, -50.0
        layer = bert.encoder.layer[0]
        # Attention is even, so the first piece gets the mean over the window; layer norms keep its direction.
        layer.attention.self.value.weight[2, 2] = 1.0
        layer.attention.output.dense.weight[2, 2] = 1.0
        layer.attention.output.LayerNorm.weight.fill_(1.0)
        layer.output.LayerNorm.weight.fill_(1.0)
        bert.pooler.dense.weight[0, 2] = 1.0
        model.classifier.weight[1, 0] = 10.0
        model.classifier.bias[1] = -0.5
    folder = tmp_path_factory.mktemp("counter")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ReportClassifier.from_pretrained(folder, name="rash", window=32, overlap=8)


def bare(some: list[Record]) -> list[Record]:
    return [Record(record.text, id=record.id) for record in some]


def found(some: list[Record]) -> list[list[tuple[str, float]]]:
    return [[(label.name, label.score) for label in record.labels["organ"]] for record in some]


def yes(stage: ReportClassifier, text: str) -> float:
    return next(label.score for label in stage(text).labels["rash"] if label.name == "yes")


def test_a_head_learns_and_its_evaluation_agrees_with_what_it_writes(fitted: ReportClassifier) -> None:
    scores = fitted.evaluate(DEV)
    assert set(scores) == {"accuracy", "macro_f1", "micro_f1", "auroc", "ece"}
    assert scores["accuracy"] > 0.8
    done = list(Pipeline([fitted]).pipe(bare(DEV)))
    right = [record.labels["organ"][0].name == LABELS[int(record.id) % 3] for record in done]
    assert scores["accuracy"] == pytest.approx(sum(right) / len(right))
    assert [label.name for label in DEV[0].labels["organ"]] == [LABELS[1000 % 3]]


def test_a_single_label_head_gives_all_labels_best_first(fitted: ReportClassifier) -> None:
    labels = fitted(DEV[0].text).labels["organ"]
    assert sorted(label.name for label in labels) == sorted(LABELS)
    scores = [label.score for label in labels]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)


def test_a_multi_label_head_gives_the_labels_above_its_threshold(many: ReportClassifier) -> None:
    record = many(note(500, "heart", "skin").text)
    assert {label.name for label in record.labels["organ"]} == {"heart", "skin"}
    assert all(label.score >= 0.5 for label in record.labels["organ"])
    assert many(note(501).text).labels["organ"] == []
    copy = pickle.loads(pickle.dumps(many))
    copy.threshold = 0.0
    assert len(copy(note(501).text).labels["organ"]) == 3
    gold = [note(600 + i, *some) for i, some in enumerate([["heart"], ["lungs", "skin"], [], ["skin"]])]
    assert many.evaluate(gold)["micro_f1"] > 0.8


def test_every_part_of_a_long_note_counts_and_not_the_first_window_alone(counter: ReportClassifier) -> None:
    filler = "the " * 400
    plain = yes(counter, filler)
    for position in (0, 30, 600, 1200, 1599):
        text = filler[: position // 4 * 4] + "rash " * 60 + filler[position // 4 * 4 :]
        assert yes(counter, text) > plain + 0.05


def test_windows_weigh_by_the_pieces_that_are_theirs(counter: ReportClassifier) -> None:
    one = yes(counter, "rash rash rash rash")
    none = yes(counter, "the " * 28)
    both = yes(counter, "rash rash rash rash\n\n" + "the " * 28)

    def logit(p: float) -> float:
        return float(torch.logit(torch.tensor(p)))

    assert logit(both) == pytest.approx((4 * logit(one) + 28 * logit(none)) / 32, abs=1e-3)
    # A paragraph of one piece more than a window has two windows; no piece of it counts twice.
    rash = yes(counter, "rash " * 30)
    overlapping = yes(counter, "the " * 31 + "\n\n" + "rash " * 30)
    assert logit(overlapping) == pytest.approx((31 * logit(none) + 30 * logit(rash)) / 61, abs=1e-3)


@given(st.lists(st.sampled_from(["rash", "the"]), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_the_order_of_paragraphs_does_not_matter(counter: ReportClassifier, words: list[str]) -> None:
    text, turned = "\n\n".join(words), "\n\n".join(reversed(words))
    assert yes(counter, text) == pytest.approx(yes(counter, turned), abs=1e-5)


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00"])
def test_a_note_without_a_word_gets_no_label(fitted: ReportClassifier, text: str) -> None:
    assert fitted(text).labels == {"organ": []}
    mixed = list(Pipeline([fitted]).pipe([text, DEV[0].text, text]))
    assert [len(record.labels["organ"]) for record in mixed] == [0, 3, 0]


def test_the_cleaned_text_is_read_where_there_is_one(counter: ReportClassifier) -> None:
    text = "the r-sh the"
    cleaned = EditedText.of(text, [replace(4, 8, "rash")])
    record = counter(Record(text, cleaned=cleaned))
    assert record.labels["rash"] == counter("the rash the").labels["rash"]
    assert record.labels["rash"] != counter(text).labels["rash"]


def test_results_do_not_depend_on_batches_or_order(fitted: ReportClassifier) -> None:
    texts = [record.text for record in DEV] + ["", " ".join(record.text for record in TRAIN), "rash"]
    expected = found(list(Pipeline([fitted]).pipe(texts, batch_size=64)))
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    for size, tokens in ((1, 64), (7, 512), (64, 4096)):
        stage = pickle.loads(pickle.dumps(fitted))
        stage.encoder.batch_tokens = tokens
        done = found(list(Pipeline([stage]).pipe([texts[i] for i in order], batch_size=size)))
        for i, labels in zip(order, done, strict=True):
            assert [name for name, _ in labels] == [name for name, _ in expected[i]]
            assert [score for _, score in labels] == pytest.approx([score for _, score in expected[i]], abs=1e-4)


def test_a_saved_stage_opens_in_plain_transformers_and_loads_again(fitted: ReportClassifier, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "organ")
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(**tokenizer(DEV[0].text, return_tensors="pt")).logits
    best = fitted(DEV[0].text).labels["organ"][0]
    assert model.config.id2label[int(logits.argmax())] == best.name
    assert best.score == pytest.approx(float(logits.softmax(dim=1).max()), abs=1e-5)
    loaded = ReportClassifier.from_pretrained(folder)
    assert (loaded.name, loaded.labels, loaded.multi_label) == ("organ", LABELS, False)
    assert found([loaded(DEV[0].text)]) == found([fitted(DEV[0].text)])
    renamed = ReportClassifier.from_pretrained(folder, name="part")
    assert list(renamed(DEV[0].text).labels) == ["part"]


def test_a_saved_multi_label_head_is_one_again(many: ReportClassifier, tmp_path: Path) -> None:
    loaded = ReportClassifier.from_pretrained(many.save(tmp_path / "many", dtype="float16"))
    assert loaded.multi_label
    text = note(500, "heart", "skin").text
    assert {label.name for label in loaded(text).labels["organ"]} == {"heart", "skin"}


def test_a_pipeline_with_the_stage_saves_and_loads_with_its_settings(many: ReportClassifier, tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(many))
    copy.threshold = 0.0
    nlp = clinnlp.load(Pipeline([copy]).save(tmp_path / "pipeline"))
    assert list(nlp.stages) == ["organ"]
    texts = [record.text for record in DEV]
    assert found(list(nlp.pipe(texts))) == found(list(Pipeline([copy]).pipe(texts)))
    assert {len(labels) for labels in found(list(nlp.pipe(texts)))} == {3}


def test_pickling_drops_weights_that_a_folder_holds_and_keeps_those_that_none_does(
    fitted: ReportClassifier, tmp_path: Path
) -> None:
    loaded = ReportClassifier.from_pretrained(fitted.save(tmp_path / "saved"))
    loaded.warm_up()
    assert len(pickle.dumps(loaded)) < 10_000 < len(pickle.dumps(fitted))
    loaded.fit(TRAIN[:6], None, FitConfig(epochs=1, **FAST))
    for stage in (loaded, fitted):
        copy = pickle.loads(pickle.dumps(stage))
        assert found([copy(DEV[0].text)]) == found([stage(DEV[0].text)])


def test_the_base_may_be_a_classifier_of_another_kind(tmp_path: Path) -> None:
    tokens = save_classifier(tmp_path / "tokens", ["O", "B-Drug", "I-Drug"], [*FILLER, *WORDS["skin"]])
    stage = ReportClassifier.from_base(tokens, labels=["a", "b"])
    assert stage.name == "reports"
    assert len(stage("rash").labels["reports"]) == 2
    with pytest.raises(CheckpointError, match="EntityExtractor reads and ReportClassifier does not"):
        ReportClassifier.from_pretrained(tokens).warm_up()


def test_reports_longer_than_a_batch_are_learned_from_in_parts(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    pad = TextWindows.pad
    monkeypatch.setattr(TextWindows, "pad", lambda self, rows: read.append(sum(map(len, rows))) or pad(self, rows))
    stage = ReportClassifier.from_base(base, labels=LABELS[:2], name="organ", window=32, overlap=8)
    train = [
        Record("\n\n".join([WORDS[label][0] + " seen"] * 200), id=label, labels={"organ": label})
        for label in LABELS[:2]
    ]
    stage.fit(train, None, FitConfig(epochs=20, **{**FAST, "batch_tokens": 40}))
    assert 0 < max(read) <= 4 * 40
    assert stage.evaluate(train)["accuracy"] == 1.0


def test_the_fit_report_says_what_was_left_out_and_where_it_was_saved(base: Path, tmp_path: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    wordless = Record(" ", labels={"organ": "skin"})
    report = stage.fit([*TRAIN[:6], wordless], DEV, FitConfig(epochs=2, output=str(tmp_path / "organ"), **FAST))
    assert report.metric == "macro_f1"
    assert report.best_score == stage.evaluate(DEV)["macro_f1"]
    assert len(report.history) == 2
    assert any("1 training records" in text for text in report.notes)
    assert ReportClassifier.from_pretrained(report.folder).evaluate(DEV) == stage.evaluate(DEV)


def test_the_head_learns_faster_than_the_encoder_unless_the_configuration_says_otherwise(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    for rate, expected in ((None, 2e-2), (5e-3, 5e-3)):
        report = stage.fit(TRAIN[:6], None, FitConfig(epochs=1, learning_rate=2e-3, head_learning_rate=rate))
        assert report.config.head_learning_rate == pytest.approx(expected)


def test_gold_that_does_not_fit_the_head_and_no_gold_at_all_are_refused(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    with pytest.raises(TrainingError, match="record 'x' has the gold label 'brain'"):
        stage.fit([*TRAIN[:3], Record("no", id="x", labels={"organ": "brain"})])
    with pytest.raises(TrainingError, match="multi_label=True"):
        stage.fit([note(1, "heart", "skin")])
    for nothing in ([], bare(TRAIN[:3]), [Record("no", labels={"other": "heart"})]):
        with pytest.raises(TrainingError, match="no record has gold"):
            stage.fit(nothing)
        with pytest.raises(TrainingError, match="no record has gold" if nothing else "development records are none"):
            stage.fit(TRAIN[:3], nothing)
        with pytest.raises(TrainingError, match="no record has gold"):
            stage.evaluate(nothing)


def test_labels_of_a_new_head_must_be_enough_and_differ(base: Path) -> None:
    for labels in ([], ["heart"], ["heart", "heart"], "heart"):
        with pytest.raises(ConfigError, match="labels"):
            ReportClassifier.from_base(base, labels=labels)
    assert ReportClassifier.from_base(base, labels=["heart"], multi_label=True).labels == ["heart"]


def test_construction_reads_nothing_and_what_is_wrong_with_weights_is_one_line(
    fitted: ReportClassifier, tmp_path: Path
) -> None:
    assert ReportClassifier(tmp_path / "nowhere").name == "reports"
    corrupt = fitted.save(tmp_path / "corrupt")
    weights = corrupt / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    number = fitted.save(tmp_path / "number")
    settings = json.loads((number / "config.json").read_text())
    settings["problem_type"] = "regression"
    (number / "config.json").write_text(json.dumps(settings))
    pickled = fitted.save(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    for broken in (corrupt, number, pickled, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError) as caught:
            ReportClassifier(broken).warm_up()
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        ReportClassifier(corrupt)("rash")


def test_a_note_on_both_sides_of_a_split_is_refused_unless_it_is_allowed(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    again = Record(f"  {TRAIN[4].text.upper()} ", id=TRAIN[4].id, labels=TRAIN[4].labels)
    told = "1 of 19 development records have the text of a training record"
    with pytest.raises(
        TrainingError, match=f"{told}, such as record '4' and record '4': take them out of one"
    ) as caught:
        stage.fit(TRAIN, [*DEV, again], FitConfig(epochs=1, **FAST))
    assert "murmur" not in str(caught.value)
    assert "\n" not in str(caught.value)
    report = stage.fit(TRAIN, [*DEV, again], FitConfig(epochs=1, allow_shared=True, **FAST))
    assert f"{told}: figures on them flatter" in report.notes
    # Whose gold is another label set's is no development record of this one.
    other = Record(TRAIN[4].text, id=TRAIN[4].id, labels={"other": "x"})
    assert not stage.fit(TRAIN, [*DEV, other], FitConfig(epochs=1, **FAST)).notes


def test_texts_of_other_records_may_be_chance_while_they_are_few(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    copies = [Record(record.text, id=f"copy {record.id}", labels=record.labels) for record in TRAIN[:5]]
    report = stage.fit(TRAIN, [*DEV, *copies[:4]], FitConfig(epochs=1, **FAST))
    assert "4 of 22 development records have the text of a training record: figures on them flatter" in report.notes
    with pytest.raises(TrainingError, match=r"5 of 23 development records .*, such as record '0' and record 'copy 0'"):
        stage.fit(TRAIN, [*DEV, *copies], FitConfig(epochs=1, **FAST))


def test_contradictory_gold_and_labels_without_an_example_are_told(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=[*LABELS, *(f"rare {i}" for i in range(7))], name="organ")
    clash = Record(TRAIN[0].text, id="clash", labels={"organ": "skin"})
    dev = [record for record in DEV if record.labels["organ"][0].name != "lungs"]
    report = stage.fit([*TRAIN, clash], dev, FitConfig(epochs=1, **FAST))
    rare = "rare 0, rare 1, rare 2, rare 3, rare 4 and 2 more"
    assert "1 texts have different gold in 2 training records" in report.notes
    assert f"{rare} have no training example: they will not be found" in report.notes
    assert (
        "lungs, rare 0, rare 1, rare 2, rare 3 and 3 more have no development example to be judged by" in report.notes
    )
    assert (
        ReportClassifier.from_base(base, labels=LABELS, name="organ").fit(TRAIN, DEV, FitConfig(epochs=1)).notes == []
    )


def test_labels_with_marks_and_lines_in_their_names_are_kept(base: Path, tmp_path: Path) -> None:
    names = ["a, b/c|d", "хирургия\n(новая)", '"q": [x]']
    some = [Record(record.text, id=record.id, labels={"ä|b": names[int(record.id) % 3]}) for record in TRAIN]
    stage = ReportClassifier.from_base(base, labels=names, name="ä|b")
    stage.fit(some, None, FitConfig(epochs=8, **FAST))
    assert stage.evaluate(some)["accuracy"] > 0.8
    again = ReportClassifier.from_pretrained(stage.save(tmp_path / "odd"))
    assert again.labels == names
    assert again(some[0].text).labels == stage(some[0].text).labels


def test_gold_of_labels_that_training_did_not_have_counts_as_missed(fitted: ReportClassifier) -> None:
    scores = fitted.evaluate([*DEV, Record("the murmur", labels={"organ": "brain"})])
    assert scores.per_label["brain"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1.0}
    assert scores["accuracy"] == pytest.approx(fitted.evaluate(DEV)["accuracy"] * len(DEV) / (len(DEV) + 1))


def test_a_new_head_can_be_judged_and_explained_before_it_is_fitted(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    stage.evaluate(DEV)
    assert not any(parameter.is_inference() for parameter in stage.head.parameters())
    stage.fit(TRAIN, None, FitConfig(epochs=1, **FAST))
    with torch.inference_mode():
        other = ReportClassifier.from_base(base, labels=LABELS, name="organ")
        other.warm_up()
    assert other.explain("the murmur")[0].words
    other.fit(TRAIN, None, FitConfig(epochs=1, **FAST))


def test_label_sets_that_a_row_of_a_dataset_lacks_are_no_gold() -> None:
    rows = [Record("a", "1", labels={"x": ["A"]}).to_dict(), Record("b", "2", labels={"y": ["C"]}).to_dict()]
    sentence = {"start": 0, "end": 1, "labels": {"x": None, "y": [{"name": "C", "score": 1.0}]}}
    first, second = read_gold(Dataset.from_list(rows))
    assert (set(first.labels), set(second.labels)) == ({"x"}, {"y"})
    (third,) = read_gold([{"text": "a", "sentences": [sentence]}])
    assert set(third.sentences[0].labels) == {"y"}


def test_gold_without_a_word_is_told_of_and_thresholds_of_before_a_fit_too(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ", multi_label=True)
    with pytest.raises(TrainingError, match="no training example with gold has a word"):
        stage.fit([Record("", labels={"organ": "skin"}), Record(" ", labels={"organ": "lungs"})])
    silent = [Record("\n", id="silent", labels={"organ": "skin"})]
    with pytest.raises(TrainingError, match="no development example has both a word and gold"):
        stage.fit(TRAIN, silent, FitConfig(epochs=1, calibrate=True, **FAST))
    stage.tune(DEV)
    told = "organ: thresholds and abstention are those of before this fit: tune them again"
    assert told in stage.fit(TRAIN, None, FitConfig(epochs=1, **FAST)).notes


def test_weights_that_give_no_numbers_and_thresholds_of_other_labels_are_refused(base: Path) -> None:
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ", multi_label=True, threshold={"skn": 0.2})
    with pytest.raises(ConfigError, match="has no label 'skn' to give a threshold"):
        stage.evaluate(DEV)
    stage = ReportClassifier.from_base(base, labels=LABELS, name="organ")
    stage.warm_up()
    with torch.no_grad():
        stage.head.classifier.bias[0] = torch.nan
    with pytest.raises(StageError, match="its weights are broken"):
        Pipeline([stage])("the rash")
