"""The RPCs of ChatService, one method each, a file for each resource. Those that are not here are not served yet."""

from dataclasses import dataclass

from chat_svc.servicer.attachments import AttachmentRpcs
from chat_svc.servicer.completions import CompletionRpcs
from chat_svc.servicer.connections import ConnectionRpcs
from chat_svc.servicer.conversations import ConversationRpcs
from chat_svc.servicer.generations import GenerationRpcs
from chat_svc.servicer.messages import MessageRpcs
from chat_svc.servicer.plans import PlanRpcs


@dataclass(kw_only=True, eq=False)
class Chat(ConversationRpcs, MessageRpcs, GenerationRpcs, ConnectionRpcs, AttachmentRpcs, CompletionRpcs, PlanRpcs):
    """The whole service: what each resource needs is a field of its own class.

    All is looked for among the caller's own; the rest is not found.
    """
