"""The few probabilities that the tests need, from the standard library alone: scipy would be a third of the evaluator's image.

All but the normal are the regularised incomplete beta function, computed by its continued fraction (Press et al. 2007, Numerical Recipes,
section 6.4). The tests hold them to scipy's.
"""

import math

_MOST_TERMS = 10_000
_SMALL = 1e-300
_EXACT = 1e-16
_HALVINGS = 200


def normal_cdf(z: float) -> float:
    """P(Z <= z) of a standard normal Z."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def coin_p(heads: int, tosses: int) -> float:
    """Two-sided exact p of so many heads of a fair coin; 1 without tosses."""
    fewer = min(heads, tosses - heads)
    return min(1.0, 2.0 * beta_cdf(tosses - fewer, fewer + 1.0, 0.5)) if tosses else 1.0


def t_p(t: float, df: float) -> float:
    """P(|T| >= |t|) of Student's t with `df` > 0 degrees of freedom, whole or not."""
    return _beta_cdf(df / 2.0, 0.5, df / (df + t * t), t * t / (df + t * t))


def t_quantile(p: float, df: float) -> float:
    """The t > 0 with `t_p(t, df)` = `p`, for 0 < p < 1."""
    low, high = 0.0, 1.0
    while t_p(high, df) > p:
        low, high = high, 2.0 * high
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if t_p(middle, df) > p else (low, middle)
    return high


def beta_cdf(a: float, b: float, x: float) -> float:
    """P(B <= x) of a beta variable with parameters `a`, `b` > 0, for 0 <= x <= 1."""
    return _beta_cdf(a, b, x, 1.0 - x)


def _beta_cdf(a: float, b: float, x: float, rest: float) -> float:
    """`beta_cdf` with `rest` = 1 - x, which a caller may know to more digits."""
    if x <= 0.0 or rest <= 0.0:
        return float(rest <= 0.0)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * _log(x, rest) + b * _log(rest, x))
    if x < (a + 1.0) / (a + b + 2.0):  # there the fraction converges fast; beyond, its mirror image does
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, rest) / b


def _log(part: float, rest: float) -> float:
    """log(part), where `part` + `rest` = 1, to full precision near 1 too."""
    return math.log1p(-rest) if rest < 0.5 else math.log(part)


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function by Lentz's method."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            c, d = _away_from_zero(1.0 + term / c), 1.0 / _away_from_zero(1.0 + term * d)
            value *= c * d
        if abs(c * d - 1.0) < _EXACT:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _SMALL else _SMALL
