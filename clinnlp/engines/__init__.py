"""Where a pipeline runs over a corpus."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from clinnlp.errors import PipelineError

if TYPE_CHECKING:
    from clinnlp.engines.local import Progress, RunSettings, Watch
    from clinnlp.engines.report import RunReport
    from clinnlp.pipeline import Pipeline

__all__ = ["process"]

_ENGINES = ("local", "processes")
_PLANNED = ("ray", "spark")


def process(
    pipeline: Pipeline,
    source: Any,
    output: Any,
    settings: RunSettings,
    *,
    engine: str = "local",
    workers: int | None = None,
    resume: bool = True,
    limit: int | None = None,
    progress: bool | Progress = False,
    watch: Watch | None = None,
) -> RunReport:
    """Run a pipeline over a corpus on the named engine; see `Pipeline.process` and `clinnlp.engines.local.run`.

    Raises
    ------
    PipelineError
        If there is no such engine, or it has no workers.
    """
    if engine not in _ENGINES:
        known = f"engine {engine!r} is not available yet" if engine in _PLANNED else f"there is no engine {engine!r}"
        raise PipelineError(f"{known}: use engine='local' or engine='processes'")
    if workers is not None and engine == "local":
        raise PipelineError("workers are of engine='processes': name it, or leave workers out")
    from clinnlp.engines.local import run
    from clinnlp.engines.processes import Processes, worker_count
    from clinnlp.engines.progress import progress_line

    settings.check(pipeline)  # before a line of progress is drawn
    through = None
    if engine == "processes":
        through = Processes(pipeline, settings.on_error, worker_count(pipeline, workers))
    with progress_line() if progress is True else nullcontext(progress or None) as tell:
        return run(
            pipeline,
            source,
            output,
            settings,
            resume=resume,
            limit=limit,
            progress=tell,
            watch=watch,
            engine=through,
        )
