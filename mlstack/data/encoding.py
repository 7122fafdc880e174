"""Decode a table's file to UTF-8 text with line feeds."""

import codecs
import re

from mlstack.errors import DataError, DataFault

_CSV = "save it as 'CSV UTF-8'"
_OTHER_FORMATS = (
    (rb"PK\x03\x04(?s:.*)(xl/|\[Content_Types\])", f"is an Excel workbook, not a CSV file: {_CSV}"),
    (
        rb"PK\x03\x04(?s:.{26})mimetypeapplication/vnd\.oasis",
        f"is an OpenDocument spreadsheet, not a CSV file: {_CSV}",
    ),
    (rb"PK(\x03\x04|\x05\x06)", "is a ZIP archive, not a CSV file: unpack it first"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"is an old Excel workbook, not a CSV file: {_CSV}"),
    (rb"\x1f\x8b", "is compressed with gzip twice: unpack it once"),
    (rb"BZh[1-9]1AY", "is compressed with bzip2: unpack it, or compress it with gzip"),
    (rb"\xfd7zXZ\x00", "is compressed with xz: unpack it, or compress it with gzip"),
    (rb"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it, or compress it with gzip"),
    (rb"SQLite format 3\x00", "is an SQLite database, not a CSV file: export the table as CSV"),
    (rb"\{\\rtf", "is an RTF document: save it as plain text"),
    (rb"%PDF-", "is a PDF document, not a CSV file"),
    (
        rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|table|meta|style)\b",
        "is a web page, not a CSV file: perhaps the download asked for a login",
    ),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", "is an XML document, not a CSV file: export it as CSV"),
    (rb'(\xef\xbb\xbf)?\s*(\{\s*"|\[\s*[\[{])', "is a JSON document, not a CSV file"),
    (
        rb"version https://git-lfs\.github\.com",
        "is only a pointer of Git LFS: get the file itself with: git lfs pull",
    ),
)
_PROBE = 64 * 1024
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SHOWN = 20


def table_text(content: bytes) -> bytes:
    """Return the text of a table.

    The content is in UTF-8, or in another form of Unicode that its byte order mark tells.

    Raises DataError if it is something else.
    """
    encoding, start = text_encoding(content)
    text = _decode(content[start:], encoding)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not text or text.isspace():
        raise DataError(DataFault("the table is empty"))
    return text


def text_encoding(content: bytes) -> tuple[str, int]:
    """Return the encoding of a content, or of its beginning, and where the text begins.

    Raises DataError if it is not text.
    """
    for form, reason in _OTHER_FORMATS:
        if re.match(form, content[:_PROBE]):
            raise DataError(DataFault(f"the file {reason}"))
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name, len(mark)
    _check_wide(content)
    _check_binary(content)
    return "utf-8", 0


def _decode(content: bytes, encoding: str) -> bytes:
    """Return the text in UTF-8."""
    if encoding == "utf-8" and content.isascii():
        return content
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(_undecodable(content, encoding, error)) from error
    return content if encoding == "utf-8" else text.encode()


def _check_wide(content: bytes) -> None:
    """Refuse UTF-16 without a byte order mark: which of its two forms it is would be a guess."""
    half = len(content[:_PROBE]) // 2
    wide = [half and content[first:_PROBE:2].count(0) > half // 2 for first in (0, 1)]
    # A file that is all zeros is damaged.
    if any(wide) and not all(wide):
        reason = "the file looks like UTF-16 without a byte order mark: save it as UTF-8"
        raise DataError(DataFault(reason))


def _check_binary(content: bytes) -> None:
    """Refuse a file that is no text: it holds a NUL and is not UTF-8."""
    head = content[:_PROBE]
    if 0 not in head:
        return
    try:
        # The head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        reason = "the file is not a text: it is damaged or in another format; export it as CSV"
        raise DataError(DataFault(reason)) from error


def _undecodable(content: bytes, encoding: str, error: UnicodeDecodeError) -> DataFault:
    if encoding != "utf-8":
        return DataFault(
            f"the file begins like {encoding[:6].upper()} and is damaged or cut off at byte "
            f"{error.start:,}: save it again, best as UTF-8"
        )
    before = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    around = re.split(rb"[\r\n,;\t|]", content[max(0, error.start - _SHOWN) : error.start])[-1]
    after = re.split(rb"[\r\n,;\t|]", content[error.start : error.start + _SHOWN])[0]
    return DataFault(
        f"the file is not in UTF-8: line {before.count(10) + 1:,} has {around + after!r}. It may "
        "be in the encoding of Windows (cp1252) or in Latin-1, but nothing in it says so: save it "
        "as 'CSV UTF-8', or, if you know that it is cp1252, convert it: "
        "iconv -f CP1252 -t UTF-8 table.csv > utf8.csv"
    )
