"""Asynchronous views with the manners of the API: plain Django views, because Django REST framework has none.

    @async_view("POST", permission="execute:agent", request=ChatSerializer, responses={…})
    async def chat(request: HttpRequest) -> HttpResponseBase:
        \"\"\"Chat with an agent\"\"\"
        answer = await in_thread(everything_that_asks_the_database, request)

Whatever such a view raises is answered by the handler that answers for Django REST framework's views. It
authenticates and requires its permission itself, in the same hop to a thread as its other queries.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_standardized_errors.handler import exception_handler
from rest_framework.exceptions import MethodNotAllowed, UnsupportedMediaType
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from agentplatform.lib.errors import Invalid
from agentplatform.lib.json import dumps, loads, read_limited
from agentplatform.lib.schema import documented

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]
JSON = "application/json"


def async_view(method: str, *, permission: str = "", **schema: Any) -> Callable[[View], View]:
    """Makes an async function the view of one method; `permission` and `schema` are as of `documented`."""

    def decorate(view: View) -> View:
        return documented(method, permission=permission, **schema)(answering(method)(view))

    return decorate


def answering(method: str) -> Callable[[View], View]:
    """The same for a view that the API's own description leaves out."""
    allowed = {method, "HEAD"} if method == "GET" else {method}

    def decorate(view: View) -> View:
        @functools.wraps(view)
        async def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.method not in allowed:
                    raise MethodNotAllowed(str(request.method))
                return await view(request, *args, **kwargs)
            except Exception as error:
                return error_answer(request, error, method)

        # Where a view relies on a cookie, whoever makes the actor of it looks for forgery.
        respond.csrf_exempt = True  # type: ignore[attr-defined]
        return respond

    return decorate


def json_answer(data: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(dumps(data), content_type=JSON, status=status)


def error_answer(request: HttpRequest, error: Exception, method: str) -> HttpResponse:
    """`error` in the one shape, logged where it is a fault of ours."""
    context: Any = {"request": request, "view": None, "args": (), "kwargs": {}}
    formatted = cast(Response, exception_handler(error, context))
    answer = json_answer(formatted.data, formatted.status_code)
    for name in ("Retry-After", "WWW-Authenticate"):
        if name in formatted:
            answer[name] = formatted[name]
    if isinstance(error, MethodNotAllowed):
        answer["Allow"] = method
    return answer


def read_json(request: HttpRequest) -> Any:
    """The JSON of a request's body, `{}` of an empty one; for use in a thread, as the body may lie in a file.

    Raises MalformedRequest, PayloadTooLarge or UnsupportedMediaType.
    """
    body = read_limited(request, settings.MAX_REQUEST_BYTES)  # type: ignore[arg-type]
    if body and request.content_type != JSON:
        raise UnsupportedMediaType(request.content_type or "")
    return loads(body) if body else {}


def validated(serializer: type[BaseSerializer[Any]], data: Any) -> Any:
    """What a serializer without context makes of `data`. Raises a validation error, an entry per field."""
    return _shared(serializer).run_validation(data)  # type: ignore[arg-type]


@functools.cache
def _shared(serializer: type[BaseSerializer[Any]]) -> BaseSerializer[Any]:
    """One instance for all requests: validating changes nothing in it, and making one takes far longer."""
    return serializer()


def number_in_query(request: HttpRequest, name: str, default: int, maximum: int) -> int:
    """The query parameter `name` as a whole number from 0 to `maximum`. Raises Invalid for anything else."""
    return whole_number(request.GET.get(name, str(default)), name, maximum)


def whole_number(text: str, name: str, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and int(text) <= maximum):
        raise Invalid({name: f"Use a whole number from 0 to {maximum}."})
    return int(text)
