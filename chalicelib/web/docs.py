"""GET /docs: the API description as one HTML page without scripts."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from chalicelib.web.http import Response

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;"
    "padding:1rem 1rem 4rem;color:#222}\n"
    "code,pre{font:14px/1.45 ui-monospace,monospace;background:#f4f1ea}"
    "pre{padding:.8rem;overflow:auto}\n"
    "h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}h2 b{color:#a33b00}\n"
    "td{vertical-align:top;padding:.15rem 1rem .15rem 0}summary{cursor:pointer}\n"
    "@media(prefers-color-scheme:dark){body{background:#1b1a18;color:#eee}"
    "code,pre{background:#2b2925}h2 b{color:#ff9d5c}}"
)
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}';"
    " frame-ancestors 'none'",
}


def response(api: dict[str, Any]) -> Response:
    """Return the response with the page of an OpenAPI description."""
    return Response(200, page(api), dict(_HEADERS))


def page(api: dict[str, Any]) -> str:
    """Return an OpenAPI description as HTML."""
    parts = [
        f"<h1>{escape(api['info']['title'])}</h1><p>{escape(api['info']['description'])}</p>"
        f"<p>Base: <code>{escape(api['servers'][0]['url'])}</code>."
        " For programs: <a href=openapi.json>openapi.json</a>."
        " Requests need <code>Authorization: Bearer ol_...</code> unless stated otherwise.</p>"
    ]
    for path, methods in api["paths"].items():
        parts += [
            _operation(method.upper(), path, operation) for method, operation in methods.items()
        ]
    parts += [
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in api["components"]["schemas"].items()),
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{escape(api['info']['title'])}: the API</title>"
        f"<style>{_STYLE}</style>{''.join(parts)}</html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    access = operation.get("description", "No token is needed.")
    content = operation.get("requestBody", {}).get("content", {})
    body = "".join(
        f"<p>Body: {kind}, see {_link(media['schema'])}.</p>" for kind, media in content.items()
    )
    parameters = [
        (f"<code>{escape(each['name'])}</code> {each['in']}", escape(each["description"]))
        for each in operation["parameters"]
    ]
    responses = [
        (f"<code>{status}</code>", escape(response["description"]))
        for status, response in operation["responses"].items()
    ]
    return (
        f"<h2><b>{method}</b> {escape(path)}</h2>"
        f"<p>{escape(operation['summary'])}. {_code(access)}</p>{body}"
        f"{_table(parameters)}{_table(responses)}"
    )


def _table(rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr><td>{first}<td>{_code(second)}" for first, second in rows)
    return f"<table>{cells}</table>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=1, ensure_ascii=False))
    return (
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>"
        f"<pre>{text}</pre></details>"
    )


def _link(schema: dict[str, str]) -> str:
    name = escape(schema["$ref"].rpartition("/")[2])
    return f"<a href='#{name}'>{name}</a>"


def _code(text: str) -> str:
    """Turn text between backticks into code elements."""
    return "".join(
        f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(text.split("`"))
    )
