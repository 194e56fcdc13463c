"""Which paths are the API's, and the one form that each of them is routed in."""

from __future__ import annotations

API = ("/api/", "/v1/", "/mcp/")
API_ROOTS = ("/api", "/v1", "/mcp")
API_PAGES = ("/api/v1/docs", "/api/v1/redoc")
CURRENT = "/api/v1"
ALIASED = "/health"


def is_api(path: str) -> bool:
    """Whether programs, not people in browsers, are served at `path`."""
    return (path.startswith(API) or path in API_ROOTS) and path not in API_PAGES


def canonical(path: str) -> str:
    """The path to route: `/api/agents/` → `/api/v1/agents`, `/health` → `/api/v1/health`; pages stay."""
    if path == ALIASED or path.startswith(f"{ALIASED}/"):
        return CURRENT + path.rstrip("/")
    if not path.startswith(API):
        return path
    path = path.rstrip("/")
    is_aliased = path.startswith("/api") and path != CURRENT and not path.startswith(f"{CURRENT}/")
    return CURRENT + path.removeprefix("/api") if is_aliased else path
