"""medspaCy's pipeline for `rules_speed.py`; run by the Python of an environment that has medspacy 1.3.1.

The first line of standard input has the texts and the terms by their labels, and is answered with READY once all is
loaded and has read them once; each further line is answered with FIGURES, those of one more pass over the texts.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import medspacy  # type: ignore[import-not-found]
from medspacy.ner import TargetRule  # type: ignore[import-not-found]

STAGES = {
    "medspacy_pyrush": "tokenization",
    "medspacy_sectionizer": "sections",
    "medspacy_target_matcher": "rules",
    "medspacy_context": "assertion",
}


def main() -> None:
    """Load, warm up, and run as often as asked."""
    silence()
    given = json.loads(sys.stdin.readline())
    nlp = medspacy.load()
    nlp.add_pipe("medspacy_sectionizer")
    rules = [TargetRule(term, label) for label, terms in given["terms"].items() for term in terms]
    nlp.get_pipe("medspacy_target_matcher").add(rules)
    texts: list[str] = given["texts"]
    run(nlp, texts)
    print("READY {}", flush=True)
    for _ in sys.stdin:
        print(f"FIGURES {json.dumps({**run(nlp, texts), 'stages': by_stage(nlp, texts)})}", flush=True)


def silence() -> None:
    """Turn off what newer versions of PyRuSH log of each token, which would be timed too."""
    try:
        from loguru import logger  # type: ignore[import-not-found]
    except ImportError:
        return
    logger.remove()


def run(nlp: Any, texts: list[str]) -> dict[str, Any]:
    """Read the texts once."""
    wall, cpu = time.perf_counter(), time.process_time()
    docs = list(nlp.pipe(texts))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = [entity._ for doc in docs for entity in doc.ents]
    counts = {
        "sentences": sum(1 for doc in docs for _ in doc.sents),
        "sections": sum(len(doc._.sections) for doc in docs),
        "terms": len(found),
        **{flag: sum(getattr(one, f"is_{flag}") for one in found) for flag in ("negated", "historical", "family")},
    }
    return {"wall": wall, "cpu": cpu, "counts": counts}


def by_stage(nlp: Any, texts: list[str]) -> dict[str, float]:
    """Give the seconds of each stage over all texts."""
    started = time.perf_counter()
    docs = [nlp.make_doc(text) for text in texts]
    seconds = {"tokenization": time.perf_counter() - started}
    for name, component in nlp.pipeline:
        started = time.perf_counter()
        docs = [component(doc) for doc in docs]
        stage = STAGES[name]
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
    return seconds


if __name__ == "__main__":
    main()
