"""Decode text by the labels of the WHATWG's standard."""

# ruff: noqa: RUF001  # alphabets that look alike

from __future__ import annotations

import pytest

from chalicelib.tasks.examples.process_email.charsets import decode

ARABIC, CHINESE, HEBREW, KOREAN, RUSSIAN, THAI = "مرحبا", "您好", "שלום", "안녕", "Привет", "สวัสดี"
# The Python codec, a text, and labels of the encoding: those of the standard that Python lacks,
# and some that it has.
LABELS = [
    ("utf-8", "żółw", "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf8 UTF-8"),
    ("utf-16-le", "żółw", "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16le"),
    ("utf-16-be", "żółw", "unicodefffe utf-16be"),
    ("iso8859-2", "żółw", "iso88592 csisolatin2"),
    ("iso8859-3", "ĝis", "iso88593"),
    ("iso8859-4", "ķēniņš", "iso88594"),
    ("iso8859-5", RUSSIAN, "iso88595"),
    ("iso8859-6", ARABIC, "csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i iso88596"),
    ("iso8859-7", "Γεια", "iso88597 sun_eu_greek"),
    (
        "iso8859-8",
        HEBREW,
        "csiso88598e csiso88598i iso-8859-8-e ISO-8859-8-I iso88598 logical visual",
    ),
    ("iso8859-10", "ŋáme", "iso885910"),
    ("iso8859-13", "ąžuolas", "iso885913"),
    ("iso8859-14", "ŵyneb", "iso885914"),
    ("iso8859-15", "25 €", "csisolatin9 iso885915"),
    ("iso8859-16", "ștergeți", "iso-8859-16"),
    ("koi8-r", RUSSIAN, "koi koi8"),
    ("koi8-u", "їжак", "koi8-ru"),
    ("mac-roman", "“été”", "csmacintosh mac x-mac-roman"),
    ("mac-cyrillic", RUSSIAN, "x-mac-cyrillic x-mac-ukrainian"),
    ("cp874", THAI + "…", "dos-874 iso-8859-11 iso885911 tis-620 Windows-874"),
    ("cp1250", "„żółw”", "x-cp1250"),
    ("cp1251", RUSSIAN, "x-cp1251"),
    ("cp1252", "“25 €”", "x-cp1252 ascii us-ascii iso-8859-1 iso88591 latin1 ansi_x3.4-1968"),
    ("cp1253", "Γεια", "x-cp1253"),
    ("cp1254", "“güneş”", "x-cp1254 iso-8859-9 iso88599 latin5"),
    ("cp1255", HEBREW, "x-cp1255"),
    ("cp1256", ARABIC, "x-cp1256"),
    ("cp1257", "ąžuolas", "x-cp1257"),
    ("cp1258", "Việt", "x-cp1258"),
    ("gb18030", CHINESE + "镕€", "csgb2312 gb_2312 gb_2312-80 x-gbk gbk gb2312 chinese"),
    ("cp950", CHINESE + "€", "big5 cn-big5 x-x-big5"),
    ("big5hkscs", "嘅", "big5-hkscs"),
    ("euc_jp", "会議", "cseucpkdfmtjapanese x-euc-jp"),
    ("cp932", "ご注文①髙", "windows-31j x-sjis shift_jis ms932"),
    (
        "cp949",
        KOREAN + "똠",
        "cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 windows-949 euc-kr",
    ),
    ("iso2022_kr", KOREAN, "csiso2022kr"),
    ("hz", CHINESE, "hz-gb-2312"),
]


@pytest.mark.parametrize(
    ("codec", "text", "label"),
    [(codec, text, label) for codec, text, labels in LABELS for label in labels.split()],
)
def test_each_label_names_its_encoding(codec: str, text: str, label: str) -> None:
    # Python does not decompose the letters of cp1258
    octets = text.encode(codec) if codec != "cp1258" else b"Vi\xea\xf2t"
    expected = text if codec != "cp1258" else "Viê\u0323t"
    assert decode(octets, f" {label} ", raw=False) == expected


@pytest.mark.parametrize(
    ("octets", "label", "text"),
    [
        (b"\x1b$B2q5D\x1b(B, \x1b(I11\x1b(B", "iso-2022-jp", "会議, ｱｱ"),
        (b"\x1b$B-!\x1b(B a \x1b$B|b66\x1b(J\\\x1b(B\nb", "iso-2022-jp", "① a 髙橋\\\nb"),
        (b"\x1b$@-!\x1b(I1\x1b(B.", "csISO2022JP", "①ｱ."),
        (b"\x1b$B-!", "iso-2022-jp-ext", "①"),
        (b"\x1b$B-!\x1b(B", "cp50220", "①"),
        (b"\x1b$B-!0", "iso-2022-jp", "①"),  # half a character, as a cut encoded word leaves it
        (b"\xad\xa1\xfc\xe2\x8e\xb1", "euc-jp", "①髙ｱ"),
    ],
)
def test_characters_that_windows_adds_to_japanese_are_read(
    octets: bytes, label: str, text: str
) -> None:
    assert decode(octets, label, raw=True) == text


def test_every_two_byte_character_of_windows_japanese_is_read() -> None:
    jis = [(row, cell) for row in range(0x21, 0x7D) for cell in range(0x21, 0x7F)]
    for row, cell in jis:
        try:
            expected = bytes([row | 0x80, cell | 0x80]).decode("euc_jp")
        except ValueError:
            continue
        # ① is not in the standard: it makes Python's own codec fail, so that ours reads all
        assert decode(b"\x1b$B-!" + bytes([row, cell]), "iso-2022-jp", raw=False)[1] in (
            expected,
            *WAVES,
        )


WAVES = "～∥－￠￡￢＼"  # Windows maps seven signs to other code points


def test_raw_utf_8_is_read_as_utf_8_under_any_label() -> None:
    assert decode("会議".encode(), "iso-2022-jp", raw=True) == "会議"
    assert decode("会議".encode(), "x-sjis", raw=True) == "会議"


@pytest.mark.parametrize("label", ["x-klingon", "", "a\0b", "é", "hex", "x-user-defined"])
def test_text_with_an_unknown_label_is_read_as_utf_8(label: str) -> None:
    assert decode("naïve".encode(), label, raw=False) == "naïve"
    assert decode(b"na\xefve", label, raw=False) == "na\ufffdve"
