"""The views of files: a client uploads and downloads at S3, by requests that are signed here."""

from __future__ import annotations

import msgspec

from chalicelib import config, files
from chalicelib.auth import READ, WRITE
from chalicelib.errors import NotFound
from chalicelib.execution.file import is_file_id, is_media_type
from chalicelib.web import bodies, parameters
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.new_order import json_body
from chalicelib.web.operations import Answer, api
from chalicelib.web.problems import Problem
from chalicelib.web.times import time_text

MAX_BODY = 4096  # bytes


@api.operation(
    "POST /files",
    scope=WRITE,
    body=bodies.NewFile,
    answers={200: Answer("How to upload the file, unless it is stored", bodies.FileUpload)},
    problems=(
        "invalid-parameter",
        "invalid-json",
        "too-large",
        "unsupported-media-type",
        "invalid-file",
    ),
)
def upload_file(request: Request, owner: str) -> Response:
    """Get a URL to upload a file."""
    file = _new_file(request)
    signed = files.upload(owner, file.sha256, file.size, file.type)
    upload = None
    if signed:
        upload = bodies.Upload("PUT", signed.url, signed.headers, time_text(signed.expires_at))
    return json_response(200, bodies.FileUpload(file.sha256, upload))


@api.operation(
    "GET /files/{sha256}",
    scope=READ,
    parameters=(parameters.FILE_ID, parameters.NAME, parameters.ACCEPT),
    answers={
        303: Answer("The file is at the URL in Location", bodies.FileDownload, ("Location",)),
        200: Answer("The same without a redirect, if Accept names JSON", bodies.FileDownload),
    },
    problems=("invalid-parameter", "not-found"),
)
def download_file(request: Request, owner: str) -> Response:
    """Get a URL to download a file."""
    file_id = request.params["sha256"].lower()
    name = parameters.single(request, "name") or ""
    stored = files.find(owner, file_id) if is_file_id(file_id) else None
    if stored is None:
        raise NotFound("No file of yours has this SHA-256: it expired or was never uploaded.")
    signed = files.download(owner, file_id, stored, name[:255])
    body = bodies.FileDownload(
        file_id, stored.size, stored.type, signed.url, time_text(signed.expires_at)
    )
    # A page's script can neither read a redirect nor follow it without its token
    if "application/json" in request.headers.get("accept", "").lower():
        return json_response(200, body)
    return json_response(303, body, {"Location": signed.url})


def _new_file(request: Request) -> bodies.NewFile:
    """Return the file that a request describes. Raises Problem."""
    try:
        file = msgspec.convert(json_body(request, MAX_BODY), bodies.NewFile)
    except msgspec.ValidationError as error:
        raise Problem("invalid-file", f'Send {{"sha256", "size", "type"}}: {error}.') from None
    max_bytes = config.settings().max_file_bytes
    if file.size > max_bytes:
        raise Problem(
            "invalid-file",
            f"The file has {file.size} bytes; the maximum is {max_bytes}"
            " (the setting MAX_FILE_BYTES).",
        )
    if not is_media_type(file.type):
        raise Problem("invalid-file", f"{file.type!r} is not a media type, such as image/png.")
    return file
