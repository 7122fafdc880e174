"""Read and write the JSON of the calls that carry records.

botocore walks through every field of every record, which takes longer than predicting it.
"""

import binascii
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.parsers import JSONParser, ResponseParser, ResponseParserFactory

if TYPE_CHECKING:
    from botocore.model import Shape
    from botocore.session import Session
    from mypy_boto3_kinesis import KinesisClient

_ARRIVED_AT = "ApproximateArrivalTimestamp"
_OK = 200

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def speed_up_reading(session: "Session") -> None:
    """Make a session's clients read the answers of GetRecords and PutRecords at once."""
    session.register_component("response_parser_factory", _ParserFactory())


def speed_up_writing(client: "KinesisClient") -> None:
    """Make a client write the records of PutRecords at once; their data must be bytes."""
    events = client.meta.events
    events.register("before-parameter-build.kinesis.PutRecords", _take_records)
    events.register("before-call.kinesis.PutRecords", _write_records)


class _ParserFactory(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> ResponseParser:
        # Credentials may come from a service with another protocol.
        if protocol_name != "json":
            return super().create_parser(protocol_name)
        # Seconds since the epoch; botocore's parser also looks up the local time zone.
        return _Parser(timestamp_parser=_time)


class _Parser(JSONParser):
    def parse(self, response: Mapping[str, Any], shape: "Shape") -> dict[str, Any]:
        name = shape.name if shape else ""
        if response["status_code"] == _OK and name in {"GetRecordsOutput", "PutRecordsOutput"}:
            with suppress(msgspec.DecodeError):  # botocore raises the error that callers know
                return _answer(_decode(response["body"]), name)
        parsed: dict[str, Any] = super().parse(response, shape)
        return parsed


def _answer(body: dict[str, Any], name: str) -> dict[str, Any]:
    if name == "GetRecordsOutput":
        for record in body["Records"]:
            record["Data"] = binascii.a2b_base64(record["Data"])
            record[_ARRIVED_AT] = _time(record[_ARRIVED_AT])
    given = {key: value for key, value in body.items() if value is not None}
    return {**given, "ResponseMetadata": {"HTTPStatusCode": _OK}}


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _take_records(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["records"] = params["Records"]
    params["Records"] = []


def _write_records(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    params["body"] = _encode(json.loads(params["body"]) | {"Records": context["records"]})
