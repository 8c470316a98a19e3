"""The AWS calls that Orderline makes, as types: only parameters and members that it uses.

The app imports it only while types are checked, so it costs no cold start. Every name is AWS's own:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
https://docs.aws.amazon.com/systems-manager/latest/APIReference/
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypedDict

AttributeValue = dict[str, Any]
"""A value in DynamoDB's wire format, such as {"S": "text"}."""
Item = dict[str, AttributeValue]
"""A row, or values by their placeholders."""


class Reading(TypedDict, total=False):
    """What is read of one table in a BatchGetItem."""

    Keys: list[Item]
    ConsistentRead: bool
    ProjectionExpression: str
    ExpressionAttributeNames: dict[str, str]


class GetItemResult(TypedDict, total=False):
    """The row; absent if there is none."""

    Item: Item


class UpdateItemResult(TypedDict):
    """The row as it is now."""

    Attributes: Item


class _Page(TypedDict):
    Items: list[Item]
    Count: int


class QueryResult(_Page, total=False):
    """A page of an index: with Select=COUNT without its items."""

    LastEvaluatedKey: Item


class BatchGetItemResult(TypedDict):
    """The rows by table, and what was not read."""

    Responses: dict[str, list[Item]]
    UnprocessedKeys: dict[str, Reading]


class GetQueueUrlResult(TypedDict):
    """The URL of a queue."""

    QueueUrl: str


class GetQueueAttributesResult(TypedDict):
    """The attributes that were asked for, by name."""

    Attributes: dict[str, str]


class Parameter(TypedDict):
    """A parameter of SSM."""

    Value: str


class GetParameterResult(TypedDict):
    """The parameter that was asked for."""

    Parameter: Parameter


class _PutOfTransaction(TypedDict):
    TableName: str
    Item: Item
    ConditionExpression: str


class _UpdateOfTransaction(TypedDict):
    TableName: str
    Key: Item
    UpdateExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: Item


class _DeleteOfTransaction(TypedDict):
    TableName: str
    Key: Item
    ConditionExpression: str


class TransactItem(TypedDict, total=False):
    """One write of a transaction: it has one of these members."""

    Put: _PutOfTransaction
    Update: _UpdateOfTransaction
    Delete: _DeleteOfTransaction


class DynamoDB(Protocol):
    """The client of the tables."""

    def get_item(
        self,
        *,
        TableName: str,
        Key: Item,
        ConsistentRead: bool = ...,
        ProjectionExpression: str = ...,
    ) -> GetItemResult: ...

    def put_item(
        self,
        *,
        TableName: str,
        Item: Item,
        ConditionExpression: str,
        ExpressionAttributeValues: Item = ...,
        ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD"] = ...,
    ) -> object: ...

    def update_item(
        self,
        *,
        TableName: str,
        Key: Item,
        UpdateExpression: str,
        ConditionExpression: str,
        ExpressionAttributeNames: dict[str, str],
        ExpressionAttributeValues: Item,
        ReturnValues: Literal["ALL_NEW"],
        ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD"],
    ) -> UpdateItemResult: ...

    def query(
        self,
        *,
        TableName: str,
        IndexName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Item,
        ScanIndexForward: bool = ...,
        Limit: int = ...,
        Select: Literal["COUNT"] = ...,
        ExclusiveStartKey: Item = ...,
    ) -> QueryResult: ...

    def batch_get_item(self, *, RequestItems: dict[str, Reading]) -> BatchGetItemResult: ...

    def transact_write_items(self, *, TransactItems: list[TransactItem]) -> object: ...


class MessageAttribute(TypedDict):
    """An attribute of a message."""

    DataType: Literal["String"]
    StringValue: str


class _Message(TypedDict):
    MessageBody: str
    MessageGroupId: str


class Content(_Message, total=False):
    """A message; not every one has the last two members."""

    DelaySeconds: int
    MessageAttributes: dict[str, MessageAttribute]


class Entry(Content):
    """A message of a batch; its id is only for the answer."""

    Id: str


class SendFailure(TypedDict):
    """A message of a batch that was not sent."""

    Id: str
    Code: str


class SendMessageBatchResult(TypedDict, total=False):
    """The messages that were not sent."""

    Failed: list[SendFailure]


class SQS(Protocol):
    """The client of the queue."""

    def send_message(
        self,
        *,
        QueueUrl: str,
        MessageBody: str,
        MessageGroupId: str,
        DelaySeconds: int = ...,
        MessageAttributes: dict[str, MessageAttribute] = ...,
    ) -> object: ...

    def send_message_batch(
        self, *, QueueUrl: str, Entries: list[Entry]
    ) -> SendMessageBatchResult: ...

    def change_message_visibility(
        self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int
    ) -> object: ...

    def get_queue_attributes(
        self, *, QueueUrl: str, AttributeNames: list[str]
    ) -> GetQueueAttributesResult: ...

    def get_queue_url(self, *, QueueName: str) -> GetQueueUrlResult: ...


class SSM(Protocol):
    """The client of the Parameter Store."""

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> GetParameterResult: ...
