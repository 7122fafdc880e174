"""The AWS policy grants what the code calls, and nothing else."""

import json
import re
from pathlib import Path

import botocore.session
import kcl_rs
import pytest
from botocore import xform_name

from mlstack.settings import ROOT

FOLDERS = (
    "operations",
    "mlstack",
    "model_orchestration",
    "reporting",
    "server",
    "simulation_business",
)
S3 = {  # actions of each client method (without ListBucket, a missing object is no 404)
    "create_bucket": {"s3:CreateBucket"},
    "get_object": {"s3:GetObject"},
    "head_bucket": {"s3:ListBucket"},
    "head_object": {"s3:GetObject", "s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "put_object": {"s3:PutObject"},
}
TABLES = {"delete_object": {"s3:DeleteObject"}}
KINESIS = {
    "create_stream": {"kinesis:CreateStream"},
    "describe_stream_summary": {"kinesis:DescribeStreamSummary"},
    "get_records": {"kinesis:GetRecords"},
    "get_shard_iterator": {"kinesis:GetShardIterator"},
    "list_shards": {"kinesis:ListShards"},
    "put_records": {"kinesis:PutRecords"},
}


@pytest.fixture(scope="module")
def granted() -> dict[str, set[str]]:
    policy = json.loads((ROOT / "cloud/aws-policy.json").read_text())
    assert all(each["Effect"] == "Allow" for each in policy["Statement"])
    return {each["Sid"]: set(each["Action"]) for each in policy["Statement"]}


def _called() -> set[str]:
    """Client methods that the code calls, paginators included."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text() for path in paths)
    receiver = r"\b(?:self\._s3|(?:self\.)?_?client|kinesis)"
    called = re.findall(rf"{receiver}\.(\w+)\(", text)
    called += re.findall(r'get_paginator\("(\w+)"\)', text)
    return set(called) - {"get_paginator"}


def test_code_uses_no_other_aws_services() -> None:
    """A client of another service needs its part of the policy and of this test."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    made = {
        service
        for path in paths
        for service in re.findall(r"""\.(?:client|resource)\(\s*["'](\w+)""", path.read_text())
    }
    assert made == {"s3", "kinesis"}


@pytest.mark.parametrize(
    ("sid", "methods"),
    [("TrainingTables", S3), ("TablesThatNoRunNames", TABLES), ("Streams", KINESIS)],
)
def test_policy_grants_what_the_code_calls(
    granted: dict[str, set[str]], sid: str, methods: dict[str, set[str]]
) -> None:
    called = _called()
    wanted = set().union(*(actions for method, actions in methods.items() if method in called))
    assert granted[sid] == wanted


def test_every_called_operation_is_listed() -> None:
    session = botocore.session.get_session()
    for service, known in (("s3", S3 | TABLES), ("kinesis", KINESIS)):
        operations = map(xform_name, session.get_service_model(service).operation_names)
        assert _called() & set(operations) == known.keys()


def test_policy_grants_what_the_kcl_library_calls(
    granted: dict[str, set[str]],
) -> None:
    """The compiled library contains the names of the DynamoDB operations that it calls."""
    (library,) = Path(kcl_rs.__file__).parent.glob("*.so")
    names = re.findall(
        rb"DynamoDB_20120810\.([A-Z][A-Za-z]+?)(?=DynamoDB|Stalled|valid)", library.read_bytes()
    )
    assert granted["SharedShardsLeases"] == {f"dynamodb:{name.decode()}" for name in names}
    assert granted["SharedShardsMetrics"] == {"cloudwatch:PutMetricData"}


def test_policy_has_no_wildcard_actions(granted: dict[str, set[str]]) -> None:
    assert not [action for actions in granted.values() for action in actions if "*" in action]
