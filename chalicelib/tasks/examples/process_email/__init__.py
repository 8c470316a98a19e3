"""Process an email: sender, recipients, subject, date, text and its attachments as files."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from chalicelib.tasks import File, limits, task

MAX_BYTES = 40_000_000  # of a message; mail servers take 25 to 35 MB


class NotAMessage(ValueError):
    """The text is not an email; the message says why and how to fix it."""


class Address(TypedDict):
    """A mailbox; its name or its address may be empty, not both."""

    name: str
    address: str


Email = TypedDict(
    "Email",
    {  # not a class, since `from` is a keyword
        "from": list[Address],
        "to": list[Address],
        "cc": list[Address],
        "subject": str,
        "date": str | None,
        "text": str,
        "truncated": bool,
        "attachments": list[File],
    },
)


@task(no_retry_on=(NotAMessage,))
def process_email(
    message: Annotated[File | str, limits(max_bytes=MAX_BYTES)],
    encoding: Literal["text", "base64"] = "text",
) -> Email:
    """Read an email: sender, recipients, subject, date, text and its attachments as files.

    `message` is the raw message, headers first: a file (.eml), whose bytes are read as they are, or
    a text. For a text only, `encoding` "base64" says that it is the base64 of the message's bytes,
    so that 8-bit text in charsets other than UTF-8 arrives intact.

    Attachments are files, inline pictures and forwarded messages. As in mail programs, a text with
    a file name is both attached and part of the email's text, unless its disposition is
    `attachment`. `truncated` is true if something was cut to its limit; attachments over the limit
    are not stored.
    """
    # The parsers of mail and HTML would make each cold start longer, also for orders of other tasks
    from chalicelib.tasks.examples.process_email.reading import read

    return read(message, encoding)
