from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_config, tiny_tokenizer
from transformers import BertModel

import clinnlp
from clinnlp import FitConfig, Pipeline, Record
from clinnlp.alignment import EditedText, replace
from clinnlp.encoders.own_heads import mean_vectors
from clinnlp.errors import CheckpointError, ConfigError, StageError, TrainingError
from clinnlp.stages import ReportClassifier, TopicModel
from clinnlp.training.topics import class_terms

WORDS = {
    "heart": ["murmur", "angina", "stent", "aorta"],
    "skin": ["rash", "itch", "eczema", "wheal"],
    "knee": ["meniscus", "patella", "brace", "limp"],
}
FILLER = ["seen", "daily", "clinic"]
SIZES = {"window": 32, "overlap": 8}


def note(seed: int, organ: str, length: int = 14) -> Record:
    """A note mostly of words of one organ."""
    chance = random.Random(seed)
    words = [chance.choice(WORDS[organ] if chance.random() < 0.8 else FILLER) for _ in range(length)]
    return Record(" ".join(words), id=f"{organ}-{seed}", labels={"organ": organ})


NOTES = [note(seed, organ, 8 + seed % 40) for seed in range(14) for organ in WORDS]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder in which words differ."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer([*[word for some in WORDS.values() for word in some], *FILLER])
    BertModel(tiny_config(tokenizer, initializer_range=0.1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def fitted_on(base: Any, notes: list[Record] = NOTES, topics: int = 3, seed: int = 0, **options: Any) -> TopicModel:
    model = TopicModel.from_base(base, topics=topics, **options)
    model.fit(notes, config=FitConfig(seed=seed))
    return model


@pytest.fixture(scope="module")
def model(base: Path) -> TopicModel:
    return fitted_on(base, **SIZES)


def bare(notes: list[Record]) -> list[Record]:
    return [Record(record.text, id=record.id) for record in notes]


def ranked(records: list[Record], name: str = "topics") -> list[list[tuple[str, float]]]:
    return [[(label.name, label.score) for label in record.labels[name]] for record in records]


def same(one: list[list[tuple[str, float]]], other: list[list[tuple[str, float]]]) -> bool:
    names = [[name for name, _ in some] for some in one] == [[name for name, _ in some] for some in other]
    return names and all(
        s == pytest.approx(t, abs=1e-3)
        for some, others in zip(one, other, strict=True)
        for (_, s), (_, t) in zip(some, others, strict=True)
    )


def test_topics_are_the_subjects_of_the_corpus_and_named_by_their_words(model: TopicModel) -> None:
    of_word = {word: organ for organ, words in WORDS.items() for word in words}
    assert sum(topic.size for topic in model.topics) == len(NOTES)
    assert [topic.size for topic in model.topics] == sorted((topic.size for topic in model.topics), reverse=True)
    for topic in model.topics:
        organs = {of_word.get(word) for word in topic.name.split(", ")}
        assert len(organs) == 1
        (organ,) = organs
        assert all(found.startswith(f"{organ}-") for found in topic.central)
        weights = [weight for _, weight in topic.terms]
        assert weights == sorted(weights, reverse=True)
        assert weights[-1] > 0
    assert len({topic.name for topic in model.topics}) == 3 == len(model.labels)
    assert model.evaluate(NOTES, against="organ")["nmi"] > 0.9


def test_all_topics_are_given_best_first_by_their_cosine(model: TopicModel) -> None:
    record = model(Record(NOTES[0].text))
    (item,) = model.encoder.read([record.text], model)
    vector = mean_vectors(item, model, [(0, len(record.text))])[0]
    scores = dict(zip(model.labels, model.head.centres.numpy() @ vector, strict=True))
    assert {label.name: label.score for label in record.labels["topics"]} == pytest.approx(scores, abs=1e-5)
    found = [label.score for label in record.labels["topics"]]
    assert found == sorted(found, reverse=True)
    assert np.linalg.norm(model.head.centres.numpy(), axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_central_records_are_those_next_to_the_centre(model: TopicModel) -> None:
    annotated = bare(NOTES)
    model.process(annotated)
    for topic in model.topics:
        scores = {r.id: r.labels["topics"][0].score for r in annotated if r.labels["topics"][0].name == topic.name}
        assert len(scores) == topic.size
        assert topic.central == sorted(scores, key=lambda name: -scores[name])[:5]


def test_a_record_without_a_word_has_no_topics_and_teaches_none(base: Path, model: TopicModel) -> None:
    assert ranked(list(Pipeline([model]).pipe(["", " \n ", "rash"])))[:2] == [[], []]
    other = TopicModel.from_base(base, topics=3, **SIZES)
    report = other.fit([Record(" ", id="blank"), *NOTES, Record("", id="none")])
    assert report.records == {"topics": len(NOTES)}
    assert report.notes == ["2 records without a word were left out"]
    assert other.topics == model.topics


@pytest.mark.parametrize("batch_tokens", [64, 100_000])
def test_topics_are_the_same_for_a_seed_whatever_the_batches(base: Path, model: TopicModel, batch_tokens: int) -> None:
    other = fitted_on(base, batch_tokens=batch_tokens, **SIZES)
    assert [(t.name, t.size, t.central) for t in other.topics] == [(t.name, t.size, t.central) for t in model.topics]
    found = [ranked(list(Pipeline([m]).pipe(bare(NOTES), batch_size=n))) for m, n in ((model, 64), (other, 3))]
    assert same(*found)


def test_topics_follow_the_seed(base: Path) -> None:
    # Many topics of few notes: k-means ends elsewhere for other beginnings.
    one, again, other = (fitted_on(base, topics=17, seed=seed).topics for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_fewer_different_records_than_topics_are_refused(base: Path) -> None:
    model = TopicModel.from_base(base, topics=4)
    with pytest.raises(TrainingError, match=r"'topics': 4 topics need at least as many different .* there are 3:"):
        model.fit([*NOTES[:3], *NOTES[:3], Record(""), Record(" ")])
    with pytest.raises(StageError, match="'topics' has no topics yet: fit it"):
        model.process([Record("rash")])
    for wrong in (1, 0, True, 2.5):
        with pytest.raises(ConfigError, match="topics must be a whole number of at least 2"):
            TopicModel.from_base(base, topics=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_saved_model_gives_the_same_topics(base: Path, model: TopicModel, tmp_path: Path, dtype: str) -> None:
    model.save(tmp_path / "topics", dtype)
    assert load_file(tmp_path / "topics" / "head.safetensors").keys() == {"centres"}
    assert json.loads((tmp_path / "topics" / "config.json").read_text())["topics"][0]["name"] == model.topics[0].name
    again = TopicModel.from_pretrained(tmp_path / "topics", **SIZES)
    assert again.topics == model.topics
    records = bare(NOTES), bare(NOTES)
    model.process(records[0])
    again.process(records[1])
    if dtype == "float32":
        assert same(ranked(records[0]), ranked(records[1]))
    else:
        assert [r.labels["topics"][0].name for r in records[0]] == [r.labels["topics"][0].name for r in records[1]]
    with pytest.raises(CheckpointError, match=r"has no topics: make a new model with TopicModel\.from_base"):
        _ = TopicModel.from_pretrained(base).topics


def test_a_pipeline_saves_topics_alone_and_on_a_shared_encoder(base: Path, tmp_path: Path) -> None:
    kind = ReportClassifier.from_base(base, labels=["a", "b"], name="kind", **SIZES)
    topics = TopicModel.from_base(base, topics=3, name="subject", **SIZES)
    together = Pipeline([kind, topics])
    topics.fit(NOTES)
    for name, nlp in (("alone", Pipeline([topics])), ("together", together)):
        nlp.save(tmp_path / name)
        again = clinnlp.load(tmp_path / name)
        expected, found = (list(p.pipe(bare(NOTES[:6]))) for p in (nlp, again))
        assert same(ranked(expected, "subject"), ranked(found, "subject"))
    assert {path.name for path in (tmp_path / "together" / "subject").iterdir()} == {
        "README.md",
        "config.json",
        "head.safetensors",
    }
    assert TopicModel.from_pretrained(tmp_path / "together").name == "subject"
    assert again["subject"].encoder is again["kind"].encoder


def test_topics_share_the_pass_of_the_other_heads(base: Path, model: TopicModel) -> None:
    kind = ReportClassifier.from_base(model.encoder, labels=["a", "b"], name="kind")
    rows: list[int] = []
    handle = model.encoder.model.register_forward_hook(
        lambda _, args, kwargs, out: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    record = Pipeline([kind, model])(Record(" ".join(note.text for note in NOTES)))
    handle.remove()
    windows = model.windows.windows(next(iter(model.windows.paragraphs([record.text]))))
    assert len(windows) > 5
    assert sum(rows) == len(windows)
    assert set(record.labels) == {"kind", "topics"}


def test_a_joint_fit_passes_topics_over_and_says_that_the_encoder_has_changed(base: Path) -> None:
    topics = TopicModel.from_base(base, topics=3)
    kind = ReportClassifier.from_base(base, labels=list(WORDS), name="organ")
    nlp = Pipeline([topics, kind])
    centres = fitted_on(topics.encoder).head.centres
    report = nlp.fit(NOTES, config=FitConfig(epochs=1))
    assert set(report.records) == {"organ"}
    assert any("nothing was given for" in said and "topics" in said for said in report.notes)
    assert topics.fit(NOTES).records == {"topics": len(NOTES)}
    assert not torch.allclose(topics.head.centres, centres)
    with pytest.raises(TrainingError, match="train is given for 'topics': the stages that learn are organ"):
        nlp.fit({"topics": NOTES})


def test_a_fit_leaves_the_encoder_as_it_is_and_shared(base: Path) -> None:
    topics = TopicModel.from_base(base, topics=3)
    kind = ReportClassifier.from_base(base, labels=["a", "b"], name="kind")
    Pipeline([topics, kind])
    before = {name: tensor.clone() for name, tensor in topics.encoder.model.state_dict().items()}
    topics.fit(NOTES)
    assert topics.encoder is kind.encoder
    assert not topics.encoder.changed
    assert all(torch.equal(before[name], tensor) for name, tensor in topics.encoder.model.state_dict().items())


def test_the_cleaned_text_is_read_where_there_is_one(model: TopicModel) -> None:
    raw = "rash itch eczema wheal rash rash"
    record = Record(raw, cleaned=EditedText.of(raw, [replace(0, len(raw), NOTES[0].text)]))
    model.process([record])
    (expected,) = [model(Record(NOTES[0].text))]
    assert same(ranked([record]), ranked([expected]))


def test_a_report_and_the_card_say_how_topics_were_found(base: Path, tmp_path: Path) -> None:
    model = TopicModel.from_base(base, topics=3)
    report = model.fit(NOTES, NOTES[:12], FitConfig(seed=5, epochs=2, output=tmp_path / "topics"))
    assert report.notes == ["epochs did nothing: topics are found by clustering"]
    assert report.metric == "silhouette"
    assert report.best_score == pytest.approx(model.evaluate(NOTES[:12])["silhouette"])
    card = (tmp_path / "topics" / "README.md").read_text(encoding="utf-8")
    assert "3 topics, found by k-means (seed 5) over the vectors of 42 records" in card
    assert f"| silhouette | {report.best_score:.3f} |" in card
    again = TopicModel.from_pretrained(tmp_path / "topics")
    again.save(tmp_path / "again")
    assert "found by k-means (seed 5)" in (tmp_path / "again" / "README.md").read_text(encoding="utf-8")


def test_figures_agree_with_the_gold_they_are_given(model: TopicModel) -> None:
    scores = model.evaluate(NOTES, against="organ")
    mixed = [Record(r.text, labels={"coin": "heads" if i % 2 else "tails"}) for i, r in enumerate(NOTES)]
    assert set(scores) == {"silhouette", "nmi", "ari"}
    assert set(model.evaluate(NOTES)) == {"silhouette"}
    assert model.evaluate(mixed, against="coin")["nmi"] < 0.1 < 0.9 < scores["nmi"]
    with pytest.raises(TrainingError, match="'topics': 0 records with words and labels under 'nothing'"):
        model.evaluate(NOTES, against="nothing")


def test_topics_that_were_never_found_cannot_be_judged(base: Path) -> None:
    with pytest.raises(
        TrainingError, match="stage 'topics' has no topics yet: fit it on the records of a corpus first"
    ):
        TopicModel.from_base(base, topics=3).evaluate(NOTES)


def test_what_topics_have_not_is_refused_in_one_line(base: Path, model: TopicModel) -> None:
    with pytest.raises(ConfigError, match="no settings to search"):
        model.search(NOTES, NOTES, {"learning_rate": [1e-3]})
    with pytest.raises(ConfigError, match="cannot be put into an ensemble"):
        TopicModel.ensemble([model, model])
    with pytest.raises(TrainingError, match="without a teacher"):
        TopicModel.from_base(base, topics=3).fit(NOTES, teacher=model)


def test_a_pickled_model_keeps_its_topics(model: TopicModel) -> None:
    again = pickle.loads(pickle.dumps(model))
    assert again.topics == model.topics
    assert same(ranked([again(Record(NOTES[1].text))]), ranked([model(Record(NOTES[1].text))]))


def test_class_terms_have_the_weights_of_the_paper() -> None:
    texts = ["fever cough cough", "fever cough", "rash fever rash"]
    first, second = (dict(terms) for terms in class_terms(texts, np.array([0, 0, 1]), 2))
    # What two notes have counts: 7 terms in the first class, one in the second, so 4 on average.
    shares = {"fever": 2 / 7, "cough": 3 / 7, "fever cough": 2 / 7}
    whole = {"fever": 3, "cough": 3, "fever cough": 2}
    assert first == pytest.approx({term: np.sqrt(share) * np.log1p(4 / whole[term]) for term, share in shares.items()})
    assert second == pytest.approx({"fever": np.log1p(4 / 3)})


def test_words_of_one_or_two_notes_numbers_and_common_words_are_no_terms() -> None:
    texts = [f"the patient 250 had a stent {i} x" for i in range(30)]
    texts[0] += " oduwale varnell"
    texts[1] += " varnell"
    (terms,) = class_terms(texts, np.zeros(30, dtype=np.int64), 1)
    assert {word for term, _ in terms for word in term.split()} == {"patient", "stent"}
    assert class_terms(["1 2 3", "the of"], np.array([0, 1]), 2) == [[], []]
