#!/usr/bin/env python
"""The platform's commands: `python manage.py help` lists them."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from agentplatform.bootstrap import database, prepare_environment
from agentplatform.database import EmbeddedDatabaseError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentplatform.settings")
    try:
        prepare_environment(sys.argv)
        with database():
            execute_from_command_line(sys.argv)
    except (EmbeddedDatabaseError, ImproperlyConfigured) as error:
        sys.exit(f"The platform cannot start: {error}")


if __name__ == "__main__":
    main()
