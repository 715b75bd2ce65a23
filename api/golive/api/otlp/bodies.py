"""The bytes of a request: how they are encoded, and what they are once inflated."""

import zlib
from typing import Final

from starlette.requests import ClientDisconnect, Request

from golive.api.limits import Limits, media_type_of
from golive.api.problems import Problem

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_GZIP: Final = 31
"""zlib's window of 32 KiB, with gzip's header and trailer."""
_MEMBERS_MAX: Final = 100
"""A sender makes one; after each the rest of the body is copied."""


def media_type(request: Request) -> str:
    """Return the media type of the body; raises a 415 `Problem` unless it is one of OTLP's."""
    given = media_type_of(request)
    if given not in (PROTOBUF, JSON):
        raise Problem(415, "No OTLP", f"Send it with Content-Type: {PROTOBUF} or {JSON}.")
    return given


def is_compressed(request: Request) -> bool:
    """Return whether the body is gzip; raises a 415 `Problem` if it is encoded in another way."""
    given = request.headers.get("content-encoding", "").strip().lower()
    if given not in ("", "identity", "gzip", "x-gzip"):
        detail = "Send it with Content-Encoding: gzip, or with none."
        raise Problem(415, "An unknown content encoding", detail, {"Accept-Encoding": "gzip"})
    return given.endswith("gzip")


async def received(request: Request, limits: Limits) -> bytes:
    """Return the body as it was sent; raises a `Problem`: 408, 413, or 400 if the sender hung up."""
    try:
        return await limits.bound_size(request).body()
    except ClientDisconnect:
        raise Problem(400, "The body ended too early") from None


def inflated(body: bytes, limits: Limits) -> bytes:
    """Return what was compressed; raises a `Problem`: 413 if it is over a body's bound, 400 if damaged."""
    found: list[bytes] = []
    room = limits.max_body_bytes + 1
    try:
        while body:
            if len(found) == _MEMBERS_MAX:
                raise Problem(400, "The body is damaged", f"It has more than {_MEMBERS_MAX} gzip members.")
            member = zlib.decompressobj(_GZIP)
            found.append(member.decompress(body, room))
            room -= len(found[-1])
            if room <= 0:
                raise limits.too_large()
            if not member.eof:
                raise Problem(400, "The body is damaged", "It ends within its gzip data.")
            body = member.unused_data
    except zlib.error:
        raise Problem(400, "The body is damaged", "It is no gzip data.") from None
    return b"".join(found)
