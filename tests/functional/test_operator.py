"""An operator sees and retries the orders of all owners; nobody else does."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from chalicelib import config
from chalicelib.auth import ADMIN
from chalicelib.tasks import Context, task
from chalicelib.web.times import time_text
from testkit import Cloud, Reply, Wire
from tests.functional.test_bad_input import problem_of

HOUR = 3600


@pytest.fixture(autouse=True)
def failing() -> dict[str, bool]:
    """Register two tasks, which fail until they are fixed."""
    broken = {"mail": True, "bill": True}

    @task(max_attempts=1)
    def mail(to: str = "") -> str:
        if broken["mail"]:
            raise ValueError(f"no route to {to}")
        return "sent"

    @task(max_attempts=1)
    def bill() -> str:
        if broken["bill"]:
            raise KeyError("price")
        return "billed"

    return broken


class Desk:
    """An operator's view of the kit's cloud, and owners who place orders."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.token = cloud.new_token("ops", scopes=(ADMIN,))
        self.owners = {name: cloud.new_token(name) for name in ("anna", "ben", "carl")}
        self._keys = itertools.count()

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.cloud.http(method, f"/operator/{path}", body, headers)

    def get(self, path: str) -> Any:
        reply = self.call("GET", path)
        assert reply.status == 200, reply.body
        return reply.json

    def retry(self, **body: Any) -> Any:
        reply = self.call("POST", "retry", body)
        assert reply.status == 200, reply.body
        return reply.json

    def placed(self, owner: str, name: str, input: Any = None) -> str:
        # With a key the id, by which a retry is spread, is the same in each run
        key = f"order-{next(self._keys)}"
        headers = {"Authorization": f"Bearer {self.owners[owner]}", "Idempotency-Key": key}
        reply = self.cloud.http("POST", "/orders", {"task": name, "input": input or {}}, headers)
        assert reply.status == 202, reply.body
        return str(reply.json["id"])

    def failed(self, owner: str, name: str, number: int = 1, **input: Any) -> list[str]:
        """Place orders that fail, a second apart."""
        ids = []
        for _ in range(number):
            ids.append(self.placed(owner, name, input))
            self.cloud.drain()
            self.cloud.clock.advance(1)
        return ids

    def ago(self, seconds: float) -> str:
        return time_text(self.cloud.clock() - int(seconds * 1_000_000))

    def statuses(self) -> dict[str, str]:
        return {row.id: row.status.value for row in self.cloud.rows()}


@pytest.fixture
def desk(cloud: Cloud) -> Desk:
    return Desk(cloud)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "overview"),
        ("GET", "failures"),
        ("GET", "durations"),
        ("GET", f"orders/anna/{'0' * 26}"),
        ("POST", "retry"),
        ("POST", "cancel"),
    ],
)
def test_no_other_scope_opens_the_operator_s_routes(cloud: Cloud, method: str, path: str) -> None:
    reply = cloud.http(method, f"/operator/{path}", {} if method == "POST" else None)

    problem = problem_of(reply)
    assert (reply.status, problem["scope"]) == (403, ADMIN)


def test_the_operator_s_scope_opens_no_other_route(cloud: Cloud, desk: Desk) -> None:
    headers = {"Authorization": f"Bearer {desk.token}"}

    assert cloud.http("GET", "/orders", headers=headers).status == 403


def test_failures_of_all_owners_are_listed_newest_first(desk: Desk) -> None:
    (first,) = desk.failed("anna", "mail", to="x@example.com")
    (second,) = desk.failed("ben", "bill")
    (third,) = desk.failed("carl", "mail")

    items = desk.get("failures")["items"]

    assert [(each["owner"], each["id"]) for each in items] == [
        ("carl", third),
        ("ben", second),
        ("anna", first),
    ]
    oldest = items[-1]
    assert oldest["error"]["message"] == "ValueError: no route to x@example.com"
    assert oldest["failed_at"] == oldest["updated_at"]
    assert "input" not in oldest


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("task=mail", ["carl mail", "anna mail"]),
        ("owner=ben", ["ben bill"]),
        ("task=mail&owner=ben", []),
        ("code=task_error", ["carl mail", "ben bill", "anna mail"]),
        ("code=time_limit", []),
        ("task=renamed_long_ago", []),
    ],
)
def test_failures_are_filtered(desk: Desk, query: str, expected: list[str]) -> None:
    for owner, name in (("anna", "mail"), ("ben", "bill"), ("carl", "mail")):
        desk.failed(owner, name)

    items = desk.get(f"failures?{query}")["items"]

    assert [f"{each['owner']} {each['task']}" for each in items] == expected


def test_failures_are_limited_to_a_time(desk: Desk) -> None:
    desk.failed("anna", "mail")
    desk.cloud.clock.advance(2 * HOUR)
    (late,) = desk.failed("ben", "mail")

    assert [each["id"] for each in desk.get(f"failures?since={desk.ago(HOUR)}")["items"]] == [late]
    early = desk.get(f"failures?until={desk.ago(HOUR)}")["items"]
    assert [each["owner"] for each in early] == ["anna"]
    desk.cloud.clock.advance(24 * HOUR)
    assert desk.get("failures")["items"] == []  # by default those of a day


@pytest.mark.parametrize("shards", ["1", "16"])
def test_pages_of_failures_have_each_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, shards: str
) -> None:
    monkeypatch.setenv("DUE_SHARDS", shards)
    failed = desk.failed("anna", "mail", 3) + desk.failed("ben", "bill", 4)

    seen: list[str] = []
    path = "failures?limit=2"
    while path:
        page = desk.get(path)
        assert len(page["items"]) <= 2
        seen += [each["id"] for each in page["items"]]
        path = page.get("next", "").rpartition("/operator/")[2]

    assert seen == failed[::-1]


def test_a_cursor_is_bound_to_its_filters(desk: Desk) -> None:
    desk.failed("anna", "mail", 2)
    following = desk.get("failures?limit=1&task=mail")["next"].partition("?")[2]

    reply = desk.call("GET", "failures?" + following.replace("task=mail", "task=bill"))

    assert problem_of(reply)["type"] == "/problems/invalid-cursor"


def test_an_order_that_was_retried_is_no_failure_any_more(
    desk: Desk, failing: dict[str, bool]
) -> None:
    (order_id,) = desk.failed("anna", "mail")
    failing["mail"] = False
    desk.retry(task="mail", failed_since=desk.ago(HOUR))
    desk.cloud.drain()

    assert desk.statuses() == {order_id: "SUCCESS"}
    assert desk.get("failures")["items"] == []


def test_a_retry_runs_exactly_the_failed_orders_of_a_task_in_a_time(
    desk: Desk, failing: dict[str, bool]
) -> None:
    old = desk.failed("anna", "mail")
    desk.cloud.clock.advance(3 * HOUR)
    mails = [each for owner in desk.owners for each in desk.failed(owner, "mail", 2)]
    bills = [each for owner in desk.owners for each in desk.failed(owner, "bill")]
    failing.update(mail=False, bill=False)

    answer = desk.retry(task="mail", failed_since=desk.ago(2 * HOUR))
    desk.cloud.drain()

    assert (answer["matching"], answer["retried"], answer["refused"]) == (6, 6, 0)
    assert "next" not in answer
    expected = dict.fromkeys(mails, "SUCCESS") | dict.fromkeys(old + bills, "FAILED")
    assert desk.statuses() == expected


def test_a_retry_that_is_repeated_leaves_alone_what_failed_again(desk: Desk) -> None:
    desk.failed("anna", "mail", 3)
    since = desk.ago(HOUR)
    before = desk.retry(task="mail", failed_since=since)["failed_before"]
    desk.cloud.drain()  # they all fail again

    again = desk.retry(task="mail", failed_since=since, failed_before=before)

    assert (again["matching"], again["retried"]) == (0, 0)
    assert {row.retry_round for row in desk.cloud.rows()} == {1}


def test_a_retry_of_what_will_fail_is_refused_since_it_would_never_end(desk: Desk) -> None:
    failed = desk.failed("anna", "mail", 2)
    body = {"task": "mail", "failed_since": desk.ago(HOUR), "failed_before": desk.ago(-HOUR)}

    reply = desk.call("POST", "retry", body)
    clocks_differ = desk.retry(**body | {"failed_before": desk.ago(-30)})

    assert reply.status == 422
    assert problem_of(reply)["pointer"] == "/failed_before"
    assert clocks_differ["retried"] == len(failed)


def test_a_retry_of_chosen_orders_is_safe_to_repeat_too(desk: Desk) -> None:
    chosen = [{"owner": "anna", "id": each} for each in desk.failed("anna", "mail", 2)]
    (other,) = desk.failed("ben", "mail")
    first = desk.retry(orders=chosen)
    desk.cloud.clock.advance(1)
    desk.cloud.drain()

    again = desk.retry(orders=chosen, failed_before=first["failed_before"])

    assert (first["retried"], again["retried"], again["refused"]) == (2, 0, 2)
    assert again["problems"][0]["problem"]["type"] == "/problems/not-retryable"
    assert "failed again" in again["problems"][0]["problem"]["detail"]
    rounds = {row.id: row.retry_round for row in desk.cloud.rows()}
    assert rounds == {**{each["id"]: 1 for each in chosen}, other: 0}


def test_a_retry_goes_on_page_by_page_past_what_is_refused(
    desk: Desk, failing: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = desk.failed("anna", "mail", 5)
    failing["mail"] = False
    # The second has told webhooks so often that it can't be retried
    desk.cloud.dynamodb.update_item(
        TableName=config.settings().orders_table,
        Key={"pk": {"S": f"anna#{failed[1]}"}},
        UpdateExpression="SET dependents = :many",
        ExpressionAttributeValues={":many": {"SS": [f"{n:026d}" for n in range(1001)]}},
    )
    request = {"task": "mail", "failed_since": desk.ago(HOUR), "limit": 2}
    answers: list[Any] = []
    while not answers or "next" in answers[-1]:
        answers.append(desk.retry(**request))
        request |= {
            "failed_before": answers[-1]["failed_before"],
            "after": answers[-1].get("next"),
        }
    desk.cloud.drain()

    assert [(each["retried"], each["refused"]) for each in answers] == [(1, 1), (2, 0), (1, 0)]
    assert answers[0]["problems"][0]["id"] == failed[1]
    assert sorted(desk.statuses().values()) == ["FAILED"] + ["SUCCESS"] * 4


def test_a_dry_run_counts_and_changes_nothing(desk: Desk) -> None:
    failed = desk.failed("anna", "mail", 2)
    desk.failed("ben", "bill")

    answer = desk.retry(task="mail", failed_since=desk.ago(HOUR), dry_run=True)

    assert (answer["matching"], answer["retried"], answer["more"]) == (2, 0, False)
    assert set(desk.statuses()) >= set(failed)
    assert set(desk.statuses().values()) == {"FAILED"}


def test_a_retry_is_spread_over_a_time(desk: Desk, failing: dict[str, bool]) -> None:
    desk.failed("anna", "mail", 12)
    failing["mail"] = False
    pressed = desk.cloud.clock()

    desk.retry(task="mail", failed_since=desk.ago(HOUR), over_s=600)
    ahead = sorted(((row.run_at or 0) - pressed) / 1e6 for row in desk.cloud.rows())
    desk.cloud.drain()
    early = list(desk.statuses().values()).count("SUCCESS")
    desk.cloud.clock.advance(602)
    desk.cloud.drain()

    assert ahead[0] >= 0
    assert ahead[-1] < 600
    assert len({round(each) // 60 for each in ahead}) > 5  # all over the ten minutes
    assert early == 0
    assert set(desk.statuses().values()) == {"SUCCESS"}


def test_messages_of_a_retry_are_sent_in_tens(desk: Desk, wire: Wire) -> None:
    desk.failed("anna", "mail", 12)
    desk.get("overview")  # its token is known
    wire.calls.clear()

    desk.retry(task="mail", failed_since=desk.ago(HOUR))

    assert wire.calls == [
        "Query",
        "BatchGetItem",
        *["UpdateItem"] * 10,
        "SendMessageBatch",
        *["UpdateItem"] * 2,
        "SendMessageBatch",
    ]


def test_a_retry_that_aws_interrupts_tells_where_to_go_on(
    desk: Desk, wire: Wire, failing: dict[str, bool]
) -> None:
    failed = desk.failed("anna", "mail", 3)
    failing["mail"] = False
    request = {"task": "mail", "failed_since": desk.ago(HOUR)}

    def then_break(answer: Any) -> Any:
        wire.breaks("UpdateItem")
        return answer

    wire.answers("UpdateItem", then_break)

    first = desk.retry(**request)
    rest = desk.retry(**request, failed_before=first["failed_before"], after=first["next"])
    desk.cloud.drain()

    assert (first["retried"], first["unknown"], first["refused"]) == (1, 2, 0)
    assert rest["retried"] == 2
    assert desk.statuses() == dict.fromkeys(failed, "SUCCESS")


def test_a_retry_of_which_nothing_is_known_is_503(desk: Desk, wire: Wire) -> None:
    desk.failed("anna", "mail")
    wire.breaks("UpdateItem")

    reply = desk.call("POST", "retry", {"task": "mail", "failed_since": desk.ago(HOUR)})

    assert (reply.status, problem_of(reply)["type"]) == (503, "/problems/unavailable")


@pytest.mark.parametrize(
    "query",
    [
        "failures?owner=No%20Name",
        f"failures?owner={'a' * 41}",
        f"failures?task={'t' * 101}",
        "failures?since=yesterday",
        "failures?until=",
        "failures?limit=0",
        "failures?owner=",
        "durations?owner=Anna",
        "overview?x=1",
    ],
)
def test_a_wrong_query_is_refused(desk: Desk, query: str) -> None:
    reply = desk.call("GET", query)

    assert (reply.status, problem_of(reply)["type"]) == (400, "/problems/invalid-parameter")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/task"),
        ({"task": "mail"}, "/task"),
        ({"task": "mail", "failed_since": "yesterday"}, "/failed_since"),
        ({"task": "mail", "failed_since": "2026-01-01T00:00:00Z", "limit": 0}, "/limit"),
        ({"task": "mail", "failed_since": "2026-01-01T00:00:00Z", "limit": 501}, "/limit"),
        ({"task": "mail", "failed_since": "2026-01-01T00:00:00Z", "over_s": -1}, "/over_s"),
        ({"task": "mail", "failed_since": "2026-01-01T00:00:00Z", "after": "x"}, "/after"),
        ({"task": "nope", "failed_since": "2026-01-01T00:00:00Z"}, "/task"),
        (
            {
                "orders": [{"owner": "anna", "id": "1"}],
                "failed_before": "0001-01-01T00:00:00+01:00",
            },
            "/failed_before",
        ),
        (
            {
                "orders": [{"owner": "anna", "id": "1"}],
                "failed_before": "9999-12-31T23:59:59-23:59",
            },
            "/failed_before",
        ),
        ({"orders": []}, "/orders"),
        ({"orders": [{"owner": "anna"}]}, "/orders"),
        ({"orders": [{"owner": "Anna", "id": "1"}]}, "/orders"),
        ({"orders": [{"owner": "anna", "id": "1" * 27}]}, "/orders"),
        ({"orders": [{"owner": "anna", "id": "1"}], "task": "mail"}, "/task"),
        ({"orders": [{"owner": "anna", "id": "1"}], "dry_run": True}, "/dry_run"),
        ({"task": "mail", "failed_sine": "2026-01-01T00:00:00Z"}, ""),
    ],
)
def test_a_wrong_retry_names_the_member(desk: Desk, body: Any, pointer: str) -> None:
    reply = desk.call("POST", "retry", body)

    assert reply.status == 422
    assert problem_of(reply)["pointer"] == pointer


def test_an_order_of_any_owner_is_shown_and_the_view_is_logged(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    (order_id,) = desk.failed("anna", "mail", to="x@example.com")
    capsys.readouterr()

    shown = desk.get(f"orders/anna/{order_id}?include=input,history")

    assert (shown["owner"], shown["input"]) == ("anna", {"to": "x@example.com"})
    assert [each["code"] for each in shown["history"]] == ["task_error"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["event"] == "operator_request"]
    assert line["token"] == desk.token[3:11]
    assert (line["operation"], line["order"]) == ("show_owned_order", order_id)
    assert "anna" not in json.dumps(line)


@pytest.mark.parametrize("path", ["ben/{}", "anna/" + "0" * 26, "anna/x", "%23/{}"])
def test_an_order_that_is_not_there_is_not_found(desk: Desk, path: str) -> None:
    (order_id,) = desk.failed("anna", "mail")

    assert desk.call("GET", "orders/" + path.format(order_id)).status == 404


def test_the_overview_counts_by_lane_and_task(desk: Desk) -> None:
    desk.failed("anna", "mail", 2)
    desk.cloud.clock.advance(2 * HOUR)
    desk.failed("ben", "mail")
    desk.placed("carl", "bill")
    desk.cloud.clock.advance(125)

    overview = desk.get("overview")

    (lane,) = overview["lanes"]
    assert lane == {"name": "default", "waiting": 1, "running": 0, "delayed": 0}
    assert overview["dead_letters"] == 0
    assert overview["overdue"] == {"count": 1, "more": False, "oldest_s": 5}
    tasks = {each["name"]: each for each in overview["tasks"]}
    assert (tasks["mail"]["failed_1h"], tasks["mail"]["failed_24h"]) == (1, 3)
    assert (tasks["bill"]["failed_24h"], tasks["bill"]["overdue"]) == (0, 1)
    assert not tasks["mail"]["more"]


def test_the_overview_shows_the_rest_when_a_queue_is_gone(desk: Desk) -> None:
    desk.cloud.sqs.delete_queue(QueueUrl=desk.cloud.dead_url)

    overview = desk.get("overview")

    assert overview["dead_letters"] is None
    assert overview["lanes"][0]["waiting"] == 0


def test_durations_are_those_of_the_latest_orders(cloud: Cloud, desk: Desk) -> None:
    @task
    def slow(context: Context, seconds: int) -> None:
        cloud.clock.advance(seconds)

    for seconds in (1, 2, 3, 10):
        desk.placed("anna", "slow", {"seconds": seconds})
        cloud.clock.advance(4)
        cloud.drain()
    desk.failed("anna", "mail")
    desk.placed("anna", "bill")  # has not ended

    durations = desk.get("durations?owner=anna")

    assert (durations["owner"], durations["orders"]) == ("anna", 5)
    slow_ones = next(each for each in durations["tasks"] if each["name"] == "slow")
    assert slow_ones["waiting_ms"] == {"p50": 4000, "p95": 4000}
    assert slow_ones["running_ms"] == {"p50": 2000, "p95": 10_000}
    mails = next(each for each in durations["tasks"] if each["name"] == "mail")
    assert (mails["orders"], mails["failed"]) == (1, 1)
    assert sum(each["succeeded"] for each in durations["ended"]) == 4
    assert sum(each["failed"] for each in durations["ended"]) == 1
    assert desk.get("durations")["owner"] == "ops"
    assert desk.get("durations")["since"] is None


def test_durations_leave_out_orders_that_expired(desk: Desk) -> None:
    desk.failed("anna", "mail")
    desk.cloud.clock.advance(config.settings().retention_s + 1)  # DynamoDB may delete it days later
    desk.failed("anna", "mail")

    assert desk.get("durations?owner=anna")["orders"] == 1


def test_orders_of_several_owners_are_cancelled(desk: Desk) -> None:
    anna, ben = desk.placed("anna", "mail"), desk.placed("ben", "bill")
    other = desk.placed("carl", "mail")
    wanted = [
        {"owner": owner, "id": id} for owner, id in (("anna", anna), ("ben", anna), ("ben", ben))
    ]

    reply = desk.call("POST", "cancel", {"orders": wanted})

    assert reply.status == 200, reply.body
    assert (reply.json["cancelled"], reply.json["refused"]) == (2, 1)
    assert [each["owner"] for each in reply.json["items"]] == ["anna", "ben", "ben"]
    assert desk.statuses() == {anna: "CANCELLED", ben: "CANCELLED", other: "PENDING"}
