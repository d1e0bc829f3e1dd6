"""Means over questions and trainings, both drawn from many: a crossed design without replication.

With tables of n questions and k seeds, a mean's variance is (MS_q + MS_s - MS_qs) / (n k), the mean squares of questions, of seeds and of
what is left (Brennan 2001, Generalizability Theory). Counting the n k rows as independent leaves out that rows of a question, and
rows of a training, go up and down together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.evaluator.stats.distributions import t_p, t_quantile
from services.evaluator.stats.intervals import Z95, wilson
from services.evaluator.stats.paired import ALPHA, Z_POWER, mcnemar

Table = NDArray[np.float64]
"""Shape (questions, seeds)."""


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, over `n` questions; variances are squares of standard errors."""

    value: float
    variance: float
    df: float
    """Satterthwaite's (1946) degrees of freedom."""
    question_variance: float
    """The part that falls with more questions."""
    n: int

    @property
    def quantile(self) -> float:
        """Student's t of 0.975."""
        return t_quantile(ALPHA, self.df)

    def p(self, null: float = 0.0) -> float:
        """Two-sided p that the true value is `null`; where no variance was seen, that of a coin that fell alike for every question."""
        if self.variance > 0:
            return t_p((self.value - null) / self.variance**0.5, self.df)
        return 1.0 if self.value == null else mcnemar(self.n, 0)

    def interval(self) -> tuple[float, float]:
        """95 % interval of a difference, within [-1, 1]."""
        half = self.quantile * self.variance**0.5
        return max(-1.0, self.value - half), min(1.0, self.value + half)

    def share_interval(self) -> tuple[float, float]:
        """95 % interval of a share: Wilson's, with the number of independent questions that would have this variance, and t in place of z.

        Franco et al. (2019, Journal of Survey Statistics and Methodology 7:334) recommend it for samples with clusters.
        """
        spread = self.value * (1 - self.value)
        return wilson(self.value, spread / self.variance if self.variance > 0 and spread > 0 else self.n, self.quantile)

    def needed_n(self) -> int | None:
        """Questions for 80 % power were the rest as measured, by the normal quantiles; None when no number of questions is enough."""
        room = (self.value / (Z95 + Z_POWER)) ** 2 - (self.variance - self.question_variance)
        return max(int(np.ceil(self.question_variance * self.n / room)), self.n + 1) if room > 0 else None


def mean(table: Table) -> Estimate:
    """The mean of all of `table`; with one seed the variance is that of questions alone."""
    return _estimate(table.mean(axis=1), [table])


def paired_difference(a: Table, b: Table) -> Estimate:
    """`b` minus `a` where column i of both is the same training, so that what is good or bad luck of a training cancels.

    It is valid for trainings that share nothing too, at the price of half the degrees of freedom of seeds.
    """
    return mean(b - a)


def independent_difference(a: Table, b: Table) -> Estimate:
    """`b` minus `a` on the same questions with seeds of their own; a side of one seed counts as that training, not as a draw."""
    return _estimate(b.mean(axis=1) - a.mean(axis=1), [a, b])


def _estimate(by_question: NDArray[np.float64], tables: Sequence[Table]) -> Estimate:
    """The mean of `by_question` with the seeds' part of each of `tables`.

    The spread between questions already holds what is left over in `tables`, so it is taken off the spread between seeds. A seeds' part
    below nothing counts as none, and the whole is never less than the spread of questions, or of one table's seeds, alone.
    """
    n = len(by_question)
    questions = float(by_question.var(ddof=1)) / n if n > 1 else 0.0
    variance, smallest, parts = questions, (questions, n - 1.0), [(questions, n - 1.0)]
    for table in tables:
        seeds, rest = seed_parts(table)
        k = table.shape[1] - 1.0
        if seeds > rest:
            variance += seeds - rest
            parts += [(seeds, k), (rest, k * (n - 1.0))]
        smallest = max(smallest, (seeds, k))
    if variance <= smallest[0]:
        return Estimate(float(by_question.mean()), smallest[0], max(1.0, smallest[1]), questions, n)
    df = variance**2 / sum(part**2 / freedom for part, freedom in parts if part)
    return Estimate(float(by_question.mean()), variance, max(1.0, df), questions, n)


def seed_parts(table: Table) -> tuple[float, float]:
    """(MS_s, MS_qs) / (n k); both 0 for one seed or one question."""
    n, k = table.shape
    if n < 2 or k < 2:
        return 0.0, 0.0
    seeds = table.mean(axis=0)
    rest = table - table.mean(axis=1, keepdims=True) - seeds + table.mean()
    return float(seeds.var(ddof=1)) / k, float((rest**2).sum()) / ((n - 1) * (k - 1) * n * k)
