"""The client side of Telegram's Bot API: updates into the ledger, the outbox out of it. No actor in it.

`Poller` with a `CommittingQueue` brings updates in; `Sender` sends the outbox; `Presence` shows "typing".
All three live on one event loop. `read` says what an update means; `render` makes messages of Markdown.
"""

from klad.telegram.clock import Clock
from klad.telegram.faces import OutboxLedger, UpdateLedger
from klad.telegram.formatting import Part, render
from klad.telegram.intake import MEDIA, Incoming, chat_of, read
from klad.telegram.limiter import Limiter, Rate
from klad.telegram.polling import API_URL, Identity, Poller
from klad.telegram.presence import Presence
from klad.telegram.queue import CommittingQueue
from klad.telegram.sender import Sender
from klad.telegram.shot import MARK, address

__all__ = [
    "API_URL",
    "MARK",
    "MEDIA",
    "Clock",
    "CommittingQueue",
    "Identity",
    "Incoming",
    "Limiter",
    "OutboxLedger",
    "Part",
    "Poller",
    "Presence",
    "Rate",
    "Sender",
    "UpdateLedger",
    "address",
    "chat_of",
    "read",
    "render",
]
