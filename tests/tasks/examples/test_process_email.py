"""process_email on messages of real mail programs, on other texts, and on mutations of them."""

# ruff: noqa: RUF001  # real mail has dashes, quotes and alphabets that look alike

from __future__ import annotations

import base64
import random
import re
import time
import tracemalloc
from typing import Any

import pytest

from chalicelib.execution.signature import as_json
from chalicelib.tasks import File
from chalicelib.tasks.examples.process_email import Email, NotAMessage, process_email
from chalicelib.tasks.examples.process_email.parts import MAX_MIME_HEADER, Parser
from testkit import Cloud

GMAIL = """\
MIME-Version: 1.0
Date: Tue, 14 May 2024 09:12:33 +0200
Message-ID: <CAKx9f=7Qm1-2a@mail.gmail.com>
Subject: =?UTF-8?Q?Angebot_f=C3=BCr_das_Sommerfest_=E2=80=93_bitte_bis_Freitag_pr?=
 =?UTF-8?Q?=C3=BCfen?=
From: =?UTF-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen.mueller@gmail.com>
To: "Weber, Anna" <anna.weber@example.com>, Bob <bob@example.org>
Cc: buero@example.com
Content-Type: multipart/mixed; boundary="0000000000009d2f5b0618646a1b"

--0000000000009d2f5b0618646a1b
Content-Type: multipart/alternative; boundary="0000000000009d2f580618646a19"

--0000000000009d2f580618646a19
Content-Type: text/plain; charset="UTF-8"
Content-Transfer-Encoding: quoted-printable

Hallo Anna,

anbei das Angebot f=C3=BCr 120 Portionen Nuggets =E2=80=93 macht zusammen 5=
40 =E2=82=AC.

Gr=C3=BC=C3=9Fe
J=C3=BCrgen

--0000000000009d2f580618646a19
Content-Type: text/html; charset="UTF-8"
Content-Transfer-Encoding: quoted-printable

<div dir=3D"ltr">Hallo Anna,<div><br></div><div>anbei das <b>Angebot</b></div></div>

--0000000000009d2f580618646a19--
--0000000000009d2f5b0618646a1b
Content-Type: application/pdf; name="Angebot.pdf"
Content-Disposition: attachment; filename="Angebot.pdf"
Content-Transfer-Encoding: base64
X-Attachment-Id: f_lw5x3k2q0

JVBERi0xLjcKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRv
Ymo=
--0000000000009d2f5b0618646a1b--
"""

OUTLOOK = """\
From: "Martin, Chlo\xe9" <chloe.martin@contoso.example>
To: =?Windows-1252?Q?Ren=E9_Lef=E8vre?= <rene@contoso.example>
Subject: =?Windows-1252?Q?R=E9union_=96_=93budget=94_2024?=
Thread-Topic: budget
Date: Mon, 4 Mar 2024 16:45:00 +0000
Content-Language: fr-FR
Content-Type: multipart/related;
\tboundary="_004_AM0PR04MB5121_";
\ttype="text/plain"
MIME-Version: 1.0

--_004_AM0PR04MB5121_
Content-Type: text/plain; charset="Windows-1252"
Content-Transfer-Encoding: quoted-printable

Bonjour Ren=E9,

L=92offre de 1 200 =80 est =93valid=E9e=94=85

Chlo=E9

--_004_AM0PR04MB5121_
Content-Type: image/png; name="image001.png"
Content-Description: image001.png
Content-Disposition: inline; filename="image001.png"; size=8;
\tcreation-date="Mon, 04 Mar 2024 16:45:00 GMT"
Content-ID: <image001.png@01DA6E51.3F0A2B50>
Content-Transfer-Encoding: base64

iVBORw0KGgo=

--_004_AM0PR04MB5121_--
""".replace("\n", "\r\n")

NEWSLETTER = """\
From: "Kaffee & Co." <news@kaffee.example>
To: undisclosed-recipients:;
Subject: 20% off
Date: Fri, 01 Dec 2023 06:00:00 -0800 (PST)
List-Unsubscribe: <https://kaffee.example/u/1>
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd=
">
<html><head><title>Hidden</title><style type=3D"text/css">p { color: red }</style>
<script>if (a < b) track("</p>");</script></head>
<body><!-- preheader --><table><tr><td><h1>Winter&nbsp;sale</h1></td></tr>
<tr><td><p>Caf=C3=A9 beans &amp; <b>filters</b>,<br/>20&#37; off.</p><ul><li>Arabica</li><li>Robusta</li></ul>
<p><a href=3D"https://kaffee.example/shop">Shop now</a></p></td></tr></table></body></html>
"""  # noqa: E501 (as the program sent it)

BOUNCE = """\
Return-Path: <>
Received: by mx.example.net (Postfix) id 4TlqYk3Wz7z9; Sat, 10 Feb 2024 11:02:06 +0100 (CET)
Date: Sat, 10 Feb 2024 11:02:06 +0100 (CET)
From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: shop@example.net
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4TlqYj6Jp1z7.1707559326/mx.example.net"
Message-Id: <20240210100206.4TlqYk3Wz7z9@mx.example.net>

This is a MIME-encapsulated message.

--4TlqYj6Jp1z7.1707559326/mx.example.net
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.net.

<nobody@example.com>: host mail.example.com said: 550 5.1.1 User unknown

--4TlqYj6Jp1z7.1707559326/mx.example.net
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; nobody@example.com
Action: failed
Status: 5.1.1

--4TlqYj6Jp1z7.1707559326/mx.example.net
Content-Description: Undelivered Message
Content-Type: message/rfc822

Subject: Your order
From: shop@example.net
To: nobody@example.com

Thank you.

--4TlqYj6Jp1z7.1707559326/mx.example.net--
"""

GITHUB = """\
Date: Wed, 17 Jan 2024 08:30:12 -0800
From: octocat <notifications@github.com>
Reply-To: acme/orderline <reply+AAAA@reply.github.com>
To: acme/orderline <orderline@noreply.github.com>
Cc: Subscribed <subscribed@noreply.github.com>
Message-ID: <acme/orderline/issues/42/1896@github.com>
In-Reply-To: <acme/orderline/issues/42@github.com>
Subject: Re: [acme/orderline] Orders stay PENDING when the queue is purged
 (Issue #42)
Mime-Version: 1.0
Content-Type: multipart/alternative;
 boundary="--==_mimepart_65a801d4b6f1_1b2c3d4e";
 charset=UTF-8
Content-Transfer-Encoding: 7bit
X-GitHub-Reason: subscribed

----==_mimepart_65a801d4b6f1_1b2c3d4e
Content-Type: text/plain;
 charset=UTF-8
Content-Transfer-Encoding: 7bit

The sweeper picks them up after two minutes.

--\x20
Reply\x20to this email directly or view it on GitHub:
https://github.com/acme/orderline/issues/42#issuecomment-1896
----==_mimepart_65a801d4b6f1_1b2c3d4e
Content-Type: text/html;
 charset=UTF-8
Content-Transfer-Encoding: 7bit

<p dir="auto">The sweeper picks them up after two minutes.</p>
----==_mimepart_65a801d4b6f1_1b2c3d4e--
"""

ENCLOSED = (
    "From: Carol <carol@example.org>\nSubject: =?utf-8?q?Caf=C3=A9?=\n\n"
    "Original text, \u201cquoted\u201d.\n"
)
FORWARDED = f"""\
From: Dan <dan@example.org>
To: support@example.com
Subject: Fwd: =?utf-8?q?Caf=C3=A9?=
Date: Thu, 6 Jun 2024 12:00:00 GMT
Content-Type: multipart/mixed; boundary=sep

--sep
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: 8bit

See below \u2013 thanks.
--sep
Content-Type: message/rfc822; name="Café.eml"
Content-Disposition: attachment; filename*0*=UTF-8''Caf%C3%A9%20; filename*1="old.eml"
Content-Transfer-Encoding: 8bit

{ENCLOSED}
--sep--
"""

JAPANESE = (
    "From: =?ISO-2022-JP?B?GyRCOzNFRBsoQiAbJEJCQE86GyhC?= <taro@example.jp>\n"
    "Subject: =?ISO-2022-JP?B?"
    + base64.b64encode("会議の議事録について".encode("iso2022_jp")).decode()
    + "?=\n"
    "Date: Mon, 1 Apr 2024 10:00:00 +0900\nMIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=ISO-2022-JP\n"
    "Content-Transfer-Encoding: 7bit\n\n"
    + "山田です。\nお世話になっております。\n".encode("iso2022_jp").decode("ascii")
)

RUSSIAN = (
    "From: ivan@example.ru\nContent-Type: text/plain; charset=koi8-r\n"
    "Content-Transfer-Encoding: 8bit\n\nПривет, мир!"
)

OBSOLETE = """\
From  : John Doe <jdoe@machine(comment).  example>
To    : Mary Smith
\x20\x20
          <mary@example.net>
Subject     : Saying Hello
Date  : Fri, 21 Nov 1997 09(comment):   55  :  06 -0600
Message-ID  : <1234   @   local(blah)  .machine .example>

This is a message just to say hello.
So, "Hello".
"""

QUOTED = "Content-Transfer-Encoding: quoted-printable"
SAMPLES = [GMAIL, OUTLOOK, NEWSLETTER, BOUNCE, GITHUB, FORWARDED, JAPANESE, RUSSIAN, OBSOLETE]


PDF = "JVBERi0xLjcKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRvYmo="


def plain(text: str, *headers: str) -> str:
    return "\n".join(["From: a@example.org", *headers, "", text])


def process_bytes(octets: bytes) -> Email:
    return process_email(base64.encodebytes(octets).decode(), encoding="base64")


def mixed(*parts: str) -> str:
    return plain(
        "".join(f"--b\n{part}\n" for part in parts) + "--b--\n",
        "Content-Type: multipart/mixed; boundary=b",
    )


def checked(email: Any) -> bytes:
    """Return the result's JSON, which must be UTF-8 and at most 64 KiB."""
    octets = as_json(email).encode()
    assert len(octets) <= 65536
    return octets


def listed(email: Email) -> list[tuple[str, str, int]]:
    return [(file.name, file.type, file.size) for file in email["attachments"]]


def test_a_gmail_message_with_an_attachment() -> None:
    assert process_email(GMAIL) == {
        "from": [{"name": "Jürgen Müller", "address": "juergen.mueller@gmail.com"}],
        "to": [
            {"name": "Weber, Anna", "address": "anna.weber@example.com"},
            {"name": "Bob", "address": "bob@example.org"},
        ],
        "cc": [{"name": "", "address": "buero@example.com"}],
        "subject": "Angebot für das Sommerfest – bitte bis Freitag prüfen",
        "date": "2024-05-14T07:12:33Z",
        "text": "Hallo Anna,\n\nanbei das Angebot für 120 Portionen Nuggets – macht zusammen 540 €."
        "\n\nGrüße\nJürgen",
        "truncated": False,
        "attachments": [
            File.of(base64.b64decode(PDF), "Angebot.pdf", "application/pdf"),
        ],
    }


def test_an_outlook_message_with_an_inline_picture() -> None:
    email = process_email(OUTLOOK)
    assert email["from"] == [{"name": "Martin, Chloé", "address": "chloe.martin@contoso.example"}]
    assert email["to"] == [{"name": "René Lefèvre", "address": "rene@contoso.example"}]
    assert email["subject"] == "Réunion – “budget” 2024"
    assert email["text"] == "Bonjour René,\n\nL’offre de 1 200 € est “validée”…\n\nChloé"
    assert listed(email) == [("image001.png", "image/png", 8)]


def test_a_newsletter_of_html_only() -> None:
    email = process_email(NEWSLETTER)
    assert (
        email["text"]
        == "Winter sale\n\nCafé beans & filters,\n20% off.\n\nArabica\nRobusta\n\nShop now"
    )
    assert (email["to"], email["attachments"], email["date"]) == ([], [], "2023-12-01T14:00:00Z")


def test_a_bounce() -> None:
    email = process_email(BOUNCE)
    assert email["from"] == [
        {"name": "Mail Delivery System", "address": "MAILER-DAEMON@mx.example.net"}
    ]
    assert email["text"].endswith("550 5.1.1 User unknown")
    assert "MIME-encapsulated" not in email["text"]
    status = BOUNCE[
        BOUNCE.index("Reporting-MTA") : BOUNCE.index("\n--4Tlq", BOUNCE.index("Reporting-MTA"))
    ]
    enclosed = BOUNCE[BOUNCE.index("Subject: Your") : BOUNCE.rindex("\n--4Tlq")]
    assert listed(email) == [
        ("", "message/delivery-status", len(status)),
        ("", "message/rfc822", len(enclosed)),
    ]


def test_a_github_notification() -> None:
    email = process_email(GITHUB)
    assert email["from"] == [{"name": "octocat", "address": "notifications@github.com"}]
    assert (
        email["subject"]
        == "Re: [acme/orderline] Orders stay PENDING when the queue is purged (Issue #42)"
    )
    assert email["text"].startswith("The sweeper picks them up after two minutes.\n\n-- \nReply")
    assert email["attachments"] == []


def test_a_forwarded_message_is_an_attachment() -> None:
    email = process_email(FORWARDED)
    assert email["text"] == "See below – thanks."
    [enclosed] = email["attachments"]
    assert (enclosed.name, enclosed.type) == ("Café old.eml", "message/rfc822")
    assert enclosed.read() == ENCLOSED.encode()


def test_a_japanese_message() -> None:
    email = process_email(JAPANESE)
    assert email["from"] == [{"name": "山田 太郎", "address": "taro@example.jp"}]
    assert email["subject"] == "会議の議事録について"
    assert email["text"] == "山田です。\nお世話になっております。"
    assert email["date"] == "2024-04-01T01:00:00Z"


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("koi8-r", "Привет, мир!"),
        ("iso-8859-1", "Grüße, José"),
        ("windows-1252", "“25 €”"),
        ("shift_jis", "ご注文①"),
        ("gb2312", "您好朱镕基"),
        ("utf-8", "żółw 🐢"),
        ("utf-16", "żółw"),
        ("iso-2022-jp", "会議"),
    ],
)
@pytest.mark.parametrize("transfer", ["8bit", "base64", "quoted-printable"])
def test_bytes_are_decoded_by_their_charset(charset: str, text: str, transfer: str) -> None:
    wider = {"shift_jis": "cp932", "gb2312": "gbk"}.get(charset, charset)
    octets = text.encode(wider)
    if transfer == "quoted-printable":
        octets = "".join(f"={octet:02X}" for octet in octets).encode()
    if transfer == "base64":
        octets = base64.encodebytes(octets)
    headers = plain(
        "", f"Content-Type: text/plain; charset={charset}", f"Content-Transfer-Encoding: {transfer}"
    )
    assert process_bytes(headers.encode() + octets)["text"] == text


def test_text_that_is_decoded_already_is_not_decoded_again() -> None:
    assert process_email(RUSSIAN)["text"] == "Привет, мир!"
    raw = process_email('From: "Žofie Ň." <žofie@příklad.example>\nSubject: Účet č. 7\n\nDěkuji.')
    assert raw["from"] == [{"name": "Žofie Ň.", "address": "žofie@příklad.example"}]
    assert (raw["subject"], raw["text"]) == ("Účet č. 7", "Děkuji.")


def test_raw_latin_1_in_a_header_is_read() -> None:
    email = process_bytes("From: René <rene@example.fr>\nSubject: Été\n\nx".encode("latin-1"))
    assert email["subject"] == "Été"


def test_characters_cut_in_two_between_encoded_words_are_joined() -> None:
    octets = "ありがとう".encode()
    words = " ".join(
        f"=?UTF-8?B?{base64.b64encode(half).decode()}?=" for half in (octets[:7], octets[7:])
    )
    email = process_email(f"From: {words} <a@example.jp>\nSubject: {words}\n\nx")
    assert (email["subject"], email["from"][0]["name"]) == ("ありがとう", "ありがとう")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("=?utf-8?Q?Doe=2C_Jane_=28HR=29?= <jane@x.org>", [("Doe, Jane (HR)", "jane@x.org")]),
        ('"=?utf-8?Q?J=C3=B6rg?=" <j@x.org>', [("Jörg", "j@x.org")]),
        (
            'Team: a@x.org, "B, C" <b@x.org>;, c@x.org',
            [("", "a@x.org"), ("B, C", "b@x.org"), ("", "c@x.org")],
        ),
        ("a@x.org; b@x.org,, ,c@x.org", [("", "a@x.org"), ("", "b@x.org"), ("", "c@x.org")]),
        (r'"Jim \"Jimbo\" <3" <jim@x.org>', [('Jim "Jimbo" <3', "jim@x.org")]),
        ('=?utf-8?Q?Doe,_"J."_<HR>?= <jane@x.org>', [('Doe, "J." <HR>', "jane@x.org")]),
        ("[bot] build <ci@x.org>", [("[bot] build", "ci@x.org")]),
        ("root (Cron Daemon)", [("Cron Daemon", "root")]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        ("Jane Doe", [("Jane Doe", "")]),
        ("Jane\n\tDoe\n <jane@x.org>", [("Jane Doe", "jane@x.org")]),
        ("jane@x.org (Jane, of (the) sales)", [("Jane, of (the) sales", "jane@x.org")]),
        ("Jane (HR <jane@x.org>, b@x.org", [("Jane (HR", "jane@x.org"), ("", "b@x.org")]),
        ("Jane (HR) <jane@x.org> (away)", [("Jane (HR)", "jane@x.org")]),
        ("<jane@x.org> (Jane)", [("Jane", "jane@x.org")]),
        ('"jane . doe"@x.org', [("", '"jane . doe"@x.org')]),
        ("a@[IPv6:2001:db8::1], mailto:b@x.org", [("", "a@[IPv6:2001:db8::1]"), ("", "b@x.org")]),
        # RFC 5322, appendices A.1.3, A.5, A.6.1 and A.6.3
        (
            'Joe Q. Public <john.q.public@example.com>, "Giant; \\"Big\\" Box" '
            "<sysservices@example.net>",
            [
                ("Joe Q. Public", "john.q.public@example.com"),
                ('Giant; "Big" Box', "sysservices@example.net"),
            ],
        ),
        (
            "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
            [("Ed Jones", "c@a.test"), ("", "joe@where.test"), ("John", "jdoe@one.test")],
        ),
        (
            r"Pete(A nice \) chap) <pete(his account)@silly.test(his host)>",
            [("Pete(A nice ) chap)", "pete@silly.test")],
        ),
        (
            "A Group(Some people)\n     :Chris Jones <c@(Chris's host.)public.example>,\n"
            "         joe@example.org,\n"
            "  John <jdoe@one.test> (my dear friend); (the end of the group)",
            [
                ("Chris Jones", "c@public.example"),
                ("", "joe@example.org"),
                ("John", "jdoe@one.test"),
            ],
        ),
        ("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", []),
        (
            "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
            [("Mary Smith", "mary@example.net"), ("", "jdoe@test.example")],
        ),
        ("John Doe <jdoe@machine(comment).  example>", [("John Doe", "jdoe@machine.example")]),
        ("undisclosed-recipients:;", []),
        ("<>", []),
    ],
)
def test_addresses_are_read(header: str, expected: list[tuple[str, str]]) -> None:
    email = process_email(f"To: {header}\nSubject: x\n\nx")
    assert [(to["name"], to["address"]) for to in email["to"]] == expected


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        ("=?iso-8859-1*de?Q?Gr=FC=DFe?= an  =?UTF-8?b?4oKs?=", "Grüße an €"),
        ("=?utf-8?Q?Ready??=", "Ready?"),
        ("=?gb2312?B?0KE=?=", "小"),  # its bytes are UTF-8 as well
        ("=?x-klingon?Q?na=C3=AFve?=", "naïve"),
        ("=?utf-8?B?A?=", "=?utf-8?B?A?="),
        ("=?utf-8?B?é?= x", "x"),
        ("=?utf-8?Q?unclosed", "=?utf-8?Q?unclosed"),
        ("=?utf-8?Q?open\n =?utf-8?Q?=", "=?utf-8?Q?open =?utf-8?Q?="),
        ("folded\n\there", "folded here"),
    ],
)
def test_subjects_are_decoded(words: str, subject: str) -> None:
    assert process_email(f"Subject: {words}\n\nx")["subject"] == subject


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename*=iso-8859-1''r%E9sum%E9.pdf", "résumé.pdf"),
        (
            "attachment;\n filename*0*=UTF-8''%E5%A0%B1;\n filename*1*=%E5%91%8A;\n"
            " filename*2=.pdf",
            "報告.pdf",
        ),
        ('attachment; filename="=?UTF-8?B?5aCx5ZGKLnBkZg==?="', "報告.pdf"),
        ('attachment; filename="café.pdf"', "café.pdf"),
        ('attachment; filename="two; parts.pdf"', "two; parts.pdf"),
        ("attachment; filename*=no-such-charset''a.pdf", "a.pdf"),
        ("attachment; filename*9" + "9" * 5000 + "*=x", ""),
        ("attachment; filename*=utf-8''a.pdf; filename*0=b.pdf", ""),
        ("inline; filename=shown.txt", "shown.txt"),
        ("attachment", ""),
    ],
)
def test_names_of_attachments_are_decoded(disposition: str, name: str) -> None:
    email = process_email(
        mixed(f"Content-Type: text/plain\nContent-Disposition: {disposition}\n\nabc")
    )
    assert listed(email) == [(name, "text/plain", 3)]


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Mon, 1 Jan 2024 00:30:00 +0100", "2023-12-31T23:30:00Z"),
        ("Mon, 1 Jan 99 00:30:00 EST", "1999-01-01T05:30:00Z"),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Mon, 32 Jan 2024 00:30:00 +0100", None),
        ("Mon, 1 Jan 2024 00:30:00 +99999999999999", None),
        ("Mon, 1 Jan 2024 00:30:00 (night (in New York)) -0400", "2024-01-01T04:30:00Z"),
        (
            "Thu,\n      13\n        Feb\n          1969\n      23:32\n"
            "               -0330 (Newfoundland Time)",
            "1969-02-14T03:02:00Z",
        ),
        ("21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z"),
        ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T15:55:06Z"),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates_are_converted_to_utc(date: str, expected: str | None) -> None:
    assert process_email(plain("x", f"Date: {date}"))["date"] == expected


def test_a_message_without_a_date_has_none() -> None:
    assert process_email(plain("x"))["date"] is None


def test_a_date_without_a_zone_is_utc_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert (
            process_email(plain("x", "Date: 1 Jan 2024 00:30 -0000"))["date"]
            == "2024-01-01T00:30:00Z"
        )
    time.tzset()


def test_an_mbox_line_and_blank_lines_before_the_headers_are_skipped() -> None:
    mbox = (
        "\ufeff\n\nFrom jane@example.org Thu Jun  6 12:00:00 2024\n"
        "From: jane@example.org\nSubject: Hi\n\nFrom here"
    )
    email = process_email(mbox)
    assert (email["subject"], email["text"]) == ("Hi", "From here")


def test_the_obsolete_message_of_rfc_5322() -> None:
    email = process_email(OBSOLETE)
    assert email["from"] == [{"name": "John Doe", "address": "jdoe@machine.example"}]
    assert email["to"] == [{"name": "Mary Smith", "address": "mary@example.net"}]
    assert (email["subject"], email["date"]) == ("Saying Hello", "1997-11-21T15:55:06Z")
    assert email["text"] == 'This is a message just to say hello.\nSo, "Hello".'


@pytest.mark.parametrize(
    "stray", ["a line without a colon\n", "one\n \ttwo\nthree\n", ": no name\n", "é\n"]
)
def test_a_stray_line_between_headers_is_skipped(stray: str) -> None:
    email = process_email(f"From: a@x.org\n{stray}Subject: kept\n{stray}Cc: b@x.org\n\nThe text.")
    assert email["from"] == [{"name": "", "address": "a@x.org"}]
    assert email["cc"] == [{"name": "", "address": "b@x.org"}]
    assert (email["subject"], email["text"]) == ("kept", "The text.")


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("Dear Bob,\nbring it.\n\nYours", "Dear Bob,\nbring it.\n\nYours"),
        (
            "Content-Type: multipart/mixed; boundary=b\n--b\n"
            "Content-Type: text/plain\n\nshown\n--b--",
            "shown",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nno headers\nhere: either\n--b--",
            "no headers\nhere: either",
        ),
    ],
)
def test_a_body_without_a_blank_line_before_it_is_found(rest: str, text: str) -> None:
    assert process_email(f"From: a@x.org\n{rest}")["text"] == text


@pytest.mark.parametrize("sample", [GMAIL, NEWSLETTER, GITHUB, JAPANESE, OBSOLETE])
def test_crlf_and_lf_give_the_same_result(sample: str) -> None:
    assert process_email(sample.replace("\n", "\r\n")) == process_email(sample)


def test_several_texts_are_joined_and_html_replaces_an_empty_one() -> None:
    email = process_email(
        mixed("\nfirst", "Content-Type: image/gif\n\nGIF", "Content-Type: text/html\n\n<i>second")
    )
    assert (email["text"], len(email["attachments"])) == ("first\n\nsecond", 1)
    blank = process_email(
        mixed("\n \n", "Content-Type: text/html\n\n<p>shown").replace("mixed", "alternative")
    )
    assert blank["text"] == "shown"
    late = process_email(
        mixed("Content-Type: text/html\n\n<p>rich", "\nplain").replace("mixed", "alternative")
    )
    assert late["text"] == "plain"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<div>b</div><div>c</div><p>d</p><p>e", "a\nb\nc\n\nd\n\ne"),
        ("a<br>b<br/>c<br><br>d", "a\nb\nc\n\nd"),
        ("<title>no</title>1 &lt; 2 &eacute; &#xD800;", "1 < 2 é \ufffd"),
        ("a<p>b", "a\n\nb"),
        ("read<![if broken", "read<![if broken"),
        ("<td>a</td><td>b</td> <td> c   \n d", "a b c d"),
        ("open <b <i <u", "open <b <i <u"),
        ("a<!-- > -->b<!-->c<!--->d", "abcd"),
        ("a<!-- <p>b", "a"),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert process_email(plain(html, "Content-Type: text/html"))["text"] == text


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        (["Content-Type: text/plain; charset=x-klingon"], "naïve", "naïve"),
        ([QUOTED, "Content-Type: text/plain; charset=x-klingon"], "na=EFve", "na\ufffdve"),
        ([QUOTED, "Content-Type: text/plain; charset=utf-8"], "na=EFve=", "na\ufffdve"),
        ([QUOTED], "na=EFve =XY", "naïve =XY"),
        ([QUOTED], "na=C3=AFve", "naïve"),
        (["Content-Transfer-Encoding: base64"], "SGVsbG8gd29ybGQ", "Hello world"),
        (["Content-Transfer-Encoding: base64"], "SGVs*bG8gd2\n9yb", "Hello wor"),
        (["Content-Transfer-Encoding: base64"], "SGVsbG8sd", "Hello,"),
        (["Content-Transfer-Encoding: base64"], "é!", ""),
        (["Content-Transfer-Encoding: x-uuencode"], "begin 644 a.txt\n#0V%T\n`\nend\n", "Cat"),
        (
            ["Content-Transfer-Encoding: x-uuencode"],
            "begin 644 a.txt\n#0\xff!%T",
            "begin 644 a.txt\n#0\xff!%T",
        ),
        (["Content-Transfer-Encoding: rot13"], "uryyb", "uryyb"),
        (["Content-Type: text/plain; charset=utf-7"], "+2AA-lone", "?lone"),
        (["Content-Type: multipart/mixed"], "no boundary\n--\nJane", "no boundary\n--\nJane"),
        (
            ['Content-Type: multipart/mixed; boundary="=_(1)+b?"'],
            "--=_(1)+b?\n\npart\n--=_(1)+b?--\nepilogue",
            "part",
        ),
        (["Content-Type: multipart/mixed; boundary=b"], "no parts", "no parts"),
        (["Content-Type: multipart/mixed; boundary=b"], "--b\n\nnever closed", "never closed"),
        (["Content-Type: nonsense"], "shown", "shown"),
        ([], "", ""),
    ],
)
def test_a_broken_body_is_read_as_far_as_possible(headers: list[str], body: str, text: str) -> None:
    assert process_email(plain(body, *headers))["text"] == text


def test_broken_markup_leaves_the_text_before_it() -> None:
    assert process_email(plain("read <![no[such]]> tail", "Content-Type: text/html"))[
        "text"
    ].startswith("read")


@pytest.mark.parametrize("line", ["(MPMMBHM;M°", "`", "M", "\x7f\x80", ""])
def test_broken_uuencode_is_not_an_error(line: str) -> None:
    checked(
        process_email(
            plain(f'begin 644 a.txt\n{line}\n"7M\nend', "Content-Transfer-Encoding: x-uuencode")
        )
    )


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (
            "Content-Type: text/plain; name=body.txt\n"
            "Content-Disposition: inline; filename=body.txt",
            True,
        ),
        ("Content-Type: text/plain; name=body.txt", True),
        ("Content-Type: text/plain\nContent-Disposition: attachment; filename=body.txt", False),
    ],
)
def test_a_text_with_a_file_name_is_text_unless_it_is_an_attachment(part: str, shown: bool) -> None:
    for email in (
        process_email(f"From: a@x.org\n{part}\n\nHello."),
        process_email(mixed(f"{part}\n\nHello.")),
    ):
        assert email["text"] == ("Hello." if shown else "")
        assert listed(email) == [("body.txt", "text/plain", 6)]


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ("Sender: s@x.org", "s@x.org"),
        ("Resent-From: r@x.org", "r@x.org"),
        ("Resent-From: r@x.org\nSender: s@x.org", "s@x.org"),
        ("Sender: s@x.org\nFrom: a@x.org", "a@x.org"),
        ("From:\nSender: s@x.org", "s@x.org"),
    ],
)
def test_the_sender_replaces_a_missing_from(headers: str, address: str) -> None:
    assert process_email(f"{headers}\n\nx")["from"] == [{"name": "", "address": address}]


@pytest.mark.parametrize(
    "header", ["From", "To", "Cc", "Subject", "Date", "Message-ID", "received"]
)
def test_one_known_header_makes_a_message(header: str) -> None:
    assert process_email(f"X-Mailer: none\n{header}: x")["text"] == ""


def test_lone_surrogates_become_question_marks() -> None:
    assert (
        checked(process_email("From: a@example.org\nSubject: \ud83d!\n\n\udc00")).count(b"?") == 2
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \r\n\t", "is empty"),
        (
            "Dear customer, your order is on its way. It arrives on Monday: be at home.",
            "must begin with header lines",
        ),
        (
            "Remember: a paragraph may begin so.\n\nIt is no header of an email.",
            "must begin with header lines",
        ),
        ('{"from": "a@example.org", "subject": "x"}', "must begin with header lines"),
        ("<html><body>Subject: x</body></html>", "must begin with header lines"),
        ("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", "must begin with header lines"),
        (
            "HTTP/1.1 200 OK\r\nDate: Mon, 1 Jan 2024 00:00:00 GMT\r\n\r\n",
            "must begin with header lines",
        ),
    ],
)
def test_a_text_that_is_not_a_message_is_refused(text: str, reason: str) -> None:
    with pytest.raises(
        NotAMessage, match=rf"{reason}.*: send an email's whole source, headers first\.$"
    ):
        process_email(text)


@pytest.mark.parametrize("message", ["", "no headers", "\x89PNG\r\n\x1a\n\x00\x00"])
def test_a_text_that_is_not_a_message_fails_at_its_first_attempt(
    cloud: Cloud, message: str
) -> None:
    order = cloud.place("process_email", {"message": message})

    cloud.drain()

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["attempts"]) == ("FAILED", 1)
    assert "send an email's whole source" in failed["error"]["message"]


@pytest.mark.parametrize("text", ["From: a@example.org\n\nx", "Zm9v!", "Zm9", "\ud800", "é"])
def test_invalid_base64_is_refused(text: str) -> None:
    with pytest.raises(
        NotAMessage, match='not valid base64: encode its bytes, or set `encoding` to "text"'
    ):
        process_email(text, encoding="base64")


def test_long_text_is_cut() -> None:
    email = process_email(plain("x" * 32_768))
    assert (len(email["text"]), email["truncated"]) == (32_768, False)
    email = process_email(plain("x" * 32_769))
    assert (len(email["text"]), email["truncated"]) == (32_768, True)
    email = process_email(plain("\x01🐢" * 10_000))
    assert email["truncated"]
    assert 40_000 < len(checked(email)) < 42_000


def test_long_lists_and_names_are_cut() -> None:
    recipients = ", ".join(f"p{n}@example.org" for n in range(150))
    files = [f'Content-Type: {"x" * 300}/png; name="{n}{"n" * 300}"\n\n' for n in range(5)]
    files += ["Content-Type: image/png\n\n"] * 150
    email = process_email(f"To: {recipients}\nSubject: {'s' * 1000}\n{mixed(*files)}")
    assert (len(email["to"]), len(email["subject"]), len(email["attachments"])) == (100, 998, 100)
    lengths = [(len(name), type) for name, type, _ in listed(email)[:6]]
    assert lengths == [(255, "application/octet-stream")] * 5 + [(0, "image/png")]
    assert email["truncated"]


def test_a_result_with_every_member_at_its_limit_fits() -> None:
    turtles = "🐢" * 300
    control = "\x01"
    crowd = ", ".join([f'"{turtles}" <{control * 400}@example.org>'] * 10)
    files = [f'Content-Type: {"x" * 300}/y; name="{turtles}"\n\n'] * 50
    head = "".join(f"{name}: {crowd}\n" for name in ("From", "To", "Cc"))
    email = process_email(
        f"{head}Subject: {control * 2000}\n{mixed(chr(10) + control * 40_000, *files)}"
    )
    assert len(checked(email)) > 60_000
    assert all(
        [
            email["from"],
            email["to"],
            email["cc"],
            email["subject"],
            email["text"],
            email["attachments"],
        ]
    )


@pytest.mark.parametrize(
    "nested",
    [
        "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(1500)),
        "Content-Type: message/rfc822\n\n" * 2000,
    ],
)
def test_deep_nesting_is_not_an_error(nested: str) -> None:
    checked(process_email("From: a@example.org\n" + nested))


@pytest.mark.parametrize("header", ["Content-Type: text/plain", "Content-Disposition: attachment"])
def test_a_long_header_is_cut_before_its_parameters_are_read(header: str) -> None:
    # Python's reader would take 10 s for the whole of it
    entity = Parser(f'{header}; name="{";" * 60_000}"\n\nx').parsed()
    assert [len(value) for value in entity.values()] == [MAX_MIME_HEADER]


@pytest.mark.parametrize(
    "unit", ['"', "(", "<", ",", '\\"', "a ", ":", "=?a?q?", "=?a?q?x?= ", "[", ";", "\r", "((a)"]
)
@pytest.mark.parametrize("header", ["To", "Subject", "Date", "Content-Type", "Content-Disposition"])
def test_a_header_of_60_kb_is_not_an_error(header: str, unit: str) -> None:
    checked(process_email(plain("x", f"{header}: {unit * (60_000 // len(unit))}")))


@pytest.mark.parametrize(
    "unit", ["<!--", "<![", "<a ", '<a b="', "&#", "</", "<p>", "<td>", "--b\n", "=\n"]
)
def test_a_body_of_60_kb_is_not_an_error(unit: str) -> None:
    body = unit * (60_000 // len(unit))
    checked(process_email(plain(body, "Content-Type: text/html", QUOTED)))
    checked(process_email(plain(body, "Content-Type: multipart/mixed; boundary=b")))


CHARSETS = [
    "utf-7",
    "utf-16",
    "idna",
    "punycode",
    "undefined",
    "unicode_escape",
    "hex",
    "zlib",
    "a\0b",
    "é",
    "*",
]
DEBRIS = [
    "\n",
    "\r",
    "\n\n",
    "\0",
    "\ud800",
    "é",
    "=",
    "?=",
    "=?",
    ";",
    ":",
    ",",
    '"',
    "<",
    ">",
    "(",
    "--",
    "*0*=",
    "''",
    "base64",
    "x-uuencode",
    "multipart/alternative",
    "message/rfc822",
    "text/html",
    "charset=",
    *CHARSETS,
]


def mutated(text: str, chance: random.Random) -> str:
    """Return the text with a few cuts, swaps and insertions, and at times one charset for all."""
    for _ in range(chance.randint(1, 12)):
        start, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        end = min(end, start + chance.choice([0, 1, 5, 80]))
        debris = chance.choice([*DEBRIS, text[end : end + 40], chr(chance.randrange(0x110000))])
        text = text[:start] + debris * chance.choice([0, 1, 1, 3]) + text[end:]
    return (
        re.sub(r"(?i)charset=[^\n;]*", f"charset={chance.choice(CHARSETS)}", text)
        if chance.random() < 0.3
        else text
    )


@pytest.mark.parametrize("seed", range(300))
def test_a_mutated_message_is_read_or_refused(seed: int) -> None:
    text = mutated(SAMPLES[seed % len(SAMPLES)], random.Random(seed))
    octets = base64.b64encode(
        text.encode("utf-16" if seed % 7 == 0 else "utf-8", "replace")
    ).decode()
    for message, encoding in ((text, "text"), (octets, "base64")):
        try:
            checked(process_email(message, encoding))  # type: ignore[arg-type]
        except NotAMessage as error:
            assert str(error)  # noqa: PT017


BYTES = bytes(range(256))
PICTURE = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(1_000_000)
CONTRACT = b"%PDF-1.7\r\n" + random.Random(2).randbytes(500_000)


def part(type: str, name: str, encoding: str, content: bytes) -> bytes:
    head = (
        f'Content-Type: {type}; name="{name}"\r\nContent-Disposition: attachment\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + content


def eml(*parts: bytes, boundary: bytes = b"=_b") -> bytes:
    head = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\n"
    head += b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n' % boundary
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts)
    return head + body + b"--%s--\r\n" % boundary


def test_a_whole_eml_file_and_its_attachments_come_through_the_cloud(cloud: Cloud) -> None:
    message = eml(
        b"Content-Type: text/plain; charset=latin-1\r\n\r\nGr\xfc\xdfe",
        part("image/png", "caf\xe9.png", "base64", base64.encodebytes(PICTURE)),
        part("application/pdf", "contract.pdf", "base64", base64.b64encode(CONTRACT)),
        part("application/x-empty", "nothing.txt", "7bit", b""),
    )
    assert len(message) > 2_000_000
    file_id = cloud.upload(message, "message/rfc822")

    order = cloud.place("process_email", {"message": {"file": file_id, "name": "mail.eml"}})
    cloud.drain()

    ended = cloud.get(order["id"])
    assert ended["status"] == "SUCCESS"
    email = ended["result"]
    assert (email["subject"], email["text"], email["truncated"]) == ("Café", "Grüße", False)
    picture, contract, nothing = email["attachments"]
    assert (picture["name"], picture["type"]) == ("café.png", "image/png")
    assert cloud.download(picture["file"]) == PICTURE
    assert cloud.download(contract["file"]) == CONTRACT
    assert (nothing["size"], cloud.download(nothing["file"])) == (0, b"")


def test_the_attachments_of_a_text_are_stored(cloud: Cloud) -> None:
    order = cloud.place("process_email", {"message": GMAIL})
    cloud.drain()

    [attachment] = cloud.get(order["id"])["result"]["attachments"]
    assert cloud.download(attachment["file"]) == base64.b64decode(PDF)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("base64", base64.encodebytes),
        ("quoted-printable", lambda octets: b"".join(b"=%02X" % octet for octet in octets)),
        ("8bit", bytes),
        ("binary", bytes),
    ],
)
@pytest.mark.parametrize("content", [BYTES, b"", b"\r\n", b"\n", b"--=_b", b"x\r\n--=_bb\r\n\r\n"])
def test_attached_bytes_stay_the_same(encoding: str, encode: Any, content: bytes) -> None:
    if encoding != "base64" and content == b"--=_b":
        content = b"x--=_b"  # at the start of a line it would be a boundary
    message = eml(part("x/y", "a.bin", encoding, encode(content)))

    [attachment] = process_email(File.of(message))["attachments"]

    assert attachment.read() == content


def test_an_invalid_type_with_a_name_that_states_another_is_not_an_error() -> None:
    """Python takes the name for a URL, which states its type."""
    part = (
        "Content-Type: im(age/png\n"
        'Content-Disposition: attachment; filename="data:a b/c,d.png"\n\nx'
    )

    email = process_email(mixed(part))

    assert listed(email) == [("data:a b/c,d.png", "application/octet-stream", 1)]


def test_a_file_is_read_as_it_is_whatever_the_encoding() -> None:
    octets = "From: a@example.org\nSubject: Été\n\nGrüße".encode("latin-1")

    for email in (process_email(File.of(octets)), process_email(File.of(octets), "base64")):
        assert (email["subject"], email["text"]) == ("Été", "Grüße")


def test_a_forwarded_message_and_an_inline_picture_are_stored_as_they_are() -> None:
    inner = eml(part("x/y", "inner.bin", "base64", base64.b64encode(BYTES)), boundary=b"inner")
    picture = b'Content-Type: image/png\r\nContent-Disposition: inline; filename="a.png"\r\n\r\nPNG'
    message = eml(b"Content-Type: message/rfc822\r\n\r\n" + inner, picture)

    forwarded, inline = process_email(File.of(message))["attachments"]

    assert (forwarded.read(), inline.read()) == (inner, b"PNG")
    assert process_email(forwarded)["attachments"][0].read() == BYTES


def test_attachments_over_the_limit_are_not_stored(cloud: Cloud) -> None:
    parts = [part("x/y", f"{number}.bin", "8bit", b"%d" % number) for number in range(150)]

    order = cloud.place("process_email", {"message": {"file": cloud.upload(eml(*parts))}})
    cloud.drain()

    email = cloud.get(order["id"])["result"]
    stored = cloud.s3.list_objects_v2(Bucket="orderline-dev-files")["KeyCount"]
    assert (len(email["attachments"]), email["truncated"]) == (100, True)
    assert stored == len(email["attachments"]) + 1  # and the message


@pytest.mark.parametrize(
    "unit", ["<p>", "<!--", "--b\n", "--b\n\n", "x--b\n", "a:b\n", "x\n", "\r", "=41"]
)
@pytest.mark.parametrize("type", ["text/html", "multipart/mixed; boundary=b"])
def test_a_message_of_2_mb_is_cut_to_its_limits(unit: str, type: str) -> None:
    body = unit * (2_000_000 // len(unit))
    email = process_email(File.of(plain(f"{body}>", f"Content-Type: {type}", QUOTED).encode()))
    assert checked(email)
    assert email["truncated"]


def test_a_long_text_is_cut_between_two_characters() -> None:
    head = plain("", "Content-Type: text/html; charset=utf-8").encode()
    for shift in range(4):
        html = b"<p>" + b"x" * shift + b"<!--" + b"y" * 520_000 + b"-->" + "🐢".encode() * 2000
        text = process_email(File.of(head + html))["text"]
        assert re.fullmatch("x*🐢+", text)


@pytest.mark.parametrize(("attachments", "copies"), [(2, 2.6), (1, 4.2)])
def test_20_mb_are_read_with_bounded_memory(attachments: int, copies: float) -> None:
    size = 14_000_000 // attachments
    attachment = base64.encodebytes(random.Random(3).randbytes(size))
    message = File.of(eml(*[part("x/y", "a.bin", "base64", attachment)] * attachments))
    assert message.size > 18_000_000

    tracemalloc.start()
    email = process_email(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [file.size for file in email["attachments"]] == [size] * attachments
    assert peak < copies * message.size
