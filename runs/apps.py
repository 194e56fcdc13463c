from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        import_module("runs.metering")
        import_module("runs.configuration")
        import_module("runs.accounting")
