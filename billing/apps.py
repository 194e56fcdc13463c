from importlib import import_module

from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        for room in ("billing.roads", "billing.rollup_roads", "billing.budgets.roads"):
            import_module(room)
