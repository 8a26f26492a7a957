"""An embedded Telegram Bot API server with a web chat: what a tenant without a bot token talks to.

`BotApi(store, token, bot_name).add_to(app)` mounts it; any Bot API client uses `http://127.0.0.1:PORT`
as its server; the owner opens `link(base_url)`.
"""

from klad.botapi.auth import guard
from klad.botapi.errors import ApiError, StoreError
from klad.botapi.faults import Fault, Faults
from klad.botapi.server import BotApi
from klad.botapi.store import BotApiStore

__all__ = ["ApiError", "BotApi", "BotApiStore", "Fault", "Faults", "StoreError", "guard"]
