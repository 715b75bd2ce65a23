"""Optimistic concurrency: the version a change was decided on, by `If-Match` or in the body."""

from typing import Annotated

from fastapi import Header, Response

from golive.api.problems import Problem

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description='The `ETag` of what was read, as `"3"`; `*` for any.'),
]


def seen_version(if_match: str | None, in_body: int | None) -> int | None:
    """Return the version the client saw; None where it said `*`.

    Raises:
        Problem: 428 if it said none, 412 if what it said is no version.
    """
    if if_match is None:
        if in_body is None:
            raise Problem(
                428,
                "A version is required",
                "Read first, and send the ETag as If-Match, or the version in the body.",
            )
        return in_body
    if if_match.strip() == "*":
        return in_body
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > 10:
        raise Problem(412, "The version does not match", "If-Match is no ETag of this resource.")
    if in_body is not None and in_body != int(text):
        raise Problem(412, "The version does not match", "If-Match and the body name different versions.")
    return int(text)


def show_version(response: Response, version: int) -> None:
    """Put the version into the headers of an answer no cache may keep."""
    response.headers["ETag"] = f'"{version}"'
    response.headers["Cache-Control"] = "no-store"
