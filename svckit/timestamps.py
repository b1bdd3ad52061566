"""Times on the wire: google.protobuf.Timestamp from aware datetimes."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(moment: datetime | None) -> Timestamp | None:
    """The message's field for a moment; None leaves it unset."""
    if moment is None:
        return None
    found = Timestamp()
    found.FromDatetime(moment)
    return found
