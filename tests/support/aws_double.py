"""AWS beside a stack in containers: `tests/compose/aws`, brought up for as long as it is needed."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlstack.settings import ROOT
from tests.support.aws import aws_client
from tests.support.containers import docker

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

FOLDER = ROOT / "tests/compose/aws"
ROLE_KEY = "ASIA"
"""Temporary keys begin with this; only the double hands out any here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to AWS."""

    who: str
    """The container's name in the network."""
    key: str
    """What it was signed with."""
    what: str
    """The AWS service, and the operation or method and path."""

    @property
    def service(self) -> str:
        """The service that the container or job belongs to."""
        container = self.who.partition(".")[0]
        return re.sub(r"^mlstack-test-[0-9a-f]+-|-(run-)?[0-9a-f]+$", "", container)

    @property
    def action(self) -> str:
        """The action's name in a policy."""
        service, _, what = self.what.partition(" ")
        if service != "s3":
            return f"{service}:{what.rpartition('.')[2]}"
        method, _, path = what.partition(" ")
        of_bucket = self.bucket == path.partition("?")[0].strip("/")
        if of_bucket:
            names = {"PUT": "CreateBucket", "POST": "DeleteObject"}
            return f"s3:{names.get(method, 'ListBucket')}"
        names = {"PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}
        return f"s3:{names.get(method, 'GetObject')}"

    @property
    def bucket(self) -> str:
        """The bucket of the call; empty: none."""
        service, _, what = self.what.partition(" ")
        path = what.partition(" ")[2].partition("?")[0]
        return path.split("/")[1] if service == "s3" else ""


class Aws:
    """The double as the test sees it, with an administrator's keys.

    Args:
        name: Of its compose project.
        port: Of the emulator, on this machine.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name, self._port = name, port

    @property
    def s3(self) -> "S3Client":
        client: S3Client = aws_client("s3", self._port)
        return client

    @property
    def kinesis(self) -> "KinesisClient":
        client: KinesisClient = aws_client("kinesis", self._port)
        return client

    def objects(self, bucket: str) -> set[str]:
        """List the keys of a bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {each["Key"] for page in pages for each in page.get("Contents", [])}

    def asked(self) -> list[Asked]:
        """List every call of the stack so far."""
        container = docker(
            *("ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}"),
            *("--filter", "label=com.docker.compose.service=aws"),
        ).strip()
        return [Asked(**json.loads(line)) for line in docker("logs", container).splitlines()]


@contextmanager
def aws_double(name: str, port: int) -> Iterator[Aws]:
    """Bring the double up; at the end nothing of it is left.

    Args:
        name: Of its compose project.
        port: A free one of this machine, for the emulator.
    """

    def compose(*arguments: str) -> None:
        subprocess.run(
            ["docker", "compose", "--progress", "quiet", "--project-name", name, *arguments],
            cwd=FOLDER,
            env={**os.environ, "EMULATOR_PORT": str(port)},
            check=True,
        )

    try:
        compose("up", "--detach", "--wait")
        yield Aws(name, port)
    finally:
        compose("down", "--volumes")
