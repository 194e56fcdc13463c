"""What went wrong in a model call, in the platform's own classes, whichever vendor's exception it came as.

Exceptions are told apart by their shape (names in the class tree, a status code, where they were raised), so
that no vendor's package needs to be imported to read them.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from agentplatform.lib.addresses import OutboundRefused
from agentplatform.lib.errors import BudgetExceeded, PlatformError

MESSAGE_LIMIT = 500
TIMEOUTS = {
    "TimeoutError",
    "TimeoutException",
    "APITimeoutError",
    "ModelTimeoutError",
    "StreamChunkTimeoutError",
}
UNREACHABLE = {
    "TransportError",
    "APIConnectionError",
    "ModelConnectionError",
    "ConnectionError",
    "gaierror",
    "SSLError",
}
OURS = "agents.providers"
PROVIDER_PACKAGES = {
    "openai",
    "anthropic",
    "google",
    "langchain_openai",
    "langchain_anthropic",
    "langchain_google_genai",
}
READING_PACKAGES = PROVIDER_PACKAGES | {
    OURS,
    "langchain_core",
    "json",
    "pydantic",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
}
KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk)-[\w-]{6,}|\bAIza[\w-]{10,}|(?i:bearer)\s+[\w.~+/=-]{6,}|(?<=key=)[\w-]{6,}"
)


class ProviderFault(Exception):
    """A failed model call.

    `error_class` is one of the contract's: timeout, rate_limited, provider_unavailable, provider_rejected,
    authentication, invalid_configuration, budget_exceeded, internal. `retryable` says whether the same call may
    succeed later, `retry_after` (seconds) when the provider wants it repeated.
    """

    def __init__(
        self, error_class: str, message: str, *, retryable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after


def classify(error: BaseException) -> ProviderFault:
    """The fault that `error`, or an error that it was raised from, stands for. Its message holds no key."""
    chain = list(_chain(error))
    for read in (_own, _by_status, _by_name, _by_body, _by_place):
        for link in chain:
            if fault := read(link):
                return fault
    return ProviderFault("internal", f"The model call failed inside the platform ({type(error).__name__}).")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _own(error: BaseException) -> ProviderFault | None:
    if isinstance(error, ProviderFault):
        return error
    if isinstance(error, OutboundRefused):
        return ProviderFault("invalid_configuration", str(error))
    if isinstance(error, BudgetExceeded):
        return ProviderFault("budget_exceeded", error.message)
    if isinstance(error, PlatformError):
        return ProviderFault("invalid_configuration", error.message)
    return None


def _by_status(error: BaseException) -> ProviderFault | None:
    status = _status(error)
    if status is None or status < 300:
        return None
    said = f"The provider answered HTTP {status}: {_message(error)}"
    if status in (401, 403):
        # Endpoints quote the key that they refuse, so their words are left out.
        return ProviderFault("authentication", f"The provider refused the model's API key (HTTP {status}).")
    if status == 408:
        return ProviderFault("timeout", said, retryable=True, retry_after=_retry_after(error))
    if status == 429:
        return ProviderFault("rate_limited", said, retryable=True, retry_after=_retry_after(error))
    if status >= 500:
        return ProviderFault("provider_unavailable", said, retryable=True, retry_after=_retry_after(error))
    return ProviderFault("provider_rejected", said)


def _by_name(error: BaseException) -> ProviderFault | None:
    names = {base.__name__ for base in type(error).__mro__}
    if names & TIMEOUTS:
        return ProviderFault("timeout", "The provider did not answer in time.", retryable=True)
    if "ContextOverflowError" in names:
        return ProviderFault("provider_rejected", _message(error))
    if names & UNREACHABLE:
        message = "The provider cannot be reached, or broke off its answer."
        return ProviderFault("provider_unavailable", message, retryable=True)
    return None


def _by_body(error: BaseException) -> ProviderFault | None:
    """An error that the provider reports in the middle of a stream has a body, but no status."""
    if "APIError" not in {base.__name__ for base in type(error).__mro__}:
        return None
    words = f"{getattr(error, 'type', '')} {getattr(error, 'code', '')}"
    said = f"The provider reported an error: {_message(error)}"
    if "rate_limit" in words or "429" in words:
        return ProviderFault("rate_limited", said, retryable=True)
    if "invalid_request" in words or "context_length" in words:
        return ProviderFault("provider_rejected", said)
    return ProviderFault("provider_unavailable", said, retryable=True)


def _by_place(error: BaseException) -> ProviderFault | None:
    """What the vendor's code trips over while it reads an answer is an answer that makes no sense."""
    packages = _packages(error)
    if not packages & PROVIDER_PACKAGES and "No generation" not in str(error):
        return None
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return ProviderFault(
            "invalid_configuration", f"The provider's client does not take this: {_message(error)}"
        )
    if isinstance(error, ValueError | TypeError | LookupError | AttributeError):
        message = "The provider's answer could not be understood. Does the endpoint speak this protocol?"
        return ProviderFault("provider_unavailable", message, retryable=True)
    return None


def _packages(error: BaseException) -> set[str]:
    """The packages that the last frames of the traceback belong to, up to the first that reads no answers."""
    modules, traceback = [], error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        modules.append(OURS if module.startswith(OURS) else module.partition(".")[0])
        traceback = traceback.tb_next
    last: set[str] = set()
    for module in reversed(modules):
        if module not in READING_PACKAGES:
            break
        last.add(module)
    return last


def _status(error: BaseException) -> int | None:
    for holder, name in (
        (error, "status_code"),
        (error, "code"),
        (getattr(error, "response", None), "status_code"),
    ):
        if isinstance(status := getattr(holder, name, None), int) and not isinstance(status, bool):
            return status
    return None


def _retry_after(error: BaseException) -> float | None:
    """Seconds until the provider wants to be asked again, from any of the forms of Retry-After."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    if milliseconds := headers.get("retry-after-ms"):
        return _number(milliseconds, 1000)
    if (value := headers.get("retry-after")) is None:
        return None
    if (seconds := _number(value)) is not None:
        return seconds
    if parsed := email.utils.parsedate_tz(value):
        return max(0.0, email.utils.mktime_tz(parsed) - time.time())
    return None


def _number(text: str, divisor: float = 1) -> float | None:
    try:
        return max(0.0, float(text) / divisor)
    except ValueError:
        return None


def _message(error: BaseException) -> str:
    """The provider's own words, short and without keys."""
    body: Any = getattr(error, "body", None) or getattr(error, "details", None)
    for _ in range(2):
        body = body.get("error", body) if isinstance(body, dict) else body
    said = body.get("message") if isinstance(body, dict) else None
    text = said if isinstance(said, str) else str(getattr(error, "message", "") or error)
    return redact(text, *_keys(error))[:MESSAGE_LIMIT]


def _keys(error: BaseException) -> Iterator[str]:
    """The keys that the failed request carried."""
    # httpx's `request` raises where there is none, so what the properties stand on is read.
    own, response = vars(error), getattr(error, "response", None)
    request = own.get("request") or own.get("_request") or getattr(response, "_request", None)
    headers = getattr(request, "headers", None) or {}
    for name in KEY_HEADERS:
        if value := headers.get(name):
            yield value.removeprefix("Bearer ")


def redact(text: str, *secrets: str) -> str:
    """`text` without these secrets, in plain or JSON form, and without what looks like a key."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "***").replace(json.dumps(secret)[1:-1], "***")
    return KEY_LIKE.sub("***", text)
