"""Images that users send: what they are is known by their content, never by what somebody says of them."""

from chat_svc.providers import Image
from svckit.errors import InvalidArgument

MOST_BYTES = 5_000_000
MOST_IMAGES = 8


def read_image(data: bytes, *, field: str) -> Image:
    """The image; raises InvalidArgument that names the field when it is none that models take."""
    if len(data) > MOST_BYTES:
        raise InvalidArgument.of(field, f"must have at most {MOST_BYTES} bytes", reason="IMAGE_TOO_LARGE")
    media_type = _media_type(data)
    if media_type is None:
        raise InvalidArgument.of(field, "must be a PNG, JPEG or WebP image", reason="IMAGE_UNREADABLE")
    return Image(media_type, data)


def _media_type(data: bytes) -> str | None:
    """By the signature of the format, and what must follow it."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):  # what cameras put behind the end is theirs
        return "image/jpeg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP" and data[12:15] == b"VP8":
        return "image/webp"
    return None
