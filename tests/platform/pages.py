"""The paths of all pages that people open in browsers, with rows in them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from accounts.models import SavedFilter
from agents.models import Agent
from runs.models import Run, Session
from tests.platform.operations import Route, other_routes


def pages_of(rows: Iterable[Model], *, empty: bool = True) -> list[str]:
    """Every page, each with every row that may stand in its path; those that show no row only if `empty`."""
    known = list(rows)
    routes = [route for route in other_routes() if empty or shows_rows(route)]
    return [path for route in routes for path in paths_of(route, known)]


def shows_rows(route: Route) -> bool:
    """Whether a page is more than an empty form or the names of lists."""
    return not (route.path.endswith("/add/") or route.parameters == ["app_label"])


def paths_of(route: Route, rows: list[Model]) -> list[str]:
    choices = product(*(values_of(name, route, rows) for name in route.parameters))
    paths = []
    for chosen in choices:
        path = route.path
        for name, value in zip(route.parameters, chosen, strict=True):
            path = path.replace(f"{{{name}}}", value)
        paths.append(path)
    return paths


def values_of(name: str, route: Route, rows: list[Model]) -> list[str]:
    """What may stand at a parameter of a page's path. A name that is new has to be added here."""
    own = [row for row in rows if f"/{row._meta.app_label}/{row._meta.model_name}/" in route.path]
    of_any_kind = "/r/" in route.path
    values = {
        "object_id": [str(row.pk) for row in own or rows if own or of_any_kind],
        "id": [str(row.pk) for row in own],
        "session_id": [str(row.pk) for row in rows if isinstance(row, Session)],
        "run_id": [str(row.pk) for row in rows if isinstance(row, Run)],
        "content_type_id": [str(ContentType.objects.get_for_model(Run).pk)] if of_any_kind else [],
        "filter_id": [str(row.pk) for row in rows if isinstance(row, SavedFilter)],
        "agent_id": [str(row.pk) for row in rows if isinstance(row, Agent)],
        "app_label": [config.label for config in apps.get_app_configs()],
        "url": ["nothing"],
        "name": ["google"],
    }
    return values[name]
