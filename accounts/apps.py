from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        import_module("accounts.api.schema")
        noting = import_module("accounts.security.noting")
        noting.write_with(import_module("accounts.security.writing").write_noted)
        user_logged_out.connect(import_module("accounts.sign_in").note_end)
