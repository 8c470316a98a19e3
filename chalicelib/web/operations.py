"""Operations: a method of a route, its view, and everything that describes it.

`@api.operation(...)` on a view declares it once. The handler in app.py, the check of the access
token and of the query, /openapi.json and /docs are made from this declaration.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from chalicelib import auth, logs
from chalicelib.web import headers, parameters, problems
from chalicelib.web.http import Request, Response
from chalicelib.web.parameters import Parameter

View = Callable[[Request, str], Response]
# Operations that few requests ask for, and the modules that declare them. In Lambda these are
# imported when they are first needed, since each import makes every cold start longer
LATE = {
    "POST /orders/bulk": "bulk_views",
    "POST /orders/cancel": "bulk_views",
    "POST /files": "file_views",
    "GET /files/{sha256}": "file_views",
    "GET /board": "board",
    "GET /board/{file}": "board",
    "GET /operator": "operator_page",
    "GET /operator/{file}": "operator_page",
    "GET /operator/overview": "operator_views",
    "GET /operator/failures": "operator_views",
    "GET /operator/durations": "operator_views",
    "GET /operator/orders/{owner}/{order_id}": "operator_views",
    "POST /operator/retry": "operator_views",
    "POST /operator/cancel": "operator_views",
}


class Answer(Struct, frozen=True):
    """A successful status of an operation.

    body        the type of its JSON body; None: it has none
    headers     its headers besides those of every response
    text_types  the content types of a body that is not JSON
    """

    description: str
    body: Any = None
    headers: tuple[str, ...] = ()
    text_types: tuple[str, ...] = ()


class Operation(Struct, frozen=True):
    """A method of a route. `Api.operation` describes the fields."""

    method: str
    path: str
    view: View
    scope: str | None
    answers: dict[int, Answer]
    problems: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    body: Any

    @property
    def id(self) -> str:
        """The view's name, which generated clients use."""
        return self.view.__name__

    @property
    def summary(self) -> str:
        """The first line of the view's docstring."""
        return (self.view.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def all_problems(self) -> tuple[str, ...]:
        """The problem types of this operation, those of every route included."""
        any_route = ("too-many-requests", "internal")
        if not self.scope:
            return (*self.problems, *any_route)
        access = ("unauthorized", "invalid-token", "insufficient-scope")
        aws = ("unreadable-order", "unavailable")  # a token's check needs AWS too
        return (*access, *self.problems, *any_route, *aws)


class Api(dict[str, Operation]):
    """The operations by route, such as `GET /orders`."""

    def operation(
        self,
        route: str,
        scope: str | None,
        answers: dict[int, Answer],
        problems: tuple[str, ...] = (),
        parameters: tuple[Parameter, ...] = (),
        body: Any = None,
    ) -> Callable[[View], View]:
        """Declare a view: its name is the operation's id, its docstring's first line the summary.

        Args:
            route: method and path, such as `GET /orders/{order_id}`
            scope: what the access token must allow; None: the route is public, its owner is ""
            answers: the successful statuses
            problems: the problem types besides those of every route; with `invalid-parameter` an
                unknown query parameter is rejected, without it it is ignored
            parameters: of the path, the query and the headers
            body: the type of the request's JSON body; None: the body is ignored
        """
        method, path = route.split()

        def declare(view: View) -> View:
            self[route] = Operation(method, path, view, scope, answers, problems, parameters, body)
            return view

        return declare

    def find(self, route: str) -> Operation | None:
        """Return the operation of a route, or None."""
        if route not in self and route in LATE:
            importlib.import_module(f"chalicelib.web.{LATE[route]}")
        return self.get(route)

    def load(self) -> None:
        """Import the modules of all operations."""
        for route in LATE:
            self.find(route)


api = Api()


@functools.cache
def methods() -> Mapping[str, list[str]]:
    """Return the methods of each path of the API, OPTIONS included."""
    paths: dict[str, list[str]] = {}
    for route in {**api, **LATE}:
        method, path = route.split()
        paths.setdefault(path, []).append(method)
    return {path: [*those, "OPTIONS"] for path, those in paths.items()}


def handle(operation: Operation, request: Request) -> Response:
    """Authenticate the request, call its view, and turn an error into a problem response."""
    with logs.bound(request=request.id):
        try:
            owner = _owner(operation, request)
            with logs.bound(owner=logs.hashed(owner)):
                if "invalid-parameter" in operation.problems:
                    parameters.check_query(request, operation.parameters)
                response = operation.view(request, owner)
        except Exception as error:
            response = problems.response(error, request)
    return headers.with_default_headers(response, request)


def _owner(operation: Operation, request: Request) -> str:
    """Return the owner that a request acts for; empty on a public route."""
    if operation.scope is None:
        return ""
    token = auth.authenticate(request.headers.get("authorization"), operation.scope)
    if operation.scope == auth.ADMIN:  # a trace of who sees or changes others' orders
        subject = request.params.get("owner")
        logs.event(
            "operator_request",
            token=token.id,
            operation=operation.id,
            of=logs.hashed(subject) if subject else None,
            order=request.params.get("order_id"),
        )
    return token.owner
