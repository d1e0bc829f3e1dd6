"""The standard Cache-Control header of a request (RFC 9111, section 5.2.1), as far as it has a meaning here."""

from dataclasses import dataclass

from askback.contracts.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class CacheControl:
    """What the caller allows the cache to do."""

    no_cache: bool = False
    """Buy a new answer, which replaces the kept one."""
    no_store: bool = False
    """Do not keep the answer."""
    only_if_cached: bool = False
    """Never buy: a miss is answered 504."""
    max_age_s: float | None = None
    """An older answer counts as a miss."""


ALLOW_ALL = CacheControl()


def parse_cache_control(header: str) -> CacheControl:
    """Directives of `header`; unknown ones are ignored, as the standard asks. Raises InvalidInput for a bad max-age."""
    directives: dict[str, str] = {}
    for part in header.lower().split(","):
        name, _, value = part.strip().partition("=")
        directives[name.strip()] = value.strip().strip('"')
    age = directives.get("max-age")
    if age is not None and not (age.isascii() and age.isdigit() and len(age) <= 12):
        raise InvalidInput(f"Cache-Control: max-age is {age[:40]!r}; it must be a whole number of seconds")
    return CacheControl(
        no_cache="no-cache" in directives,
        no_store="no-store" in directives,
        only_if_cached="only-if-cached" in directives,
        max_age_s=None if age is None else float(age),
    )
