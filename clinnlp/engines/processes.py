"""Running a pipeline in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import groupby
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from clinnlp._binding import record_name
from clinnlp.engines.local import Batch, annotated
from clinnlp.errors import PipelineError, StageError
from clinnlp.record import Failure, Record

if TYPE_CHECKING:
    from clinnlp.pipeline import OnError, Pipeline

__all__ = ["Processes", "worker_count"]

# Groups of batches that wait for each worker, so that none is idle while another one's long notes are awaited.
_AHEAD = 3
_TRIES = 2
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def worker_count(pipeline: Pipeline, workers: int | None = None) -> int:
    """Give the number of workers: as asked for, or one for each GPU where weights are run, or else for each core.

    Raises
    ------
    PipelineError
        If the number is none.
    """
    if workers is not None:
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise PipelineError(f"workers must be a whole number of at least 1, not {workers!r}")
        return workers
    return _gpus(pipeline) or _cores()


class Processes:
    """An engine of worker processes, each of which has the pipeline, its weights, and its share of the cores.

    Batches come back in their order. Where a worker dies - of too little memory, or of a crash in native code - the
    first batches that were under way are run again with nothing beside them; if it dies again, their records are run
    one by one, and a record on which it dies twice gets a failure in the place of annotations.

    Processes are started anew (spawn), so a script that uses them needs its `if __name__ == "__main__":`.

    Parameters
    ----------
    pipeline : Pipeline
        It is pickled: weights that have not changed since they were read are read again by each worker.
    on_error : {"raise", "keep"}
    workers : int
    """

    def __init__(self, pipeline: Pipeline, on_error: OnError, workers: int) -> None:
        self.on_error, self.workers = on_error, workers
        self._pipeline = pipeline
        try:
            ForkingPickler.dumps(pipeline)
        except Exception as error:  # each kind of object that cannot be pickled has its own
            raise PipelineError(
                f"{pipeline.name} cannot be sent to other processes ({type(error).__name__}): use engine='local', or"
                " stages that can be pickled"
            ) from None
        self._gpus = _gpus(pipeline)
        self._pool: ProcessPoolExecutor | None = None
        self._handed: Any = None

    def __call__(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Annotate batches.

        Raises
        ------
        StageError
            As `Pipeline.pipe`; or if a worker dies on a record and `on_error` is `"raise"`, or cannot start.
        """
        waiting: deque[tuple[list[Batch], Future[list[Batch]]]] = deque()
        try:
            for _, group in groupby(batches, key=lambda batch: batch.group):
                some = list(group)
                waiting.append((some, self._submit(some)))
                if len(waiting) > _AHEAD * self.workers:
                    yield from self._taken(waiting)
            while waiting:
                yield from self._taken(waiting)
        finally:
            self._stop()

    def _taken(self, waiting: deque[tuple[list[Batch], Future[list[Batch]]]]) -> list[Batch]:
        """Give the first group that waits, annotated."""
        group, future = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            pass
        # Whose fault it was is not known: this group goes first and alone, and then the others go on as they did.
        found = self._alone(group)
        again = [one for one, _ in waiting]
        waiting.clear()
        waiting.extend((one, self._submit(one)) for one in again)
        return found

    def _alone(self, group: list[Batch]) -> list[Batch]:
        """Annotate batches while nothing else is under way, so that a death is theirs; then the parts of them."""
        single = sum(len(batch.records) for batch in group) == 1
        for _ in range(_TRIES if single else 1):
            self._stop()
            try:
                return self._submit(group).result()
            except BrokenProcessPool:
                continue
        if single:
            return [replace(batch, records=[self._dead(one, batch.first) for one in batch.records]) for batch in group]
        if len(group) > 1:
            return [one for batch in group for one in self._alone([batch])]
        (batch,) = group
        ones = [replace(batch, first=batch.first + i, records=[record]) for i, record in enumerate(batch.records)]
        return [replace(batch, records=[self._alone([one])[0].records[0] for one in ones])]

    def _dead(self, record: Record, place: int) -> Record:
        told = "a worker process died on it twice: there is too little memory for it, or native code has crashed"
        if self.on_error == "raise":
            raise StageError(f"{record_name(record.id, place)}: {told}")
        failure = Failure("engine", "WorkerDied", told)
        return Record(record.text, record.id, metadata=record.metadata, errors=[*record.errors, failure])

    def _submit(self, group: list[Batch]) -> Future[list[Batch]]:
        try:
            return self._started().submit(_annotate, group, self.on_error)
        except BrokenProcessPool:  # one has died while others were waited for
            broken: Future[list[Batch]] = Future()
            broken.set_exception(BrokenProcessPool())
            return broken

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            threads = max(1, _cores() // self.workers)
            places, self._handed = context.SimpleQueue(), context.Queue()
            for place in range(self.workers):
                places.put(place)
                self._handed.put(self._pipeline)
            self._pool = ProcessPoolExecutor(
                self.workers, context, initializer=_begin, initargs=(threads, self._gpus, places, self._handed)
            )
        return self._pool

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._handed.close()
            self._handed.cancel_join_thread()  # of a worker that never came for its own
            self._pool = None


_PIPELINE: Any = None
"""The pipeline of a worker, or why it has none."""


def _begin(threads: int, gpus: int, places: Any, handed: Any) -> None:
    """Make this process a worker."""
    global _PIPELINE
    for number in (signal.SIGTERM, signal.SIGINT):  # the process that started this one ends it, once a part is done
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    place = places.get()
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(place % gpus)
    try:
        _PIPELINE = handed.get()
    except Exception as error:  # told with the first batch: a worker that ends here could not say why
        _PIPELINE = f"a worker process cannot load the pipeline: {type(error).__name__}"
    if "torch" in sys.modules:  # too late for the environment to tell it
        sys.modules["torch"].set_num_threads(threads)


def _end_with(parent: Any) -> None:
    """End this process when the one that started it is gone, and nobody is left to tell it so."""
    parent.join()
    os._exit(1)


def _annotate(group: list[Batch], on_error: OnError) -> list[Batch]:
    if isinstance(_PIPELINE, str):
        raise StageError(_PIPELINE)
    return list(annotated(_PIPELINE, on_error, group))


def _visible(gpu: int) -> str:
    """Give the name of a GPU among those that this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return given.split(",")[gpu] if given else str(gpu)


def _gpus(pipeline: Pipeline) -> int:
    """Give the number of GPUs where a pipeline has weights to run on them."""
    if not any(stage.encoder is not None or hasattr(stage, "state_dict") for stage in pipeline.stages.values()):
        return 0
    import torch

    return torch.cuda.device_count()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
