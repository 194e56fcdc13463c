"""Files in the storage that `STORAGE_URL` names: what goes wrong there is one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from agentplatform.lib.errors import ServiceUnavailable

logger = structlog.get_logger(__name__)


@contextmanager
def reaching_storage(verb: str) -> Iterator[None]:
    """Whatever goes wrong with the storage, of whichever kind it is, is a 503 and a line in the log."""
    try:
        yield
    except Exception as error:
        logger.error("storage_failed", verb=verb, error=f"{type(error).__name__}: {error}"[:500])
        raise ServiceUnavailable("The storage of files does not answer at the moment. Try again.") from error
