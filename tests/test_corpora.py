"""The catalogue of corpora, their readers and their download."""

from __future__ import annotations

import csv
import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clinnlp import corpora as catalogue
from clinnlp.errors import CorpusError, FormatError
from clinnlp.record import Assertion

FILES = {"devel.tsv": b"No\tO\nfever\tB-Disease\n\n", "train.tsv": b"Gout\tB-Disease\n\nWell\tO\n\n"}
WRITTEN = ("assertion", "notes", "reports", "tone", "ultrasound")
KNOWN = [
    "assertion", "bc5cdr", "bioscope", "busi", "covid_cxr", "maccrobat", "mts_dialog", "mtsamples", "ncbi_disease",
    "negex", "notes", "ohsumed", "pneumoniamnist", "presidio_synth", "reports", "synthea", "tone", "uci_heart",
    "ultrasound",
]  # fmt: skip


class Server:
    """A web server on this machine, and what was asked of it."""

    def __init__(self) -> None:
        self.bodies = dict(FILES)
        self.cut = 0
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                outer.asked.append(name)
                body = outer.bodies.get(name)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write((body or b"")[: len(body or b"") - outer.cut])

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/data/"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


@pytest.fixture
def cached(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an ncbi_disease whose address is the local server; gives the cache's folder."""
    files = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
    entry = replace(catalogue.info("ncbi_disease"), address=server.address, files=files)
    entries = {**{name: catalogue.info(name) for name in catalogue.names()}, "ncbi_disease": entry}
    monkeypatch.setattr(catalogue, "_catalogue", lambda: entries)
    monkeypatch.setenv("CLINNLP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLINNLP_CORPORA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "corpora"


def test_names_are_sorted_and_each_says_its_licence_and_whom_to_cite() -> None:
    assert catalogue.names() == KNOWN
    for name in KNOWN:
        corpus = catalogue.info(name)
        assert all([corpus.title, corpus.licence, corpus.citation, corpus.home, corpus.parts])
        assert all(len(checksum) == 64 for checksum in corpus.files.values())
        assert bool(corpus.files) != bool(corpus.get) or name in WRITTEN
    assert not catalogue.info("mtsamples").may_be_learned
    assert not catalogue.info("covid_cxr").may_be_learned
    assert catalogue.info("maccrobat").may_be_learned
    assert len(catalogue.info("maccrobat").files) == 300


def test_an_address_to_download_from_is_pinned_to_a_commit() -> None:
    for name in KNOWN:
        corpus = catalogue.info(name)
        if corpus.files:
            assert corpus.address.startswith("https://raw.githubusercontent.com/")
            assert any(len(part) == 40 for part in corpus.address.split("/"))
            assert corpus.address.endswith("/")


def test_an_unknown_corpus_part_or_type_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(CorpusError, match=r"'macrobat': known are assertion, bc5cdr, .*maccrobat"):
        catalogue.load("macrobat")
    with pytest.raises(CorpusError, match="no part 'test': it has train, devel"):
        catalogue.load("bc5cdr", "test")
    with pytest.raises(CorpusError, match="types"):
        catalogue.load("maccrobat", types="some")


def test_the_catalogue_is_light_to_import_and_to_read() -> None:
    code = (
        "import sys, clinnlp; clinnlp.corpora.names(); clinnlp.corpora.info('busi');"
        "print([m for m in ('torch', 'spacy', 'numpy', 'urllib.request') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_corpus_is_downloaded_once_and_read_from_the_cache_afterwards(server: Server, cached: Path) -> None:
    assert catalogue.folder("ncbi_disease") is None
    assert server.asked == []
    found = catalogue.load("ncbi_disease")
    assert {part: [record.text for record in some] for part, some in found.items()} == {
        "train": ["Gout", "Well"],
        "devel": ["No fever"],
    }
    assert sorted(server.asked) == sorted(FILES)
    assert catalogue.load("ncbi_disease") == found
    assert len(server.asked) == 2
    assert catalogue.folder("ncbi_disease") == cached / "ncbi_disease"
    assert sorted(path.name for path in cached.iterdir()) == ["ncbi_disease"]


def test_a_wrong_checksum_leaves_nothing_behind_and_a_later_download_is_whole(server: Server, cached: Path) -> None:
    server.bodies["train.tsv"] = b"Gout\tB-Symptom\n\nWell\tO\n\n"
    with pytest.raises(CorpusError, match=r"train\.tsv has a wrong checksum.*CLINNLP_CORPORA"):
        catalogue.load("ncbi_disease")
    assert list(cached.iterdir()) == []
    server.bodies["train.tsv"] = FILES["train.tsv"]
    assert len(catalogue.load("ncbi_disease", "train")["train"]) == 2


def test_a_file_cut_off_on_its_way_is_refused(server: Server, cached: Path) -> None:
    server.cut = 3
    with pytest.raises(CorpusError, match=r"devel\.tsv was cut off after 19 of 22 bytes.*try again"):
        catalogue.load("ncbi_disease")
    assert list(cached.iterdir()) == []


def test_a_file_that_is_not_there_or_a_server_that_is_not_names_the_way_out(server: Server, cached: Path) -> None:
    del server.bodies["devel.tsv"]
    with pytest.raises(CorpusError, match=r"devel\.tsv did not come from http.* \(HTTPError 404\).*CLINNLP_CORPORA"):
        catalogue.load("ncbi_disease")
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(CorpusError, match=r"\(URLError\)"):
        catalogue.load("ncbi_disease")
    assert list(cached.iterdir()) == []


@pytest.mark.parametrize("name", ["mtsamples", "busi", "pneumoniamnist", "synthea"])
def test_a_corpus_without_checksums_is_not_downloaded_and_says_how_to_get_it(name: str, cached: Path) -> None:
    with pytest.raises(CorpusError, match=f"{name}' is not on this machine.*http.*{name}.*CLINNLP_CORPORA"):
        catalogue.load(name)


def test_the_folder_that_the_user_names_goes_before_the_cache(
    server: Server, cached: Path, own: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own("ncbi_disease")
    (folder / "train.tsv").write_bytes(b"Mine\tO\n")
    with pytest.raises(CorpusError, match=r"no file devel\.tsv"):
        catalogue.load("ncbi_disease")
    (folder / "devel.tsv").write_bytes(b"Mine\tO\n")
    monkeypatch.delenv("CLINNLP_CORPORA")
    assert catalogue.load("ncbi_disease", "devel")["devel"][0].text == "No fever"
    monkeypatch.setenv("CLINNLP_CORPORA", str(folder.parent))
    assert catalogue.load("ncbi_disease", "devel")["devel"][0].text == "Mine"
    assert len(server.asked) == 2


def test_a_corpus_that_the_users_folder_lacks_is_read_from_the_cache(
    server: Server, cached: Path, own: Callable[[str], Path]
) -> None:
    own("another")
    assert catalogue.load("ncbi_disease", "devel")["devel"][0].text == "No fever"
    assert catalogue.folder("ncbi_disease") == cached / "ncbi_disease"


def test_a_named_folder_that_does_not_exist_is_an_error(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINNLP_CORPORA", str(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match="CLINNLP_CORPORA names a folder that does not exist"):
        catalogue.load("ncbi_disease")


def test_maccrobat_is_mapped_to_eight_types_and_every_fifth_document_is_for_development(
    own: Callable[[str], Path],
) -> None:
    folder = own("maccrobat")
    for i in range(11):
        (folder / f"{i}.txt").write_text("severe lung cancer", encoding="utf-8")
        (folder / f"{i}.ann").write_text(
            "T1\tSeverity 0 6\tsevere\nT2\tBiological_structure 7 11\tlung\nT3\tDisease_disorder 7 18\tlung cancer\n"
            "T4\tHistory 0 18\tsevere lung cancer\n",
            encoding="utf-8",
        )
    found = catalogue.load("maccrobat")
    assert [record.id for record in found["devel"]] == ["3", "8"]
    assert [record.id for record in found["train"]] == ["0", "1", "10", "2", "4", "5", "6", "7", "9"]
    assert all(
        [(e.label, e.text) for e in record.entities] == [("Disease", "lung cancer")] for record in found["train"]
    )
    every = catalogue.load("maccrobat", "devel", types="all")
    assert list(every) == ["devel"]
    assert [(e.label, e.text) for e in every["devel"][0].entities] == [("History", "severe lung cancer")]


def test_ohsumed_has_one_category_an_abstract(own: Callable[[str], Path]) -> None:
    path = own("ohsumed") / "train.jsonl"
    path.write_text('{"id": "7", "label": "C01", "text": "Sepsis.\\n Cultures."}\n', encoding="utf-8")
    (record,) = catalogue.load("ohsumed")["train"]
    assert (record.id, record.text) == ("7", "Sepsis.\n Cultures.")
    assert [label.name for label in record.labels["category"]] == ["C01"]
    assert "C01" in catalogue.info("ohsumed").labels
    assert not catalogue.info("ohsumed").may_be_learned


def test_mtsamples_keeps_line_breaks_and_all_specialties(own: Callable[[str], Path]) -> None:
    row = {
        "sample_id": 7, "sample_name": "Visit", "description": "A visit", "text": "PLAN:\r\nRest.",
        "specialties": ["Urology", "Letters"],
    }  # fmt: skip
    path = own("mtsamples") / "notes.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    record = catalogue.load("mtsamples")["all"][0]
    assert (record.id, record.text) == ("7", "PLAN:\r\nRest.")
    assert [label.name for label in record.labels["specialty"]] == ["Urology", "Letters"]
    assert record.metadata == {"sample_name": "Visit", "description": "A visit"}
    path.write_text(json.dumps(row) + "\n{'sample\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"notes\.jsonl, line 2: not JSON"):
        catalogue.load("mtsamples")
    path.write_text('{"sample_id": 1, "text": "Rest."}\n', encoding="utf-8")
    with pytest.raises(FormatError, match=r"line 1: no 'specialties'") as caught:
        catalogue.load("mtsamples")
    assert "Rest" not in str(caught.value)


def test_mts_dialog_gives_the_section_and_what_was_said(own: Callable[[str], Path]) -> None:
    folder = own("mts_dialog")
    for name, text in (("Training", "No allergies,\nhe says."), ("Validation", "Well.")):
        with (folder / f"MTS-Dialog-{name}Set.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows(
                [["ID", "section_header", "section_text", "dialogue"], [3, "ALLERGY", text, "Doctor: Any?"]]
            )
    found = catalogue.load("mts_dialog")
    record = found["train"][0]
    assert (record.id, record.text, record.metadata) == (
        "train-3",
        "No allergies,\nhe says.",
        {"dialogue": "Doctor: Any?"},
    )
    assert record.labels["section"][0].name == "ALLERGY"
    assert found["devel"][0].id == "devel-3"
    (folder / "MTS-Dialog-TrainingSet.csv").write_text("ID,section_text\n1,Rest.\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"TrainingSet\.csv, row 1: KeyError"):
        catalogue.load("mts_dialog")


def test_negex_puts_the_condition_back_into_its_case_and_cuts_by_sentence(own: Callable[[str], Path]) -> None:
    rows = [
        ["line", "Condition", "sentence", "negation", "temporality", "experiencer"],
        ["2", "Left renal  calculi", "DX:   LEFT RENAL CALCULI, left renal calculi.", "Affirmed", "Recent", "Patient"],
        ["3", "cough", "No COUGH of 12 days.", "Negated", "Historical", "Other"],
        ["5", "fever", "No FEVER at all.", "Possible", "Not particular", "Patient"],
        ["7", "rash. No itch", "A RASH.", "Negated", "Recent", "Patient"],
        *([str(i), "pain", f"no PAIN, for {i} days", "Negated", "Recent", "Patient"] for i in range(8, 20)),
    ]
    path = own("negex") / "annotations.tsv"
    path.write_text("\n".join(map("\t".join, rows)) + "\n", encoding="utf-8")
    parts = catalogue.load("negex")
    found = {record.id: record for part in parts.values() for record in part}
    assert len(found) == 15 == sum(map(len, parts.values()))
    assert "negex-7" not in found
    assert found["negex-2"].text == "DX:   left renal calculi, left renal calculi."
    assert [(e.start, e.end) for e in found["negex-2"].entities] == [(6, 24)]
    assert found["negex-3"].text == "No cough of 12 days."
    gold = {id_: record.entities[0].assertion for id_, record in found.items()}
    assert gold["negex-2"] == Assertion()
    assert gold["negex-3"] == Assertion(negated=True, historical=True, family=True)
    assert gold["negex-5"] == Assertion(hypothetical=True)
    # The same words with other numbers are the same sentence.
    assert len({part for part, records in parts.items() for r in records if "pain" in r.text}) == 1
    path.write_text("line\tCondition\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"annotations\.tsv, line 1: 2 fields"):
        catalogue.load("negex")


def test_no_sentence_of_negex_is_in_both_parts() -> None:
    if catalogue.folder("negex") is None:
        pytest.skip("the corpus negex is not on this machine")
    parts = catalogue.load("negex")
    sentences = {part: {re.sub(r"\W+", " ", r.text.lower()) for r in records} for part, records in parts.items()}
    assert not sentences["train"] & sentences["devel"]
    assert 0.5 < len(parts["train"]) / sum(map(len, parts.values())) < 0.7


def test_bioscope_gives_scopes_with_the_flags_of_all_they_stand_in(own: Callable[[str], Path]) -> None:
    path = own("bioscope") / "abstracts.xml"
    path.write_text(
        "<Annotation><DocumentSet><Document><DocID>7</DocID><DocumentPart>"
        "<sentence>We <xcope id='A'><cue type='speculation' ref='A'>suggest</cue> that it is "
        "<xcope id='B'><cue type='negation' ref='B'>not</cue> due to it</xcope></xcope>.</sentence>"
        "<sentence>Cells grew &amp; were seen.</sentence></DocumentPart></Document></DocumentSet></Annotation>",
        encoding="utf-8",
    )
    (record,) = catalogue.load("bioscope", "train")["train"]
    assert (record.id, record.text) == ("7", "We suggest that it is not due to it. Cells grew & were seen.")
    assert [s.text for s in record.sentences] == ["We suggest that it is not due to it.", "Cells grew & were seen."]
    assert [(e.label, e.text, e.assertion) for e in record.entities] == [
        ("speculation", "suggest", None),
        ("Scope", "that it is", Assertion(hypothetical=True)),
        ("negation", "not", None),
        ("Scope", "due to it", Assertion(negated=True, hypothetical=True)),
        ("Outside", "Cells grew & were seen", Assertion()),
    ]
    path.write_text("<Annotation>", encoding="utf-8")
    with pytest.raises(FormatError, match=r"abstracts\.xml, line 1: not XML"):
        catalogue.load("bioscope")


def test_the_written_assertions_are_counted_in_their_card() -> None:
    records = catalogue.load("assertion")["test"]
    folder = catalogue.folder("assertion")
    assert folder is not None
    card = (folder / "README.md").read_text(encoding="utf-8")
    golds = [record.entities[0].assertion or Assertion() for record in records]
    for flag in ("negated", "hypothetical", "historical", "family"):
        assert f"| {flag} | {sum(getattr(gold, flag) for gold in golds)} |" in card
    assert f"| none of them | {golds.count(Assertion())} |" in card
    assert len(records) == 300 == len({(r.text, r.entities[0].start) for r in records})


@pytest.mark.parametrize(("part", "column", "sentences"), [("zh_devel", 2, 72), ("zh_test", 3, 43)])
def test_the_written_chinese_assertions_are_counted_in_their_card(part: str, column: int, sentences: int) -> None:
    records = catalogue.load("assertion")[part]
    folder = catalogue.folder("assertion")
    assert folder is not None
    rows = [line.split(" | ") for line in (folder / "README.md").read_text(encoding="utf-8").splitlines()]
    card = {row[0].strip("| "): row[column - 1].strip(" |") for row in rows if len(row) == 3}
    golds = [entity.assertion or Assertion() for record in records for entity in record.entities]
    for flag in ("negated", "hypothetical", "historical", "family"):
        assert card[flag] == str(sum(getattr(gold, flag) for gold in golds))
    assert card["none of them"] == str(golds.count(Assertion()))
    assert len(records) == sentences == len({record.text for record in records})


def test_presidio_synth_is_cut_by_template_and_has_the_labels_of_deidentification(own: Callable[[str], Path]) -> None:
    folder = own("presidio_synth")
    spans = [
        {"entity_type": kind, "start_position": start, "end_position": end}
        for kind, start, end in (("TITLE", 0, 3), ("PERSON", 4, 7), ("PERSON", 4, 13), ("GPE", 17, 20))
    ]
    rows = [{"full_text": "Mr. Ann Smith in Ulm", "template_id": i, "spans": spans} for i in range(6)]
    for name in ("generated_large.json", "synth_dataset_v2.json"):
        (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    found = catalogue.load("presidio_synth")
    assert [record.id for record in found["devel"]] == ["generated_large-4", "synth_dataset_v2-4"]
    assert [(e.label, e.text) for e in found["train"][0].identifiers] == [("PERSON", "Ann Smith"), ("ADDRESS", "Ulm")]
    (folder / "generated_large.json").write_text('[{"full_text": "Ann"}]', encoding="utf-8")
    with pytest.raises(FormatError, match=r"generated_large\.json: KeyError") as caught:
        catalogue.load("presidio_synth")
    assert "Ann" not in str(caught.value)


def test_the_public_corpora_are_what_their_sources_say(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINNLP_CORPORA", str(corpora))
    sizes = {name: {part: len(some) for part, some in catalogue.load(name).items()} for name in ("bc5cdr", "mtsamples")}
    assert sizes == {"bc5cdr": {"train": 4560, "devel": 4581}, "mtsamples": {"all": 1928}}
    diseases = catalogue.load("ncbi_disease")
    assert [sum(len(record.entities) for record in diseases[part]) for part in ("train", "devel")] == [5134, 787]
    started = time.process_time()
    reports = catalogue.load("maccrobat")
    assert time.process_time() - started < 2
    assert {part: len(some) for part, some in reports.items()} == {"train": 120, "devel": 30}
    labels = {e.label for some in reports.values() for record in some for e in record.entities}
    assert labels == set(catalogue.info("maccrobat").labels)
    every = catalogue.load("maccrobat", types="all")
    assert len({e.label for some in every.values() for record in some for e in record.entities}) == 41


def test_checksums_of_the_catalogue_are_those_of_the_files(corpora: Path) -> None:
    for name in KNOWN:
        for file, checksum in catalogue.info(name).files.items():
            assert hashlib.sha256((corpora / name / file).read_bytes()).hexdigest() == checksum
