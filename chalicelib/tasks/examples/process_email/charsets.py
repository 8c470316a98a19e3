"""Decode text by the charset labels of the WHATWG.

Browsers and mail programs follow https://encoding.spec.whatwg.org/#names-and-labels. It has labels
that Python lacks, and it decodes a charset as its Windows superset, which is what mailers mean.
"""

from __future__ import annotations

import codecs
import re

# Python's codec, then the labels that Python lacks. It has no codec for iso-2022-cn and
# x-user-defined
_LABELS = """
    utf-8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8
    utf-16-le csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff
    utf-16-be unicodefffe
    iso8859-6 csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i
    iso8859-7 sun_eu_greek
    iso8859-8 csiso88598e csiso88598i iso-8859-8-e iso-8859-8-i logical visual
    iso8859-15 csisolatin9
    koi8-r koi koi8
    koi8-u koi8-ru
    mac-roman csmacintosh mac x-mac-roman
    mac-cyrillic x-mac-cyrillic x-mac-ukrainian
    cp874 dos-874 windows-874
    gb18030 csgb2312 gb_2312 gb_2312-80 x-gbk
    cp950 cn-big5 x-x-big5
    euc_jp cseucpkdfmtjapanese x-euc-jp
    iso2022_jp_ext cp50220 cp50221 iso-2022-jp-ms
    cp932 windows-31j x-sjis
    cp949 cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 windows-949
"""
_CODECS = {
    label: codec
    for codec, *labels in map(str.split, _LABELS.strip().splitlines())
    for label in labels
}
_CODECS.update({f"iso8859{part}": f"iso8859-{part}" for part in range(1, 17)})
_CODECS.update({f"x-cp{page}": f"cp{page}" for page in range(1250, 1259)})
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "cp950",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
    "iso2022_jp_1": "iso2022_jp_ext",
}
# Windows has Japanese characters that the standard lacks (①, 髙); in Python only cp932 has them
_JAPANESE = {
    "iso2022_jp_ext": re.compile(
        rb"\x1b\$[@B](?P<pairs>[!-~]*)|\x1b\(I(?P<kana>[!-_]*)|\x1b\([BHJ]"
    ),
    "euc_jp": re.compile(rb"(?P<pairs>(?:[\xa1-\xfe]{2})+)|\x8e(?P<kana>[\xa1-\xdf])"),
}


def decode(octets: bytes, label: str, raw: bool) -> str:
    """Return the text; never fail.

    `raw` text was not encoded for transfer: if it is valid UTF-8, it is decoded as UTF-8 whatever
    its label.
    """
    codec = _codec(label)
    first, second = ("utf-8", codec) if raw and not octets.isascii() else (codec, "utf-8")
    for attempt, errors in ((first, "strict"), (second, "strict"), (codec, "replace")):
        try:
            return octets.decode(attempt, errors)
        except (LookupError, ValueError):
            if attempt in _JAPANESE:
                return _JAPANESE[attempt].sub(_shift_jis, octets).decode("cp932", "replace")
    return octets.decode("utf-8", "replace")


def _codec(label: str) -> str:
    label = label.strip().lower()
    try:
        codec = codecs.lookup(_CODECS.get(label, label)).name
    except (LookupError, ValueError):
        return label
    if codec in ("idna", "punycode"):  # of host names, not of texts; they take quadratic time
        return f"not-{codec}"
    return _SUPERSETS.get(codec, codec)


def _shift_jis(characters: re.Match[bytes]) -> bytes:
    """Convert a run of JIS characters to Shift_JIS."""
    groups = characters.groupdict(b"")
    shifted = bytearray(octet | 0x80 for octet in groups["kana"])
    pairs = [octet & 0x7F for octet in groups["pairs"]]
    # A single octet at the end is half a character, and is dropped
    for row, cell in zip(pairs[::2], pairs[1::2], strict=False):
        shifted.append((row + 1) // 2 + (0x70 if row < 0x5F else 0xB0))
        shifted.append(cell + 0x7E if row % 2 == 0 else cell + 0x1F + cell // 0x60)
    return bytes(shifted)
