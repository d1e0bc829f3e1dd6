"""Routes of the page: GET / and GET /playground/{name}."""

from importlib.resources import files

from fastapi import APIRouter, Response

from askback.contracts.errors import NotFound

_PACKAGE = "services.student.playground"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# The page shows what models wrote; even if it escaped that badly, the browser would run and load nothing but the page's own files.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def playground_router() -> APIRouter:
    """The page and its files, read once. A name that is none of them is NotFound, whatever it holds."""
    router = APIRouter(include_in_schema=False)
    pages = {item.name: item.read_bytes() for item in files(_PACKAGE).iterdir() if _suffix(item.name) in _KINDS}

    def page(name: str) -> Response:
        if name not in pages:
            raise NotFound(f"no such page: {name}")
        return Response(pages[name], headers=_HEADERS, media_type=_KINDS[_suffix(name)])

    @router.get("/")
    async def index() -> Response:
        return page("page.html")

    @router.get("/playground/{name}")
    async def file(name: str) -> Response:
        return page(name)

    return router


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
