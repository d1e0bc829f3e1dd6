"""Server-sent events, read line by line."""

from collections.abc import AsyncIterable, AsyncIterator


async def read_events(lines: AsyncIterable[str]) -> AsyncIterator[tuple[str, str]]:
    """(event, data) of each event in `lines`, without comments; an event that the end cuts off is left out."""
    name, data = "", list[str]()
    async for line in lines:
        if not line:
            if data:
                yield name or "message", "\n".join(data)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
