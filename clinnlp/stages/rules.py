"""RuleMatcher: entities by terms, token patterns and regular expressions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from clinnlp.atomic import replace_folder
from clinnlp.errors import ConfigError, PipelineError
from clinnlp.record import Record
from clinnlp.rules import check_rules, load_rules
from clinnlp.stage import Stage
from clinnlp.stages._expressions import ExpressionMatcher, compile_expression
from clinnlp.stages._overlaps import OVERLAPS, Match, Overlaps, add_matches
from clinnlp.stages._patterns import PatternMatcher
from clinnlp.stages._rule_files import read_rules
from clinnlp.stages._rules import Rule, rule_lines
from clinnlp.stages._terms import TermMatcher
from clinnlp.stages._words import Spans, WordSplitter

if TYPE_CHECKING:
    from clinnlp.alignment import EditedText

__all__ = ["RULES_FILE", "RuleMatcher"]

RULES_FILE = "rules.jsonl"
"""Rules of a saved stage, one a line: it may be edited."""


class RuleMatcher(Stage):
    r"""Find entities by rules: terms, token patterns and regular expressions.

    A rule has a `label`, one of `term`, `pattern` and `regex`, and may have `case`, `concept_id`, `system` and
    `attributes`, all of which but `case` go to `Entity.attributes`. They are looked for in the cleaned text, where
    there is one, and the entities carry raw offsets, this stage's name as their source, and the score 1.

    - A term matches whole tokens, in any case unless `case` is true, over any white space between them, line ends too.
      Around marks and between a number and letters there may be none: "500 mg" finds "500mg", "PO2" not "PO 2".
    - A pattern is one of spaCy's Matcher, over lexical attributes alone, at most two operators without an end; of a
      match of more than 50 tokens a part may be left out.
    - A regex is one of RE2, which cannot backtrack: without lookaround and backreferences, and with `\b`, `\d`, `\s`
      and `\w` for ASCII alone. It may begin and end inside tokens. It too ignores case unless `case` is true.

    Of matches that overlap, the longest is taken; of those of one length the first in the text, and of those of one
    span that of the first rule. Of two rules with one term and different codes the first is taken too.

    Parameters
    ----------
    rules : str, Path, list of mapping, or mapping, optional
        A `.csv`, `.tsv`, `.yaml` or `.jsonl` file, a list of rules, or a mapping of labels to lists of terms, or of
        rules without a label. In a table the other columns are attributes.
    terms : as `rules`, optional
        More rules, behind those; reads well for a mapping of labels to terms.
    overlaps : {"keep_existing", "replace", "longest", "both"}
        What becomes of a match that overlaps an entity of the record or of another stage. `"keep_existing"` leaves
        the match out; `"replace"` takes the entity out; `"longest"` keeps the longer one, and the entity where both
        are of one length or the record brought it; `"both"` keeps both. Under all but `"replace"` a match with the
        span and label of an entity is no second one: it gives that one the attributes that it has not, unless their
        `concept_id` or `system` differ.
    lang : str
        Language of the tokens, where the record has none: `en` or `zh`.
    name : str, optional
        Name in a pipeline.

    Raises
    ------
    ConfigError
        If a file or a rule cannot be used, with its place; if there are no rules for words of the language.
    """

    kind: ClassVar[str] = "rules"
    uses = ("cleaned", "tokens", "entities")
    assigns = ("entities",)

    def __init__(
        self,
        rules: str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        *,
        terms: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | Path | None = None,
        overlaps: Overlaps = "keep_existing",
        lang: str = "en",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        check_rules("tokenization", lang)
        if overlaps not in OVERLAPS:
            raise ConfigError(f"stage {self.name!r}: overlaps is one of {', '.join(OVERLAPS)}, not {overlaps!r}")
        if rules is None and terms is None:
            raise ConfigError(f"stage {self.name!r} has no rules: give a file, a list, or terms by their labels")
        self.overlaps, self.lang = overlaps, lang
        self.rules: tuple[Rule, ...] = tuple(
            rule for given in (rules, terms) if given is not None for rule in read_rules(given)
        )
        for rule in self.rules:
            if rule.regex:
                compile_expression(rule)
        self._matchers: _Matchers | None = None

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> RuleMatcher:
        """Read rules from a file; the same as giving its path as `rules`.

        Parameters
        ----------
        path : str or Path
        **options
            As for the class.

        Raises
        ------
        ConfigError
            If the file or a rule cannot be used.
        """
        return cls(path, **options)

    @property
    def labels(self) -> list[str]:
        """Labels that the rules give, in their order."""
        return list(dict.fromkeys(rule.label for rule in self.rules))

    def config(self) -> dict[str, Any]:
        """Give the settings; the rules are in the file that `save` writes."""
        return {"overlaps": self.overlaps, "lang": self.lang}

    def fingerprint(self) -> str:
        """Give a digest of the rules."""
        digest = hashlib.sha256()
        for line in rule_lines(self.rules):
            digest.update(line.encode("utf-8"))
        return digest.hexdigest()

    def save(self, folder: str | Path, dtype: str = "float32") -> Path:
        """Write the rules as JSON Lines into a folder; `dtype` is that of other stages' weights.

        Raises
        ------
        PipelineError
            If it cannot be written.
        """
        folder = Path(folder)
        try:
            with (
                replace_folder(folder, stale=[RULES_FILE]) as new,
                (new / RULES_FILE).open("w", encoding="utf-8", newline="\n") as file,
            ):
                file.writelines(rule_lines(self.rules))
        except OSError as error:
            raise PipelineError(f"cannot save rules in {folder}: {error.strerror}") from error
        return folder

    @classmethod
    def load(cls, config: Mapping[str, Any], folder: Path | None = None) -> RuleMatcher:
        """Make the stage from its settings and the folder that `save` wrote, or from settings with `rules`."""
        return cls(**config) if folder is None else cls(folder / RULES_FILE, **config)

    def __getstate__(self) -> dict[str, Any]:
        # What spaCy and RE2 hold is made again where the stage arrives.
        return {**self.__dict__, "_matchers": None}

    def warm_up(self) -> None:
        """Build what finds the rules.

        Raises
        ------
        ConfigError
            If spaCy cannot use a pattern.
        """
        self._ready()

    def _ready(self) -> _Matchers:
        if self._matchers is None:
            self._matchers = _Matchers(self.rules, self.lang)
        return self._matchers

    def process(self, records: Sequence[Record]) -> None:
        """Find the entities of a batch of records, in place; those that this stage found before are found anew."""
        matchers = self._ready()
        for record in records:
            others = [entity for entity in record.entities if entity.source != self.name]
            record.entities = add_matches(others, self._matches(record, matchers), self.overlaps, self.name)

    def _matches(self, record: Record, matchers: _Matchers) -> Iterator[Match]:
        """Give the matches in the text that models read, by their raw offsets, without white space at their edges."""
        view, raw = record.view, record.text
        for low, high, number in matchers.find(record, view):
            start, end = view.to_source(low, high) if view.alignment.edits else (low, high)
            while start < end and raw[start].isspace():
                start += 1
            while start < end and raw[end - 1].isspace():
                end -= 1
            if start < end:  # else its text was only inserted
                yield Match(start, end, number, self.rules[number].label, self.rules[number].attributes)


class _Matchers:
    """What finds the rules of each kind; nothing is loaded for kinds without a rule."""

    def __init__(self, rules: Sequence[Rule], lang: str) -> None:
        numbered = dict(enumerate(rules))
        terms = {number: rule for number, rule in numbered.items() if rule.term}
        patterns = {number: rule for number, rule in numbered.items() if rule.pattern}
        expressions = {number: rule for number, rule in numbered.items() if rule.regex}
        self._words = WordSplitter(load_rules("tokenization", lang)) if terms or patterns else None
        self._terms = TermMatcher(terms) if terms else None
        self._patterns = PatternMatcher(patterns, lang) if patterns else None
        self._expressions = ExpressionMatcher(expressions) if expressions else None

    def find(self, record: Record, view: EditedText) -> Iterator[tuple[int, int, int]]:
        """Give start and end in the view, and the number of the rule, of every match."""
        read: list[Spans] = []

        def tokens() -> Spans:
            if not read:
                read.append(self._tokens(record, view))
            return read[0]

        if self._terms is not None:
            yield from self._terms.find(view.text, tokens)
        if self._patterns is not None:
            yield from self._patterns.find(view.text, tokens())
        if self._expressions is not None:
            yield from self._expressions.find(view.text)

    def _tokens(self, record: Record, view: EditedText) -> Spans:
        """Give the tokens of the view: the record's, where it has some, without those that were cleaned away."""
        if not record.has("tokens"):
            assert self._words is not None
            return self._words.spans(view.text)
        text, spans = view.text, [(token.start, token.end) for token in record.tokens]
        if view.alignment.edits:
            spans = sorted({view.to_target(*span) for span in spans})
        kept = [(start, end) for start, end in spans if text[start:end].strip()]
        return [start for start, _ in kept], [end for _, end in kept]
