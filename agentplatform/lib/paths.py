"""Which paths are the API's, and the one form that each of them is routed in."""

from __future__ import annotations

API_ROOTS = ("/api", "/v1", "/mcp", "/chat", "/history", "/metrics")
API = tuple(f"{root}/" for root in API_ROOTS)
API_PAGES = ("/api/v1/docs", "/api/v1/redoc")
CURRENT = "/api/v1"
ALIASED = "/health"
HEALTH = f"{CURRENT}{ALIASED}"
METRICS = "/metrics"
# As the session chat service called them.
OLD_SESSIONS, SESSIONS = f"{CURRENT}/chat/sessions", f"{CURRENT}/sessions"


def is_api(path: str) -> bool:
    """Whether programs, not people in browsers, are served at `path`."""
    return (path.startswith(API) or path in API_ROOTS) and path not in API_PAGES


def takes_any_host(path: str) -> bool:
    """Whether machines ask there how the platform does, which know a process by its address only."""
    return path in (HEALTH, METRICS) or path.startswith(f"{HEALTH}/")


def canonical(path: str) -> str:
    """The path to route: `/api/agents/` → `/api/v1/agents`, `/health` → `/api/v1/health`; pages stay."""
    if path == ALIASED or path.startswith(f"{ALIASED}/"):
        return CURRENT + path.rstrip("/")
    if not path.startswith(API):
        return path
    path = path.rstrip("/")
    is_aliased = path.startswith("/api") and path != CURRENT and not path.startswith(f"{CURRENT}/")
    path = CURRENT + path.removeprefix("/api") if is_aliased else path
    if path == OLD_SESSIONS or path.startswith(f"{OLD_SESSIONS}/"):
        return SESSIONS + path.removeprefix(OLD_SESSIONS)
    return path
