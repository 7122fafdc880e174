"""Objects in S3 by which several machines share one deployment record.

`deployment.json` has record and history; it is replaced only if it has not changed since it was
read. `members/NAME.json` says what the machine NAME serves. Ages are differences between two times
of S3, so they do not depend on any machine's clock.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from mlstack.deployment.record import FrozenModel, HistoryEntry, Record, Statement
from mlstack.errors import DeploymentError, Overtaken, RecordUnavailable
from mlstack.s3_address import S3Address

LEASE_SECONDS = 15.0
"""Silence after which a member no longer counts."""

_CONFIG = Config(
    connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
)
_RECORD = "deployment.json"
_MEMBERS = "members/"
_CHANGED = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})
"""How S3 answers if the object is no longer the one that was to be replaced."""


class SharedDocument(FrozenModel):
    """What `deployment.json` holds."""

    record: Record | None = None
    history: tuple[HistoryEntry, ...] = ()
    deploying: str = ""
    """Who deploys at this moment; empty if nobody does."""
    stamp: str = ""
    """Different after every write."""


@dataclass(frozen=True, slots=True)
class Version:
    """A document as it was read or written, and S3's name for this content."""

    document: SharedDocument
    etag: str


@dataclass(frozen=True, slots=True)
class Member:
    """A machine, and what its workers serve if it is alive.

    Args:
        name: Its name.
        silent_seconds: Time since it last said what it serves.
        statements: Those of its workers; empty if it is not alive.
    """

    name: str
    silent_seconds: float
    statements: tuple[Statement, ...]

    @property
    def is_alive(self) -> bool:
        """Whether its lease has not expired."""
        return self.silent_seconds < LEASE_SECONDS


class SharedObjects:
    """The objects in a folder of S3.

    Every method raises RecordUnavailable if S3 does not answer or rejects a request.
    """

    def __init__(self, folder: S3Address) -> None:
        self._bucket, self._prefix = folder.bucket, f"{folder.key.rstrip('/')}/"
        self._members: dict[str, tuple[str, tuple[Statement, ...]]] = {}
        self._sent = set[str]()
        with self._failures():
            self._s3 = boto3.client("s3", config=_CONFIG)

    def read(self, known: Version | None = None) -> Version | None:
        """Return the document, `known` itself if it is unchanged, or None if there is none.

        Raises DeploymentError if it is something else (it was edited).
        """
        condition = {"IfNoneMatch": known.etag} if known else {}
        with self._failures():
            try:
                answer = self._s3.get_object(
                    Bucket=self._bucket,
                    Key=f"{self._prefix}{_RECORD}",
                    **condition,  # type: ignore[arg-type] # of all conditions this one
                )
                body, etag = answer["Body"].read(), answer["ETag"]
            except ClientError as error:
                if _status(error) == HTTPStatus.NOT_MODIFIED:
                    return known
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise
        try:
            return Version(SharedDocument.model_validate_json(body), etag)
        except ValidationError as error:
            raise DeploymentError(
                f"{self._address(_RECORD)} is not a deployment record: remove it and deploy again, "
                f"or use the same release on every machine ({error})"
            ) from error

    def write(self, document: SharedDocument, old: Version | None) -> Version:
        """Replace the document if it still is `old` (None: if there is none).

        Raises Overtaken if it is not.
        """
        stamped = document.model_copy(update={"stamp": uuid4().hex})
        self._sent.add(stamped.stamp)
        condition = {"IfMatch": old.etag} if old else {"IfNoneMatch": "*"}
        with self._failures():
            try:
                etag = self._put(_RECORD, stamped.model_dump_json(indent=1), **condition)
            except ClientError as error:
                if _status(error) not in _CHANGED or _lacks_bucket(error):
                    raise
            else:
                return Version(stamped, etag)
        now = self.read()
        if now and now.document.stamp == stamped.stamp:
            return now  # boto3 repeats a request whose answer was lost
        if now and now.document.stamp in self._sent:
            return self.write(document, now)  # so was an earlier one, which seemed to have failed
        raise Overtaken(f"another deployment has replaced {self._address(_RECORD)} meanwhile")

    def age_seconds(self, version: Version) -> float:
        """Return the time since a version was written; 0 if there is a newer one."""
        for name, found, age in self._list(_RECORD):
            if (name, found["ETag"]) == (_RECORD, version.etag):
                return age
        return 0.0

    def tell(self, member: str, statements: Sequence[Statement]) -> None:
        """Say what a member serves, which renews its lease."""
        body = json.dumps([statement.model_dump(mode="json") for statement in statements])
        with self._failures():
            self._put(f"{_MEMBERS}{member}.json", body)

    def leave(self, member: str) -> None:
        """Say that a member has stopped; it no longer counts from now on."""
        # An empty object, because not every role may delete.
        with self._failures():
            self._put(f"{_MEMBERS}{member}.json", "")

    def members(self) -> list[Member]:
        """Return all members that have not left, whether alive or not."""
        found = []
        for name, listed, age in self._list(_MEMBERS):
            if listed["Size"]:
                member = name.removeprefix(_MEMBERS).removesuffix(".json")
                alive = age < LEASE_SECONDS
                told = self._statements(name, listed["ETag"]) if alive else ()
                found.append(Member(member, age, told))
        return found

    def _statements(self, name: str, etag: str) -> tuple[Statement, ...]:
        known = self._members.get(name)
        if known is None or known[0] != etag:
            with self._failures():
                answer = self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")
                body = answer["Body"].read()
            try:
                told = tuple(Statement.model_validate(each) for each in json.loads(body or b"[]"))
            except ValueError as error:
                raise DeploymentError(
                    f"{self._address(name)} cannot be read: use the same release on every machine "
                    f"({error})"
                ) from error
            known = self._members[name] = answer["ETag"], told
        return known[1]

    def _list(self, prefix: str) -> Iterator[tuple[str, Any, float]]:
        """Yield names, what S3 lists of them, and their ages in seconds."""
        pages = self._s3.get_paginator("list_objects_v2")
        with self._failures():
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{prefix}"):
                now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
                for found in page.get("Contents", []):
                    age = (now - found["LastModified"]).total_seconds()
                    yield found["Key"].removeprefix(self._prefix), found, age

    def _put(self, name: str, body: str, **condition: str) -> str:
        answer = self._s3.put_object(
            Bucket=self._bucket,
            Key=f"{self._prefix}{name}",
            Body=body.encode(),
            ContentType="application/json",
            **condition,  # type: ignore[arg-type] # one of two conditions
        )
        return answer["ETag"]

    def _address(self, name: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{name}"

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if _lacks_bucket(error):
                raise RecordUnavailable(
                    f"DEPLOYMENT_RECORD: there is no bucket {self._bucket}; make init_aws creates "
                    "that of FEATURE_STORE_BUCKET, any other one is yours to create"
                ) from error
            raise RecordUnavailable(f"S3 rejects {self._address('')}: {error}") from error
        except BotoCoreError as error:
            raise RecordUnavailable(f"S3 cannot be reached: {error}") from error


def _lacks_bucket(error: ClientError) -> bool:
    return error.response["Error"]["Code"] == "NoSuchBucket"


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
