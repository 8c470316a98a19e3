"""Where a delivery may go: which URLs and which addresses."""

from __future__ import annotations

import pytest

from chalicelib.webhooks import targets
from chalicelib.webhooks.targets import Target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://shop.example", Target("shop.example", 443, "/", False)),
        ("https://Shop.Example:443/a/b?c=%20d", Target("shop.example", 443, "/a/b?c=%20d", False)),
        ("https://xn--strae-oqa.example/", Target("xn--strae-oqa.example", 443, "/", False)),
        ("https://1.a1.example/", Target("1.a1.example", 443, "/", False)),
    ],
)
def test_an_https_url_of_a_name_is_allowed(url: str, target: Target) -> None:
    assert targets.parse(url, allow_local=False) == target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://shop.example/", "must begin with https://"),
        ("ftp://shop.example/", "must begin with https://"),
        ("//shop.example/", "must begin with https://"),
        ("http://127.0.0.1:9000/", "must begin with https://"),
        ("http://localhost:9000/", "must begin with https://"),
        ("https://shop.example:8443/", "port must be 443"),
        ("https://shop.example:0/", "port must be 443"),
        ("https://shop.example:x/", "port must be a number"),
        ("https://shop.example:70000/", "port must be a number"),
        ("https://me@shop.example/", "user name"),
        ("https://me:secret@shop.example/", "user name"),
        ("https://@shop.example/", "user name"),
        ("https://shop.example/#top", "fragment"),
        ("https://127.0.0.1/", "not an IP address"),
        ("https://[::1]/", "not an IP address"),
        ("https://[::ffff:10.0.0.1]/", "not an IP address"),
        ("https://2130706433/", "not an IP address"),
        ("https://0x7f.1/", "not an IP address"),
        ("https://127.0x1/", "not an IP address"),
        ("https://017700000001/", "not an IP address"),
        ("https://shop.example./", "not the name of a host"),
        ("https://shop..example/", "not the name of a host"),
        ("https://-shop.example/", "not the name of a host"),
        ("https://shop_1.example/", "not the name of a host"),
        ("https:///path", "not the name of a host"),
        (f"https://{'a' * 64}.example/", "not the name of a host"),
        (f"https://{'a.' * 130}example/", "not the name of a host"),
        ("https://straße.example/", "must be ASCII"),
        ("https://shop.example/a b", "must be ASCII"),
        ("https://shop.example/\r\nX-Header: 1", "must be ASCII"),
        ("https://shop.ex\tample/", "must be ASCII"),
        ("https://shop.example\\@127.0.0.1/", "must be ASCII"),
        ("https://shop.example/" + "a" * 2000, "at most 2000"),
    ],
)
def test_any_other_url_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        targets.parse(url, allow_local=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_a_laptop_a_receiver_on_this_machine_is_allowed(host: str) -> None:
    target = targets.parse(f"http://{host}:9000/hooks", allow_local=True)

    assert target == Target("127.0.0.1", 9000, "/hooks", True)
    assert target.netloc == "127.0.0.1:9000"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.2:9000/", "http://[::1]:9000/", "http://shop.example/", "http://10.0.0.1/"],
)
def test_on_a_laptop_no_other_plain_http_is_allowed(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with https://, or http://127"):
        targets.parse(url, allow_local=True)


@pytest.mark.parametrize(
    ("variables", "on_laptop"),
    [
        ({}, False),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, True),
        ({"AWS_ENDPOINT_URL": "http://localhost:4566", "AWS_LAMBDA_FUNCTION_NAME": "w"}, True),
        ({"AWS_ENDPOINT_URL": "https://vpce-1.dynamodb.us-east-1.vpce.amazonaws.com"}, False),
        ({"AWS_LAMBDA_FUNCTION_NAME": "orderline-dev-hooks"}, False),
    ],
)
def test_a_laptop_is_where_the_cloud_itself_is_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], on_laptop: bool
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("ACCESS", "token")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert targets.on_laptop() == on_laptop


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"]
)
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert targets.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",  # metadata of EC2
        "169.254.170.2",  # credentials of containers
        "192.0.0.1",
        "192.0.0.192",
        "192.88.99.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
        "64:ff9b:1::a9fe:a9fe",
        "100::1",
        "2001::1",  # Teredo
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",  # metadata of EC2
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_any_other_address_is_not_public(address: str) -> None:
    assert not targets.is_public(address)
