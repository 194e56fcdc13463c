"""The roof: settings, URLs, ASGI, health and the commands that span rooms."""

__version__ = "0.1.0"
