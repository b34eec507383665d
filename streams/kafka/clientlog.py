"""Where the client's own log lines go, for every client that is made here."""

from __future__ import annotations

import logging
from typing import Any, Final

CLIENT_LOGGER: Final = "streams.kafka.client"


class _ClientLog:
    """Takes them as debug lines, whatever they are: what matters of them arrives as errors and events too."""

    def log(self, level: int, text: str, *arguments: Any) -> None:
        logging.getLogger(CLIENT_LOGGER).log(min(level, logging.DEBUG), text, *arguments)


client_log: Any = _ClientLog()
