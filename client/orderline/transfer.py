"""Send files to S3 and get them, by signed URLs. Those requests never carry the access token."""

from __future__ import annotations

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import IO, Any, TypeAlias

from orderline.calls import PAUSES_S, CallError, Calls, NoRedirect, RequestRejected
from orderline.files import PIECE, FileReference, Source, label_of

TIMEOUT_S = 30  # without any progress
TRIES = 3
Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Called with a file's name, the bytes transferred, and its size."""
_open = urllib.request.build_opener(NoRedirect).open


class TransferFailed(CallError):
    """A file was not uploaded or downloaded; to repeat that is safe."""

    def __init__(self, message: str, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


def store(calls: Calls, source: Source, progress: Progress | None, pointer: str = "") -> None:
    """Upload a file, unless it is stored. Raises RequestRejected, NotReachable, TransferFailed.

    Args:
        calls: the API
        source: the file
        progress: called with the file's name, the bytes uploaded, and its size
        pointer: JSON pointer to the file in an order, for errors
    """
    file: dict[str, Any] = {"sha256": source.sha256, "size": source.size, "type": source.type}

    def attempt() -> None:
        request = calls.call("POST", "/files", file).value["upload"]
        if request is not None:
            upload(request, source, progress)

    try:
        _retried(attempt)
    except RequestRejected as error:
        if pointer:
            error.problem.setdefault("pointer", pointer)
        raise


def fetch(
    calls: Calls, file: str | FileReference, target: IO[bytes], progress: Progress | None
) -> None:
    """Write a file's bytes to a stream. Raises RequestRejected, NotReachable, TransferFailed.

    Args:
        calls: the API
        file: an id, or a file as a result names it
        target: where to write; what is there already is overwritten
        progress: called with the file's name, the bytes downloaded, and its size
    """
    reference = {"file": file} if isinstance(file, str) else file
    file_id = reference["file"]

    def attempt() -> None:
        # Its 303 is not followed: that request would carry the access token
        found = calls.call("GET", f"/files/{urllib.parse.quote(file_id, safe='')}").value
        target.seek(0)
        target.truncate()
        download(found["url"], file_id, found["size"], label_of(reference), target, progress)

    _retried(attempt)


def missing_file(error: RequestRejected) -> str:
    """Return the pointer to a file that is not stored; empty for any other problem."""
    missing = error.problem.get("type") == "/problems/file-missing"
    return str(error.problem.get("pointer", "")) if missing else ""


def _retried(attempt: Callable[[], None]) -> None:
    """Call a function until it succeeds, a few times; it gets a new URL each time."""
    for pause_s in PAUSES_S[: TRIES - 1]:
        try:
            attempt()
        except TransferFailed as error:
            if not error.again:
                raise
            time.sleep(pause_s)
        else:
            return
    attempt()


def upload(request: dict[str, Any], source: Source, progress: Progress | None) -> None:
    """Send a file with the request that the API returned. Raises TransferFailed."""
    with source.open() as stream:
        body: Any = _Body(stream, source, progress)
        signed = urllib.request.Request(
            _http(request["url"]), body, request["headers"], method=request["method"]
        )
        _send(signed, f"{label_of(source.reference)} was not uploaded").close()


def download(
    url: str, file_id: str, size: int, label: str, target: IO[bytes], progress: Progress | None
) -> None:
    """Write a file to the target, and check its bytes. Raises TransferFailed.

    Args:
        url: the signed URL
        file_id: SHA-256 that the bytes must have
        size: size in bytes
        label: name of the file in progress and errors
        target: where to write
        progress: called with the label, the bytes transferred and the size
    """
    digest = hashlib.sha256()
    failure = f"{label} was not downloaded"
    with _send(urllib.request.Request(_http(url)), failure) as response:
        while piece := _read(response, failure):
            target.write(piece)
            digest.update(piece)
            if progress:
                progress(label, target.tell(), size)
    if digest.hexdigest() != file_id:
        raise TransferFailed(
            f"{failure}: the connection ended early, or the bytes don't match its SHA-256"
        )


class _Body:
    """The body of an upload: the bytes of a file, which must still be those that were measured."""

    def __init__(self, stream: IO[bytes], source: Source, progress: Progress | None) -> None:
        self._stream = stream
        self._size = source.size
        self._label = label_of(source.reference)
        self._progress = progress
        self._sent = 0

    def read(self, size: int) -> bytes:
        left = self._size - self._sent
        piece = self._stream.read(min(PIECE, left))
        self._sent += len(piece)
        if left and not piece:
            raise TransferFailed(f"{self._label} is shorter than when it was hashed", again=False)
        if piece and self._progress:
            self._progress(self._label, self._sent, self._size)
        return piece


def _send(request: urllib.request.Request, failure: str) -> http.client.HTTPResponse:
    try:
        return _open(request, timeout=TIMEOUT_S)  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        raise _refused(error, failure) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", "") or error
        raise TransferFailed(f"{failure}: {request.host} does not answer: {reason}") from error


def _read(response: http.client.HTTPResponse | urllib.error.HTTPError, failure: str) -> bytes:
    try:
        return response.read(PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise TransferFailed(f"{failure}: {error}") from error


def _refused(error: urllib.error.HTTPError, failure: str) -> TransferFailed:
    """Return the error for S3's response, which is XML. Raises TransferFailed if it breaks off."""
    body = _read(error, failure).decode(errors="replace")
    code, message = (
        "".join(re.findall(f"<{name}>([^<]*)</{name}>", body)[:1]) for name in ("Code", "Message")
    )
    # 403: the URL has expired, so that a new one may work. RequestTimeout: the network stalled
    again = error.code >= 500 or error.code == 403 or code == "RequestTimeout"
    hint = "; it was changed meanwhile" if code == "BadDigest" else ""
    return TransferFailed(
        f"{failure}: S3 answered {error.code} {code or error.reason}: {message}{hint}", again
    )


def _http(url: str) -> str:
    """Return the URL; raise TransferFailed if it would open something else, such as a file."""
    if not url.startswith(("https://", "http://")):
        raise TransferFailed("the API returned a URL that is not https:// or http://", again=False)
    return url
