"""One spelling for texts that look alike."""

import unicodedata

_UNSEEN = (
    "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_SPACES = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
    "\u3000"
)
_SEEN_ALIKE = str.maketrans({**dict.fromkeys(_UNSEEN), **dict.fromkeys(_SPACES, " ")})


def canonical(text: str) -> str:
    """Return a text as it looks to a person.

    White space around it and characters without a width are dropped, every kind of space becomes a
    plain one, and letters are composed (Unicode's NFC).
    """
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", text).translate(_SEEN_ALIKE).strip()
