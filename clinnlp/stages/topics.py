"""TopicModel: what the notes of a corpus are about, found without gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clinnlp.encoders.encoder import TextEncoder
from clinnlp.encoders.heads import LABEL_SET, label_set_name, rank
from clinnlp.errors import ConfigError, StageError
from clinnlp.record import Record
from clinnlp.stages._encoder_stage import EncoderStage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    from clinnlp.stage import Stage
    from clinnlp.training.config import FitConfig
    from clinnlp.training.fit import FitReport, Gold
    from clinnlp.training.scores import Scores
    from clinnlp.training.search import SearchReport

__all__ = ["Topic", "TopicModel"]

# Records whose pieces are held in memory at once, outside of a pipeline.
_AT_ONCE = 16


@dataclass(frozen=True)
class Topic:
    """A topic of a corpus.

    Parameters
    ----------
    name : str
        Its first terms.
    terms : list of (str, float)
        What its records say more than others do, with the weights of class-based TF-IDF, highest first.
    size : int
        Records of the corpus that are nearest to it.
    central : list of str
        Ids of the records next to its centre, nearest first.
    """

    name: str
    terms: list[tuple[str, float]] = field(default_factory=list)
    size: int = 0
    central: list[str] = field(default_factory=list)


class TopicModel(EncoderStage):
    """Tell what notes are about, by clusters of their vectors.

    A note's vector is the mean of the encoder's states over all of its word pieces, brought to length 1. `fit` needs no
    gold: it clusters the vectors of a corpus by k-means, and describes each cluster by class-based TF-IDF
    (Grootendorst, 2022). The topics go to `record.labels[name]`, in the place of what stood there: all of them, best
    first, each with the cosine similarity of the note's vector and the topic's centre as its score, which is no
    probability. A note without a word gets an empty list.

    The encoder stays as it is, and may be shared; where it is trained later, fit the topics again.

    Parameters
    ----------
    checkpoint : str, Path or TextEncoder
        Of the encoder, or of both as `save` wrote them. Nothing is read before the first use.
    topics : int, optional
        How many topics a new model has.
    head : str or Path, optional
        Folder of topics that were saved without the encoder.
    name : str, optional
        Name of the label set, and of the stage in a pipeline; by default "topics".
    window, overlap : int
        Length of a window and least overlap of two, in word pieces.
    batch_tokens : int
        Word pieces that go through the encoder at once, padding counted.
    device : str, optional
        Such as `"cpu"` or `"cuda:1"`; by default the GPU where there is one.

    Raises
    ------
    ConfigError
        If there are fewer than two topics.
    """

    kind: ClassVar[str] = "topics"
    head_form: ClassVar[str] = "CentreHead"
    uses = ("cleaned",)
    assigns = ("labels",)

    def __init__(
        self,
        checkpoint: str | Path | TextEncoder,
        *,
        topics: int | None = None,
        head: str | Path | None = None,
        name: str | None = None,
        window: int = 256,
        overlap: int = 64,
        batch_tokens: int = 4096,
        device: str | None = None,
    ) -> None:
        super().__init__(
            checkpoint,
            head=head,
            new=topics is not None,
            window=window,
            overlap=overlap,
            batch_tokens=batch_tokens,
            device=device,
            name=name,
        )
        if topics is not None and (not isinstance(topics, int) or isinstance(topics, bool) or topics < 2):
            raise ConfigError(f"stage {self.name!r}: topics must be a whole number of at least 2, not {topics!r}")
        self._count = topics

    @classmethod
    def from_base(
        cls, base: str | Path | TextEncoder, topics: int = 20, name: str | None = None, **options: Any
    ) -> TopicModel:
        """Make a model of topics on the encoder of `base`, to be fitted.

        Parameters
        ----------
        base : str, Path or TextEncoder
            Shipped pipeline's name, folder, installed package or Hub id; or the `encoder` of another stage, with
            which it is shared then.
        topics : int
            How many there are.
        name : str, optional
            Name of the label set.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such base.
        """
        return cls._on_base(base, topics=topics, name=name, **options)

    @classmethod
    def from_pretrained(cls, checkpoint: str | Path, name: str | None = None, **options: Any) -> TopicModel:
        """Take topics as `save` wrote them, alone or in a pipeline.

        Parameters
        ----------
        checkpoint : str or Path
            Folder, installed package or Hub id.
        name : str, optional
            Name of the label set; by default the one that it was saved under.
        **options
            As for the class.

        Raises
        ------
        CheckpointError
            If there is no such checkpoint; at first use, if it cannot be read.
        """
        found, settings = cls._pretrained(checkpoint, options, name)
        return cls(found, name=name or label_set_name(settings["head"] or str(found)), **settings)

    def _new_settings(self) -> dict[str, Any]:
        return {}

    def _make_head(self, config: Any) -> Any:
        from clinnlp.encoders.own_heads import CentreHead
        from clinnlp.errors import CheckpointError

        if self._is_new:  # the configuration is that of the encoder
            config.topic_count, config.topics = self._count, []
        elif not isinstance(getattr(config, "topic_count", None), int):
            raise CheckpointError(
                f"{self.head_checkpoint or self.checkpoint} has no topics: make a new model with TopicModel.from_base"
            )
        return CentreHead(config)

    def _saved_head(self) -> Any:
        setattr(self.head.config, LABEL_SET, self.name)
        return self.head

    @property
    def topics(self) -> list[Topic]:
        """The topics, largest first; none before a fit."""
        return [
            Topic(row["name"], [(term, weight) for term, weight in row["terms"]], row["size"], list(row["central"]))
            for row in self.head.config.topics
        ]

    @property
    def labels(self) -> list[str]:
        """The names of the topics, in the order of `topics`."""
        return [row["name"] for row in self.head.config.topics]

    def adopt(self, centres: NDArray[np.float32], topics: Sequence[Topic]) -> None:
        """Take topics in the place of those that there are.

        Parameters
        ----------
        centres : ndarray of float32, shape (topics, width)
            Of length 1 each.
        topics : sequence of Topic
        """
        import torch

        head = self.head
        head.centres = torch.from_numpy(centres).to(head.centres)
        head.config.topic_count, head.config.topics = len(topics), [asdict(topic) for topic in topics]
        self.head_changed = True

    def process(self, records: Sequence[Record]) -> None:
        """Give each of a batch of records its topics, in place.

        Raises
        ------
        StageError
            If the model was not fitted.
        """
        labels = self.labels
        if not labels:
            raise StageError(f"stage {self.name!r} has no topics yet: fit it on the records of a corpus first")
        vectors, empty = self.vectors([record.view.text for record in records])
        scores = vectors @ self.head.centres.cpu().numpy().T
        for record, row, nothing in zip(records, scores, empty, strict=True):
            record.labels[self.name] = [] if nothing else rank(row, labels)

    def vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give the vectors of texts.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        vectors : ndarray of float32, shape (texts, width)
            Of length 1; zeros for a text without a word.
        empty : ndarray of bool, shape (texts,)
            Which texts have no word.
        """
        from clinnlp.encoders.own_heads import mean_vectors

        parts = [np.zeros((0, self.head.config.hidden_size), dtype=np.float32)]
        for at in range(0, len(texts), _AT_ONCE):
            some = texts[at : at + _AT_ONCE]
            items = self.encoder.read(some, self)
            parts += [mean_vectors(item, self, [(0, len(text))]) for text, item in zip(some, items, strict=True)]
        vectors = np.concatenate(parts)
        return vectors, np.asarray(~vectors.any(axis=1))

    def fit(
        self,
        train: Gold,
        dev: Gold | None = None,
        config: FitConfig | None = None,
        teacher: Stage | Sequence[Stage] | None = None,
    ) -> FitReport:
        """Find the topics of a corpus, in place. No gold is needed, and the encoder is not trained.

        Terms are words and pairs of words, without the common English ones, that at least three records have (two of
        a corpus of fewer than 30); those, and the ids of central records, are saved with the model. Names that stand
        in several notes can be among them: to share the model, fit it on de-identified text.

        Parameters
        ----------
        train : sequence of Record or datasets.Dataset
            The corpus. Records without a word are left out.
        dev : sequence of Record or datasets.Dataset, optional
            On which the topics are judged; see `evaluate`.
        config : FitConfig, optional
            Its `seed` and `output` are used; what else is set does nothing, and the report says so.
        teacher : optional
            Must be None.

        Returns
        -------
        FitReport

        Raises
        ------
        TrainingError
            If there are fewer different records than topics, or a teacher is given.
        """
        from clinnlp.training.topics import fit_topics

        return fit_topics(self, train, dev, config, teacher)

    def told_of_fit(self, report: FitReport) -> str:
        """Give what the card says of a fit."""
        return (
            f"{len(self.labels)} topics, found by k-means (seed {report.config.seed}) over the vectors of"
            f" {report.records.get(self.name, 'an unknown number of')} records and named by class-based TF-IDF"
            " (Grootendorst, 2022). Scores are cosine similarities, not probabilities."
        )

    def evaluate(self, records: Gold, against: str | None = None) -> Scores:
        """Judge the topics on records, which are not changed.

        Parameters
        ----------
        records : sequence of Record or datasets.Dataset
            Those without a word are left out.
        against : str, optional
            Name of a label set, with whose first labels the topics are compared; records without one are left out.

        Returns
        -------
        Scores
            "silhouette" (Rousseeuw, 1987) by cosine distance, between -1 and 1; with `against` also "nmi", the
            normalized mutual information, and "ari", the adjusted Rand index (Hubert and Arabie, 1985).

        Raises
        ------
        TrainingError
            If the model was not fitted, or fewer than two records are left.
        """
        from clinnlp.training.topics import evaluate_topics

        return evaluate_topics(self, records, against)

    def search(self, *_: Any, **__: Any) -> SearchReport:
        """Refuse a search: topics have no development figure that says which settings are right.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(f"stage {self.name!r} has no settings to search: compare numbers of topics by `evaluate`")

    @classmethod
    def ensemble(cls, stages: Sequence[Self]) -> Self:
        """Refuse an ensemble: the topics of one model are not those of another.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError("topic models cannot be put into an ensemble: the topics of each are its own")
