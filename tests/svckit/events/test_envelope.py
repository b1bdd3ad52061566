from datetime import UTC, datetime, timedelta, timezone

import pytest
from chatmesh.events.v1 import events_pb2
from chatmesh.events.v1.events_pb2 import EntitlementsChanged, Limits, UserRegistered
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from nats.aio.client import Client
from nats.aio.msg import Msg

from svckit import events, telemetry
from svckit.events.envelope import MAX_DATA_BYTES, headers

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
REGISTERED = events.event(UserRegistered(user_id="ada"), source="auth", about="ada", time=NOON, id="e1")


def _message(attributes: dict[str, str], data: bytes = b"") -> Msg:
    return Msg(_client=Client(), subject=REGISTERED.subject, data=data, headers=attributes)


def test_an_event_says_what_happened_to_whom_where_and_when() -> None:
    assert REGISTERED.subject == "ev.auth.user.registered"
    assert REGISTERED.type == "chatmesh.events.v1.UserRegistered"
    assert (REGISTERED.id, REGISTERED.source, REGISTERED.about, REGISTERED.time) == ("e1", "auth", "ada", NOON)
    assert events.unpack(REGISTERED) == UserRegistered(user_id="ada")


def test_an_event_gets_an_id_of_its_own() -> None:
    first, second = (events.event(UserRegistered(), source="auth", about="ada", time=NOON) for _ in range(2))

    assert first.id < second.id or first.id[:13] == second.id[:13]
    assert first.id != second.id


def test_an_event_belongs_to_the_trace_of_the_work_that_made_it() -> None:
    with telemetry.span("signing up") as span:
        event = events.event(UserRegistered(), source="auth", about="ada", time=NOON)

    here = telemetry.parse(event.traceparent)
    assert here is not None
    assert here.trace_id == span.place.trace_id


def test_an_event_survives_its_journey_whatever_the_zone_of_its_time() -> None:
    two_hours_east = timezone(timedelta(hours=2))
    event = events.event(
        UserRegistered(user_id="ada"), source="auth", about="ada", time=NOON.astimezone(two_hours_east)
    )

    assert events.received(_message(headers(event), event.data)) == event


def test_every_fact_has_a_subject_of_its_own_and_says_who_it_is_about() -> None:
    parts = {"Limits", "Usage"}
    facts = [kind for name, kind in events_pb2.DESCRIPTOR.message_types_by_name.items() if name not in parts]
    subjects = [kind.GetOptions().Extensions[events_pb2.subject] for kind in facts]

    assert len(facts) == len(set(subjects)) == 19
    assert all(subject.startswith("ev.") and subject.count(".") == 3 for subject in subjects)
    assert all(kind.fields_by_number[1].name == "user_id" for kind in facts)


def test_the_subject_of_a_kind_of_fact_can_be_asked_for() -> None:
    assert events.subject(EntitlementsChanged) == "ev.billing.entitlements.changed"


def test_a_message_that_is_no_fact_is_refused() -> None:
    with pytest.raises(ValueError, match=r"chatmesh\.events\.v1\.Limits: not an event"):
        events.event(Limits(), source="billing", about="ada", time=NOON)
    with pytest.raises(ValueError, match=r"google\.protobuf\.FileDescriptorProto: not an event"):
        events.event(FileDescriptorProto(), source="billing", about="ada", time=NOON)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time: must have a zone"):
        events.event(UserRegistered(), source="auth", about="ada", time=NOON.replace(tzinfo=None))


def test_a_payload_that_the_stream_would_refuse_is_refused_before_it_is_stored() -> None:
    with pytest.raises(ValueError, match="at most 1000000 bytes, not 1000004"):
        events.event(UserRegistered(user_id="a" * MAX_DATA_BYTES), source="auth", about="ada", time=NOON)


@pytest.mark.parametrize("kind", ["chatmesh.events.v1.UserVanished", "chatmesh.auth.v1.UserRegistered", "", "Usage."])
def test_a_type_that_is_not_known_is_said_so(kind: str) -> None:
    stranger = events.Event("e1", "ev.x.y.z", kind, "x", "ada", NOON, b"")

    with pytest.raises(events.UnknownEvent, match=f"no such type: {kind}"):
        events.unpack(stranger)


def test_bytes_that_are_not_the_payload_are_malformed() -> None:
    broken = events.Event("e1", REGISTERED.subject, REGISTERED.type, "auth", "ada", NOON, b"\xff\xff")

    with pytest.raises(events.MalformedEvent, match="not a chatmesh"):
        events.unpack(broken)


@pytest.mark.parametrize("missing", ["ce-id", "ce-type", "ce-source", "ce-time"])
def test_a_message_without_a_required_attribute_is_malformed(missing: str) -> None:
    attributes = headers(REGISTERED)
    del attributes[missing]

    with pytest.raises(events.MalformedEvent, match=f"no header '{missing}'"):
        events.received(_message(attributes))


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-23T12:00:00", ""])
def test_a_message_without_a_real_time_is_malformed(moment: str) -> None:
    with pytest.raises(events.MalformedEvent, match="ce-time"):
        events.received(_message(headers(REGISTERED) | {"ce-time": moment}))
