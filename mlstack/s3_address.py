"""Addresses of objects and folders in the environment's own S3."""

from dataclasses import dataclass
from typing import Any, Self

_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket, and a key or the first part of several keys."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `s3://BUCKET/KEY`; raise ValueError if it is something else."""
        bucket, _, key = text.removeprefix(_SCHEME).partition("/")
        if not (text.startswith(_SCHEME) and bucket and key.strip("/")):
            raise ValueError(f"write {_SCHEME}BUCKET/KEY, or {_SCHEME}BUCKET/FOLDER/")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rstrip("/").rpartition("/")[2]


def s3_or_other(value: Any) -> Any:
    """Turn a text that begins with `s3://` into an address; leave anything else."""
    return S3Address.parse(value) if isinstance(value, str) and value.startswith(_SCHEME) else value


def s3_only(value: Any) -> Any:
    """Turn a text into an address; raise ValueError if it is something else."""
    return S3Address.parse(value) if isinstance(value, str) else value
