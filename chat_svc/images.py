"""Images that users send: what they are is known by their content, never by what somebody says of them."""

from chat_svc.providers import Image
from svckit.errors import InvalidArgument

MOST_BYTES = 5_000_000
MOST_IMAGES = 8
_PNG_END, _JPEG_END = b"IEND\xaeB`\x82", b"\xff\xd9"


def read_image(data: bytes, *, field: str) -> Image:
    """The image; raises InvalidArgument that names the field when it is none that models take."""
    if len(data) > MOST_BYTES:
        raise InvalidArgument.of(field, f"must have at most {MOST_BYTES} bytes", reason="IMAGE_TOO_LARGE")
    media_type = _media_type(data)
    if media_type is None:
        raise InvalidArgument.of(field, "must be a whole PNG, JPEG or WebP image", reason="IMAGE_UNREADABLE")
    return Image(media_type, data)


def _media_type(data: bytes) -> str | None:
    """By the signature of the format, what must follow it, and its end: a part of a file would fail at the provider.

    What cameras put behind the end is theirs.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and _PNG_END in data:
        return "image/png"
    if data.startswith(b"\xff\xd8\xff") and _JPEG_END in data:
        return "image/jpeg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP" and data[12:15] == b"VP8" and len(data) >= _riff_size(data):
        return "image/webp"
    return None


def _riff_size(data: bytes) -> int:
    """How long the file is by its own head."""
    return 8 + int.from_bytes(data[4:8], "little")
