"""Turn memory that ran out into one line that names the next smaller setting."""

import errno
from collections.abc import Iterator

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import FitPlan, Recipe

_SIGNS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "STATUS_ALLOC_FAILED",  # of cuBLAS and cuDNN
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
_CARD_SIGNS = ("CUDA", "CUBLAS", "CUDNN", "the card has to give")


def explained(error: BaseException, recipe: Recipe, fit: FitPlan | None, longest: int | None = None) -> InvalidInput | None:
    """What to change after `error`, in one line, or None when it does not tell that memory ran out.

    `longest` is the number of tokens of the longest row with its reply.
    """
    cause = next((one for one in _chain(error) if _tells(one)), None)
    if cause is None:
        return None
    on_card = type(cause).__name__ == "OutOfMemoryError" or any(sign in str(cause) for sign in _CARD_SIGNS)
    field, remedy = _next(recipe, _fitted(recipe, fit, on_card), longest)
    tokens = recipe.max_length if longest is None else min(longest, recipe.max_length)
    rows = fit.micro_batch if fit else _pass_rows(recipe)
    tried = f"with {rows} {'row' if rows == 1 else 'rows'} of {tokens} tokens"
    if fit is None and _fitted(recipe, fit, on_card):
        tried = f"before one row of {tokens} tokens fitted"
    return InvalidInput(f"{field}: out of memory {tried}; {remedy}")


def next_smaller(recipe: Recipe, fit: FitPlan | None, longest: int | None = None) -> str:
    """The next smaller setting, such as `use batch_size 4 and gradient_accumulation 2`."""
    return _next(recipe, _fitted(recipe, fit, on_card=False), longest)[1]


def _next(recipe: Recipe, fitted: bool, longest: int | None) -> tuple[str, str]:
    """(field to change, how); each setting costs more speed or quality than the ones before it."""
    rows, step = _pass_rows(recipe), recipe.batch_size * recipe.gradient_accumulation
    if not fitted and rows > 1:
        smaller = next(size for size in range(rows // 2, 0, -1) if step % size == 0)
        return "recipe.batch_size", f"use batch_size {smaller} and gradient_accumulation {step // smaller}"
    if recipe.gradient_checkpointing is False or (recipe.gradient_checkpointing is None and not fitted):
        return "recipe.gradient_checkpointing", "use gradient_checkpointing = true"
    if not recipe.four_bit:
        return "recipe.four_bit", "use four_bit = true"
    # A pass is as long as its longest row, so that a max_length above it costs nothing and one below it loses a reply.
    shorter = "shorter rows" if longest is None else f"leave out the longest rows ({longest} tokens)"
    return "BASE_MODEL", f"use a smaller base model or {shorter}"


def _fitted(recipe: Recipe, fit: FitPlan | None, on_card: bool) -> bool:
    """Whether the rows of a pass are the fit's choice; without a plan only a card that ran out before it had one tells."""
    return fit is not None or (on_card and recipe.fit and not recipe.sharded)


def _pass_rows(recipe: Recipe) -> int:
    """Rows of one pass on one card where nothing is fitted."""
    share = max(1, recipe.batch_size * recipe.gradient_accumulation // recipe.gpus)
    return next(size for size in range(min(recipe.batch_size, share), 0, -1) if share % size == 0)


def _tells(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and what it was raised from."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
