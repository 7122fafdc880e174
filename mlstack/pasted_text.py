"""What comes along when people paste text: encodings, invisible spaces, typographic quotes."""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

INVISIBLE = "\u00a0\u2007\u202f\u200b\u200c\u200d\u2060\ufeff"
"""Spaces that nobody sees."""

OPENING_QUOTES, CLOSING_QUOTES = "\u201c\u201e\u2018\u201a\u00ab", "\u201d\u2019\u00bb"
"""Typographic quotes, which no file format takes for quotes."""

_WHOLE = re.compile(r"\+?([0-9]+(?:_[0-9]+)*)(?:\.0*)?")


def decode(content: bytes) -> str:
    """Decode UTF-8, or UTF-16 if it says so. Raises UnicodeDecodeError."""
    is_utf16 = content.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def plain_value(text: str) -> str:
    """Return a number or word as every program reads it: `" +9_696.0 "` is 9696."""
    plain = text.strip(f" \t\r\n\"'{INVISIBLE}")
    whole = _WHOLE.fullmatch(plain)
    return whole[1].replace("_", "") if whole else plain
