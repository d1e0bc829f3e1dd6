"""What is wrong in a configuration, in one line for people."""

from pydantic import ValidationError


def mistake(error: ValidationError, *under: str) -> str:
    """The first of the error's findings as `FIELD: what is wrong`; the field's path starts with `under`."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in (*under, *first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
