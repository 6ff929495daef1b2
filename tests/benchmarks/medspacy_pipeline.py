"""medspaCy's pipeline for `rules_speed.py`; run by the Python of an environment that has medspacy 1.3.1.

The first line of standard input has the texts and the terms by their labels, and is answered with READY once all is
loaded and has read them once; each further line is answered with FIGURES, those of one more turn.
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
    run(nlp, texts, 0.0)
    print("READY {}", flush=True)
    for _ in sys.stdin:
        print(f"FIGURES {json.dumps({**run(nlp, texts, given['least']), 'stages': by_stage(nlp, texts)})}", flush=True)


def silence() -> None:
    """Turn off what newer versions of PyRuSH log of each token, which would be timed too."""
    try:
        from loguru import logger  # type: ignore[import-not-found]
    except ImportError:
        return
    logger.remove()


def run(nlp: Any, texts: list[str], least: float) -> dict[str, Any]:
    """Read the texts, once or for as many seconds, and give the figures of a pass."""
    wall, cpu, passes = time.perf_counter(), time.process_time(), 0
    while not passes or time.perf_counter() - wall < least:
        docs = list(nlp.pipe(texts))
        passes += 1
    wall, cpu = (time.perf_counter() - wall) / passes, (time.process_time() - cpu) / passes
    found = [entity._ for doc in docs for entity in doc.ents]
    counts = {
        "sentences": sum(1 for doc in docs for _ in doc.sents),
        "sections": sum(len(doc._.sections) for doc in docs),
        "terms": len(found),
        **{flag: sum(getattr(one, f"is_{flag}") for one in found) for flag in ("negated", "historical", "family")},
    }
    return {"wall": wall, "cpu": cpu, "counts": counts}


def by_stage(nlp: Any, texts: list[str]) -> dict[str, float]:
    """Give the seconds of the processor that each stage takes for all texts."""
    started = time.process_time()
    docs = [nlp.make_doc(text) for text in texts]
    seconds = {"tokenization": time.process_time() - started}
    for name, component in nlp.pipeline:
        started = time.process_time()
        docs = [component(doc) for doc in docs]
        stage = STAGES[name]
        seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - started
    return seconds


if __name__ == "__main__":
    main()
