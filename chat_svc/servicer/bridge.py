"""Rows as callers see them: from the tables' shape to the contract's."""

from collections.abc import Mapping, Sequence

from chatmesh.chat.v1 import chat_pb2 as pb

from chat_svc import catalogue
from chat_svc.attachment_store import Reference
from chat_svc.endings import bill_of, finish_reason, token_usage
from chat_svc.models import Conversation, Generation, State, Used
from chat_svc.quota import Standing
from chat_svc.store import Told
from svckit.timestamps import timestamp


def conversation(row: Conversation) -> pb.Conversation:
    return pb.Conversation(
        id=row.id,
        title=row.title,
        system_prompt=row.system_prompt,
        provider=row.provider,
        model=row.model,
        archived=row.archived,
        create_time=timestamp(row.created_at),
        update_time=timestamp(row.updated_at),
        active_message_id=row.active_message_id or "",
    )


def message(told: Told, images: Sequence[Reference] = ()) -> pb.Message:
    """`images` are the message's."""
    row, generation_ = told.message, told.generation
    message_ = pb.Message(
        id=row.id,
        conversation_id=row.conversation_id,
        parent_id=row.parent_id or "",
        author=pb.Author.Value(f"AUTHOR_{row.author.upper()}"),
        text=row.text,
        state=pb.STATE_DONE,
        create_time=timestamp(row.created_at),
        parts=[*map(_image, images), *(_result(result) for result in row.tool_results or ())],
        tool_calls=[pb.ToolCall(**call) for call in row.tool_calls or ()],
    )
    if generation_ is not None:
        message_.MergeFrom(_written_by(generation_))
    return message_


def generation(row: Generation, *, text: str) -> pb.Generation:
    ended = row.state != State.RUNNING
    return pb.Generation(
        id=row.id,
        conversation_id=row.conversation_id or "",
        message_id=row.message_id or "",
        state=_state(row),
        text=text,
        finish_reason=finish_reason(row.finish_reason),
        usage=token_usage(bill_of(row)) if ended else None,
        create_time=timestamp(row.created_at),
        end_time=timestamp(row.ended_at),
    )


def model(row: catalogue.Model, *, set_up: bool, included: bool) -> pb.Model:
    return pb.Model(
        id=row.id,
        provider=row.provider,
        display_name=row.display_name,
        aliases=row.aliases,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        input_micros_per_million=row.input_micros_per_million,
        output_micros_per_million=row.output_micros_per_million,
        capabilities=row.capabilities,
        plans=row.plans,
        available=set_up and included,
        deprecation_date=row.deprecation_date.isoformat() if row.deprecation_date else "",
        successor=row.successor,
        set_up=set_up,
        cached_input_micros_per_million=row.cached_price,
        cache_write_micros_per_million=row.cache_write_price,
        fallbacks=row.fallbacks,
        price_date=row.price_date.isoformat() if row.price_date else "",
        price_source=row.price_source,
    )


def compatible_model(row: catalogue.Model) -> pb.CompatibleModel:
    return pb.CompatibleModel(id=row.id, object="model", owned_by=row.provider)


def usage(standing: Standing, models: Sequence[Used]) -> pb.GetUsageResponse:
    allowance = standing.allowance
    return pb.GetUsageResponse(
        plan=allowance.plan,
        period_start_time=timestamp(allowance.period.start),
        period_end_time=timestamp(allowance.period.end),
        tokens_used=standing.used,
        tokens_reserved=standing.reserved,
        tokens_limit=allowance.tokens,
        cost_micros=sum(row.cost_micros for row in models),
        generations_running=standing.running,
        generations_limit=allowance.generations,
        overage=allowance.overage,
        models=map(_model_usage, models),
    )


def _model_usage(row: Used) -> pb.ModelUsage:
    used = pb.TokenUsage(
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_input_tokens=row.cached_input_tokens,
        cache_write_tokens=row.cache_write_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost_micros=row.cost_micros,
        estimated=row.estimated,
    )
    return pb.ModelUsage(provider=row.provider, model=row.model, answers=row.works, usage=used)


def _image(reference: Reference) -> pb.ContentPart:
    return pb.ContentPart(
        image=pb.Image(attachment_id=reference.id, media_type=reference.media_type, size=reference.size)
    )


def _result(result: Mapping[str, str]) -> pb.ContentPart:
    return pb.ContentPart(tool_result=pb.ToolResult(tool_call_id=result["call_id"], text=result["text"]))


def _written_by(row: Generation) -> pb.Message:
    """What an answer has of the generation that writes it."""
    return pb.Message(
        state=_state(row),
        provider=row.provider,
        model=row.model,
        generation_id=row.id,
        finish_reason=finish_reason(row.finish_reason),
        usage=token_usage(bill_of(row)) if row.state != State.RUNNING else None,
    )


def _state(row: Generation) -> pb.State.ValueType:
    return pb.State.Value(f"STATE_{row.state.upper()}")
