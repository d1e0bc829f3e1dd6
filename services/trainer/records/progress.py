"""Turn the trainer's steps into the job's progress, written at most once a second."""

import math
import time
from collections.abc import Callable, Sequence

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import FitPlan, Job, LossPoint, Progress

Clock = Callable[[], float]


class ProgressWriter:
    """Keeps the job's record up to date. Rates count the steps of this process only, not those before a resume."""

    def __init__(self, job: Job, write: Callable[[Job], None], clock: Clock = time.monotonic, every_s: float = 1.0) -> None:
        self.job = job
        self._write = write
        self._clock = clock
        self._every_s = every_s
        self._begun = self._written = clock()
        self._first_step = 0

    def begin(self, step: int, total: int, losses: Sequence[LossPoint]) -> None:
        """Training starts after `step` of `total` steps; `losses` are those of the steps before."""
        self._first_step = step
        self._begun = self._clock()
        self.job = self.job.model_copy(update={"losses": list(losses), "progress": Progress(step=step, total_steps=total)})
        self._flush()

    def fitted(self, plan: FitPlan | None) -> None:
        """Keep how the job was fitted to its card."""
        self.job = self.job.model_copy(update={"fit": plan})
        self._flush()

    def step(self, step: int, loss: float, tokens: int, memory_gib: float | None = None) -> None:
        """One step is done; `tokens` is the count since `begin`, `memory_gib` the most memory held so far.

        Raises InvalidInput when the loss is not a finite number.
        """
        if not math.isfinite(loss):
            raise InvalidInput(f"the loss became {loss} at step {step}; lower recipe.learning_rate or check the rows")
        now = self._clock()
        seconds = max(now - self._begun, 1e-9)
        total = self.job.progress.total_steps
        progress = Progress(
            step=step,
            total_steps=total,
            loss=loss,
            tokens_per_s=tokens / seconds,
            seconds_left=(total - step) * seconds / max(step - self._first_step, 1),
            memory_gib=memory_gib,
        )
        self.job.losses.append(LossPoint(step=step, loss=loss))
        self.job = self.job.model_copy(update={"progress": progress})
        if now - self._written >= self._every_s or step == total:
            self._flush()

    def _flush(self) -> None:
        self._write(self.job)
        self._written = self._clock()
