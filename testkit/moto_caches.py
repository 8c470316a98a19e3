"""Let moto and botocore compute once what they would compute again for each request.

Most of the tests' time went there. No answer changes: what is cached depends on its arguments only,
and nobody changes it. What our services never get, such as a form, is not looked for.
"""

from __future__ import annotations

import copy
import functools
import pickle
import string
import sys
from collections import deque
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from botocore import useragent
from botocore.awsrequest import AWSPreparedRequest
from moto import backend_index
from moto.core import utils
from moto.core.responses import BaseResponse
from moto.utilities.utils import get_partition
from requests.structures import CaseInsensitiveDict

# mypy allows no assignment to a method
serialize: Any = import_module("moto.core.serialize")
expressions: Any = import_module("moto.dynamodb.parsing.expressions")
validators: Any = import_module("moto.dynamodb.parsing.validators")
nodes: Any = import_module("moto.dynamodb.parsing.ast_nodes")
conditions: Any = import_module("moto.dynamodb.comparisons")
botocore_stubber: Any = import_module("moto.core.botocore_stubber")
moto_random: Any = import_module("moto.moto_api._internal.moto_random")

OUR_SERVICES = ("dynamodb", "s3", "sqs")


def install() -> None:
    """Cache the functions, and let moto look for our services first."""
    _cache(utils.camelcase_to_underscores)
    _cache(utils.method_names_from_class)
    _cache(useragent.sanitize_user_agent_string_component)
    backend_index.backend_url_patterns.sort(key=lambda entry: entry[0] not in OUR_SERVICES)
    serialize.XFormedAttributePicker.get_possible_keys = _possible_keys
    # moto works on copies of a parsed expression
    parser = expressions.UpdateExpressionParser
    parser.make = functools.cache(parser.make)
    # Both checks look at all parts of an expression, so they need not go through the parts
    counts = validators.ActionCountValidator
    counts.traverse = counts.verify_action_counts
    overlaps = validators.OverlappingPathsValidator
    overlaps.traverse = overlaps.check_for_overlapping_paths
    nodes.DepthFirstTraverser.traverse_node_recursively = _visit
    validators.deepcopy = _copied
    conditions.ConditionExpressionParser._lex_condition_expression = _tokens
    serialize.ResponseSerializer._serialize_type_structure = _serialize_structure
    botocore_stubber.BotocoreStubber.process_request = _answer
    moto_random.MotoRandom.get_random_string = _random_string


def _cache(function: Callable[..., Any]) -> None:
    """Replace a function in each loaded module that has it; others will import the new one."""
    cached = functools.cache(function)
    theirs = [sys.modules[name] for name in sys.modules if name.startswith(("botocore.", "moto."))]
    for module in theirs:
        if vars(module).get(function.__name__) is function:
            setattr(module, function.__name__, cached)


_uncached_keys = serialize.XFormedAttributePicker.get_possible_keys
_keys: dict[Any, list[str]] = {}


def _possible_keys(picker: Any, context: Any) -> list[str]:
    """Return the names by which moto looks for a member of a response."""
    known = (type(context.obj), context.key, context.shape)
    if known not in _keys:
        _keys[known] = list(_uncached_keys(picker, context))
    return _keys[known]


# isinstance takes long for moto's nodes, whose classes are abstract
_is_subclass: Callable[[type, Any], bool] = functools.cache(issubclass)
_kinds: dict[type, Any] = {}


def _visit(traverser: Any, node: Any, child_id: int = -1) -> Any:
    """Process a node of an update expression after its children, as moto does."""
    parent = node.parent
    for n, child in enumerate(node.children or ()):
        traverser.pre_processing_of_child(node, n)
        if _is_subclass(type(child), nodes.Node):
            _visit(traverser, child, n)
    kind = type(traverser)
    if kind not in _kinds:
        _kinds[kind] = traverser.nodes_to_be_processed()
    if _is_subclass(type(node), _kinds[kind]):
        node = traverser.process(node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node


_pickled: dict[int, tuple[Any, bytes]] = {}


def _copied(value: Any) -> Any:
    """Return a deep copy, quicker of an expression: each is parsed once, so it is one object."""
    if type(value) is not nodes.UpdateExpression:
        return copy.deepcopy(value)
    if id(value) not in _pickled:
        _pickled[id(value)] = value, pickle.dumps(value)
    return pickle.loads(_pickled[id(value)][1])


_uncached_tokens = conditions.ConditionExpressionParser._lex_condition_expression
_tokens_of: dict[str, Any] = {}


def _tokens(parser: Any) -> Any:
    """Return the tokens of a condition, which moto takes from the queue as it parses."""
    text = parser.condition_expression
    if text not in _tokens_of:
        _tokens_of[text] = tuple(_uncached_tokens(parser))
    return deque(_tokens_of[text])


_serialize_any_structure = serialize.ResponseSerializer._serialize_type_structure


def _serialize_structure(
    serializer: Any, serialized: Any, value: Any, shape: Any, key: str
) -> None:
    """Serialize a structure: a text or a number of DynamoDB as it is."""
    is_plain = shape.name == "AttributeValue" and type(value) is dict and len(value) == 1
    if key and is_plain and ("S" in value or "N" in value):
        serializer._default_serialize(serialized, value, shape, key)
    else:
        _serialize_any_structure(serializer, serialized, value, shape, key)


_answer_any = botocore_stubber.BotocoreStubber.process_request
_RESPONSES: dict[str, type[BaseResponse]] = {
    "DynamoDB_20120810": import_module("moto.dynamodb.responses").DynamoHandler,
    "AmazonSQS": import_module("moto.sqs.responses").SQSResponse,
}


def _answer(stub: Any, request: AWSPreparedRequest) -> Any:
    """Answer a request, one of JSON at once: moto looks for forms, files and queries first."""
    headers = CaseInsensitiveDict(
        (name, value.decode() if isinstance(value, bytes) else value)
        for name, value in request.headers.items()
    )
    response_of = _RESPONSES.get(headers.get("x-amz-target", "").partition(".")[0])
    if response_of is None or ".amazonaws.com/" not in request.url:
        return _answer_any(stub, request)
    response: Any = response_of()
    parts = urlsplit(request.url)
    response.headers, response.querystring = headers, {}
    response.uri, response.path, response.uri_match = request.url, parts.path, {}
    response.response_headers = {"server": "amazon.com"}
    normalized = SimpleNamespace(
        content_type=headers.get("content-type"),
        headers=headers,
        method=request.method,
        data=request.body,
        values={},
        path=parts.path,
    )
    response.region = response.get_region_from_url(normalized, request.url)
    response.partition = get_partition(response.region)
    response.access_key = response.get_access_key()
    response.current_account = response.get_current_account()
    response.parse_parameters(normalized)
    return response.call_action()


def _random_string(
    dice: Any, length: int = 20, include_digits: bool = True, lower_case: bool = False
) -> str:
    """Return random characters, all drawn at once."""
    pool = string.ascii_letters + (string.digits if include_digits else "")
    text = "".join(dice.choices(pool, k=length))
    return text.lower() if lower_case else text
