"""The tenant's HTTP server for its own containers: model calls, and what agents ask of their host."""

from klad.gateway.model import ModelReply, ModelRequest, ModelUpstream
from klad.gateway.refusal import Refusal
from klad.gateway.scripted_model import ScriptedModel
from klad.gateway.server import Gateway
from klad.gateway.steps import GatewayLedger
from klad.gateway.tokens import new_token

__all__ = [
    "Gateway",
    "GatewayLedger",
    "ModelReply",
    "ModelRequest",
    "ModelUpstream",
    "Refusal",
    "ScriptedModel",
    "new_token",
]
