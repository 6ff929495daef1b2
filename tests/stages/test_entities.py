from __future__ import annotations

import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import lexicon_classifier, save_classifier, tiny_base
from transformers import AutoModelForTokenClassification, AutoTokenizer

from clinnlp import Entity, FitConfig, Pipeline, Record, Token
from clinnlp.alignment import EditedText, delete, replace
from clinnlp.encoders.bio import bio_labels
from clinnlp.encoders.words import Words
from clinnlp.errors import CheckpointError, ConfigError, StageError
from clinnlp.stages import EntityExtractor

WORDS = {"chest": "B-Symptom", "pain": "I-Symptom", "aspirin": "B-Drug"}
LABELS = bio_labels(["Symptom", "Drug"])
NOTE = "Pt denies chest pain. Started aspirin.\n\nPlan:\n\nMore aspirin, less chest pain"


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lexicon_classifier(tmp_path_factory.mktemp("lexicon"), WORDS, LABELS)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model: it finds a lot, all over, and every window counts."""
    return save_classifier(tmp_path_factory.mktemp("noisy"), LABELS, seed=3)


def spans(record: Record) -> list[tuple[int, int, str]]:
    return [(e.start, e.end, e.label) for e in record.entities]


def test_entities_carry_exact_raw_offsets_labels_scores_and_source(lexicon: Path) -> None:
    record = EntityExtractor.from_pretrained(lexicon)(NOTE)
    assert [(e.text, e.label) for e in record.entities] == [
        ("chest pain", "Symptom"),
        ("aspirin", "Drug"),
        ("aspirin", "Drug"),
        ("chest pain", "Symptom"),
    ]
    assert all(record.text[e.start : e.end] == e.text for e in record.entities)
    assert all(0.9 < e.score <= 1 and e.source == "entities" for e in record.entities)


@given(position=st.integers(0, 3000), filler=st.sampled_from(["word ", "x", "a1,", "é ", "- "]))
@settings(max_examples=60, deadline=None)
def test_an_entity_is_found_at_every_position_of_a_long_note(lexicon: Path, position: int, filler: str) -> None:
    before = (filler * position)[:position]
    text = f"{before} chest pain {(filler * 3000)[: 3000 - position]}"
    stage = _cached(lexicon, window=40, overlap=10)
    assert spans(stage(text)) == [(len(before) + 1, len(before) + 11, "Symptom")]


def test_an_entity_is_found_at_each_of_three_hundred_word_positions(lexicon: Path) -> None:
    stage = _cached(lexicon, window=40, overlap=10)
    texts = ["x " * position + "chest pain" + " x" * (300 - position) for position in range(301)]
    for position, record in enumerate(Pipeline([stage]).pipe(texts)):
        assert spans(record) == [(2 * position, 2 * position + 10, "Symptom")]


def test_an_entity_longer_than_a_window_is_found_whole(lexicon: Path) -> None:
    text = "so chest" + " pain" * 300 + " went"
    record = _cached(lexicon, window=40, overlap=10)(text)
    assert spans(record) == [(3, len(text) - 5, "Symptom")]


def test_an_entity_across_the_tokenizers_chunks_is_found_whole(lexicon: Path) -> None:
    for lead in range(19_985, 20_003):
        text = "x " * (lead // 2) + "y" * (lead % 2) + " chest pain and more" + " z" * 12_000
        assert [e.text for e in _cached(lexicon)(text).entities] == ["chest pain"]


_STAGES: dict[tuple[str, int, int], EntityExtractor] = {}


def _cached(folder: Path, window: int = 128, overlap: int = 32) -> EntityExtractor:
    key = (str(folder), window, overlap)
    if key not in _STAGES:
        _STAGES[key] = EntityExtractor.from_pretrained(folder, window=window, overlap=overlap)
    return _STAGES[key]


@given(st.lists(st.text(alphabet="abz 1.,\n-é🙂\u0301\x00", max_size=120), max_size=12), st.randoms())
@settings(max_examples=25, deadline=None)
def test_annotations_do_not_depend_on_batches_or_order(noisy: Path, texts: list[str], chance: random.Random) -> None:
    nlp = Pipeline([_cached(noisy, window=24, overlap=8)])
    whole = list(nlp.pipe(texts, batch_size=64))
    for record in whole:
        assert all(record.text[e.start : e.end] == e.text and e.start < e.end for e in record.entities)
        assert all(a.end <= b.start for a, b in zip(record.entities, record.entities[1:], strict=False))
    order = list(range(len(texts)))
    chance.shuffle(order)
    for size in (1, 7):
        again = dict(zip(order, nlp.pipe([texts[i] for i in order], batch_size=size), strict=True))
        for i, record in enumerate(whole):
            assert spans(again[i]) == spans(record)
            scores = [abs(a.score - b.score) for a, b in zip(again[i].entities, record.entities, strict=True)]
            assert max(scores, default=0) < 1e-3


def test_the_score_is_the_probability_of_the_type_whether_it_begins_or_goes_on(lexicon: Path) -> None:
    stage = _cached(lexicon)
    log_probs = np.log(np.array([[0.1, 0.5, 0.4, 0.0, 0.0], [0.2, 0.1, 0.7, 0.0, 0.0]], dtype=np.float32) + 1e-9)
    words = Words(np.arange(2), np.arange(1, 3), np.array([0, 6]), np.array([5, 10]))
    (entity,) = stage._decode(log_probs, words)
    assert (entity.start, entity.end, entity.label) == (0, 10, "Symptom")
    assert entity.score == pytest.approx((0.9 + 0.8) / 2)


def test_a_small_batch_of_tokens_gives_the_same_as_a_large_one(noisy: Path) -> None:
    text = " ".join(random.Random(0).choices("abcdefgh", k=900))
    small = EntityExtractor.from_pretrained(noisy, window=30, overlap=8, batch_tokens=30)(text)
    large = EntityExtractor.from_pretrained(noisy, window=30, overlap=8, batch_tokens=100_000)(text)
    assert spans(small) == spans(large)
    assert spans(small)


def test_words_are_the_records_tokens_and_are_never_split(lexicon: Path) -> None:
    text = "has chest-pain now"
    assert [e.text for e in _cached(lexicon)(text).entities] == ["chest"]
    tokens = [Token(0, 3), Token(4, 14), Token(15, 18)]
    assert [e.text for e in _cached(lexicon)(Record(text, tokens=tokens)).entities] == ["chest-pain"]


def test_a_piece_over_two_tokens_joins_them(lexicon: Path) -> None:
    tokens = [Token(0, 3), Token(3, 5), Token(6, 10)]
    record = _cached(lexicon)(Record("chest pain", tokens=tokens))
    assert [e.text for e in record.entities] == ["chest pain"]


def test_entities_of_a_cleaned_text_have_raw_offsets(lexicon: Path) -> None:
    raw = "has che-\nst   pain &amp; asp\u200birin"
    edits = [delete(7, 9), replace(11, 14, " "), replace(19, 24, "&"), delete(28, 29)]
    record = Record(raw, cleaned=EditedText.of(raw, edits))
    assert record.cleaned is not None
    assert record.cleaned.text == "has chest pain & aspirin"
    found = [e.text for e in _cached(lexicon)(record).entities]
    assert found == ["che-\nst   pain", "asp\u200birin"]


def test_words_from_one_replaced_stretch_never_cross(lexicon: Path) -> None:
    record = Record("a § b", cleaned=EditedText.of("a § b", [replace(2, 3, "chest aspirin")]))
    assert [e.text for e in _cached(lexicon)(record).entities] == ["§"]


def test_entities_that_a_record_brings_are_kept_and_no_others_are_added(lexicon: Path) -> None:
    record = _cached(lexicon)(Record(NOTE, entities=[Entity(0, 2, "Person")]))
    assert spans(record) == [(0, 2, "Person")]


def test_running_twice_gives_the_same_and_keeps_what_another_stage_found(lexicon: Path) -> None:
    stage = _cached(lexicon)
    record = stage(NOTE)
    first = spans(record)
    record.entities.append(Entity(0, 2, "Person", source="rules"))
    assert spans(stage(record)) == sorted([*first, (0, 2, "Person")])


@pytest.mark.parametrize("text", ["", " ", "\n\n \t", "\u200b", "\x00", "\u0301", "[SEP] [CLS]", "🙂"])
def test_texts_without_words_give_no_entities(lexicon: Path, text: str) -> None:
    assert _cached(lexicon)(text).entities == []


def test_special_tokens_in_a_note_are_plain_text(lexicon: Path) -> None:
    record = _cached(lexicon)("see [SEP] chest pain [PAD] aspirin")
    assert [e.text for e in record.entities] == ["chest pain", "aspirin"]


def test_building_a_stage_reads_no_weights_and_warming_up_does(lexicon: Path) -> None:
    stage = EntityExtractor.from_pretrained(lexicon)
    assert stage._head is None
    stage.warm_up()
    assert stage._head is not None


@pytest.mark.parametrize("labels", [["O", "I-Drug"], ["O", "B-Drug", "I-Drug", "E-Drug", "S-Drug"], ["Drug", "O"]])
def test_checkpoints_of_other_schemes_are_read(tmp_path: Path, labels: list[str]) -> None:
    word = "S-Drug" if "S-Drug" in labels else "I-Drug" if "I-Drug" in labels else "Drug"
    stage = EntityExtractor.from_pretrained(lexicon_classifier(tmp_path, {"aspirin": word}, labels))
    assert [(e.text, e.label) for e in stage("took aspirin").entities] == [("aspirin", "Drug")]
    assert stage.labels == ["Drug"]


def test_a_saved_stage_opens_in_plain_transformers_and_finds_the_same(lexicon: Path, tmp_path: Path) -> None:
    stage = EntityExtractor.from_pretrained(lexicon)
    for dtype in ("float32", "float16"):
        folder = stage.save(tmp_path / dtype, dtype)
        again = EntityExtractor.from_pretrained(folder)
        assert spans(again(NOTE)) == spans(stage(NOTE))
        model = AutoModelForTokenClassification.from_pretrained(folder)
        assert [model.config.id2label[i] for i in range(5)] == LABELS
        assert AutoTokenizer.from_pretrained(folder)("chest pain")["input_ids"][0] == 2
    sizes = [(tmp_path / d / "model.safetensors").stat().st_size for d in ("float32", "float16")]
    assert sizes[1] < 0.6 * sizes[0]


def test_a_pipeline_saves_and_loads_the_stage_with_its_settings(lexicon: Path, tmp_path: Path) -> None:
    nlp = Pipeline([EntityExtractor.from_pretrained(lexicon, window=40, overlap=10, name="drugs")])
    import clinnlp

    nlp.save(tmp_path / "saved")
    again = clinnlp.load(tmp_path / "saved")
    stage = again["drugs"]
    assert isinstance(stage, EntityExtractor)
    assert (stage.encoder.window, stage.encoder.overlap, stage.name) == (40, 10, "drugs")
    assert spans(again(NOTE)) == spans(nlp(NOTE))


def test_a_pickled_stage_leaves_its_weights_in_the_checkpoint(lexicon: Path) -> None:
    stage = EntityExtractor.from_pretrained(lexicon)
    stage.warm_up()
    data = pickle.dumps(stage)
    assert len(data) < 5_000
    assert spans(pickle.loads(data)(NOTE)) == spans(stage(NOTE))


def test_a_new_head_is_pickled_with_its_weights(tmp_path: Path) -> None:
    stage = EntityExtractor.from_base(tiny_base(tmp_path / "base"), ["Drug"])
    before = spans(stage("a b c d e f g"))
    assert spans(pickle.loads(pickle.dumps(stage))("a b c d e f g")) == before


def test_from_base_never_takes_over_an_old_head(lexicon: Path) -> None:
    stage = EntityExtractor.from_base(lexicon, ["Symptom", "Drug"])
    old = AutoModelForTokenClassification.from_pretrained(lexicon)
    assert not (stage.head.classifier.weight == old.classifier.weight).all()
    assert (
        stage.encoder.model.embeddings.word_embeddings.weight == old.base_model.embeddings.word_embeddings.weight
    ).all()


def test_a_checkpoint_with_bare_labels_is_refused(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, ["LABEL_0", "LABEL_1"])
    with pytest.raises((CheckpointError, StageError), match="LABEL_n"):
        EntityExtractor.from_pretrained(folder)("text")


def test_a_checkpoint_that_is_not_of_entities_is_refused(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, ["positive", "negative"])
    with pytest.raises((CheckpointError, StageError), match="not of IO, BIO or BIOES"):
        EntityExtractor.from_pretrained(folder)("text")


def test_a_base_without_a_head_is_refused_by_from_pretrained(tmp_path: Path) -> None:
    folder = tiny_base(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = dict(enumerate(LABELS))
    config["label2id"] = {name: i for i, name in enumerate(LABELS)}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="use from_base"):
        EntityExtractor.from_pretrained(folder).warm_up()


def test_corrupt_weights_are_one_clear_line(lexicon: Path, tmp_path: Path) -> None:
    folder = EntityExtractor.from_pretrained(lexicon).save(tmp_path / "broken")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="cannot read the weights of") as caught:
        EntityExtractor.from_pretrained(folder).warm_up()
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(lexicon: Path, tmp_path: Path) -> None:
    folder = EntityExtractor.from_pretrained(lexicon).save(tmp_path / "shape")
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError):
        EntityExtractor.from_pretrained(folder).warm_up()


def test_pickled_weights_are_refused(lexicon: Path, tmp_path: Path) -> None:
    folder = EntityExtractor.from_pretrained(lexicon).save(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        EntityExtractor.from_pretrained(folder).warm_up()


@pytest.mark.parametrize("name", ["no-such-model", "./nowhere", "bad name!"])
def test_a_checkpoint_that_is_nowhere_is_refused_without_the_network(name: str) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        EntityExtractor.from_pretrained(name)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        EntityExtractor.from_pretrained(tmp_path)


@pytest.mark.parametrize(("window", "overlap"), [(2, 0), (40, 38), (40, 40)])
def test_windows_that_do_not_fit_are_refused(lexicon: Path, window: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="do not fit"):
        EntityExtractor.from_pretrained(lexicon, window=window, overlap=overlap).warm_up()


@pytest.mark.parametrize("labels", [["Drug", "Drug"], [], "Drug"])
def test_labels_must_be_a_list_with_each_once(lexicon: Path, labels: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"each once|a list of names"):
        EntityExtractor.from_base(lexicon, labels)


@pytest.mark.parametrize("sizes", [{"window": "abc"}, {"window": -4}, {"overlap": 1.5}, {"batch_tokens": True}])
def test_sizes_that_are_no_whole_numbers_are_refused_when_the_stage_is_built(lexicon: Path, sizes: dict) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(sizes))} must be a whole number"):
        EntityExtractor.from_pretrained(lexicon, **sizes)


def test_a_checkpoint_without_its_tokenizer_is_refused(lexicon: Path, tmp_path: Path) -> None:
    folder = EntityExtractor.from_pretrained(lexicon).save(tmp_path / "bare")
    (folder / "tokenizer.json").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "BertTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="tokenizer"):
        EntityExtractor.from_pretrained(folder).warm_up()


def test_a_megabyte_in_one_line_is_one_paragraph_that_is_read_to_its_end(lexicon: Path) -> None:
    stage = _cached(lexicon)
    text = "chest pain aspirin " * 55_000
    (paragraphs,) = stage.windows.paragraphs([text])
    assert len(paragraphs) == 1
    assert len(paragraphs[0].ids) == 165_000
    assert paragraphs[0].ends[-1] == len(text) - 1


def test_transitions_are_learned_saved_in_the_configuration_and_decide(tmp_path: Path) -> None:
    words = ["took", "aspirin", "and", "no", "daily"]
    base = tiny_base(tmp_path / "base", words)
    # Two words of a drug: only what came before tells whether "daily" goes on.
    gold = [Record("took aspirin daily and no daily", entities=[Entity(5, 18, "Drug")]) for _ in range(8)]
    ner = EntityExtractor.from_base(base, ["Drug"])
    assert ner.transitions is None
    ner.fit(gold, None, FitConfig(epochs=30, learning_rate=1e-3, batch_tokens=64, warmup=0.0))
    transitions = ner.transitions
    assert transitions is not None
    assert transitions[1, 2] > transitions[0, 2]
    assert spans(ner("took aspirin daily and no daily")) == [(5, 18, "Drug")]
    for folder in (ner.save(tmp_path / "whole"), Pipeline([ner, _other(ner)]).save(tmp_path / "both")):
        again = EntityExtractor.from_pretrained(folder)
        assert (again.transitions == transitions).all()
        assert [pytest.approx(e.score) for e in again(gold[0].text).entities] == [
            e.score for e in ner(gold[0].text).entities
        ]
    _, info = AutoModelForTokenClassification.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["missing_keys"]
    # A new head on it has none of them, and a fit without takes them away.
    assert EntityExtractor.from_base(tmp_path / "whole", ["Other"]).transitions is None
    report = ner.fit(gold, None, FitConfig(epochs=1, focal=1.0))
    assert ner.transitions is None
    assert any("no transitions were learned" in note for note in report.notes)
    ner.fit(gold, None, FitConfig(epochs=1, crf=False))
    assert ner.transitions is None


def _other(ner: EntityExtractor) -> EntityExtractor:
    return EntityExtractor.from_base(ner.encoder, ["Other"], name="other")


def test_transitions_that_do_not_fit_are_one_line(lexicon: Path, tmp_path: Path) -> None:
    folder = EntityExtractor.from_pretrained(lexicon).save(tmp_path / "saved")
    path = folder / "config.json"
    for wrong in (["1 2", "3 4"], "text", [1, 2]):
        path.write_text(json.dumps({**json.loads(path.read_text()), "transitions": wrong}))
        with pytest.raises(CheckpointError, match="transitions in the config") as caught:
            EntityExtractor.from_pretrained(folder).warm_up()
        assert "\n" not in str(caught.value)
