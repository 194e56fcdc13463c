from importlib import import_module

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        # Registers the functions of the examples.
        import_module("agents.examples.trade.tools")
        import_module("agents.examples.shop")
        # Registers the sections of a configuration that this room has.
        import_module("agents.configuration.kinds")
