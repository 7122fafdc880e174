"""Every record of the stream is answered: real processes that die."""

import base64
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.deployment.record import DeploymentState
from mlstack.model.model import Model
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import ROOT
from mlstack.streams.stream import Stream
from tests.support.aws import Emulator, Put, put, running
from tests.support.keeper import LogKeeper
from tests.support.models import RUN_ID, predictions
from tests.support.stream_server import Ledger, Load, StreamServer, customers, where, whole
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

FIRST_SHARD, SECOND_SHARD = 0, 2**127
RECORDS = int(os.environ.get("LEDGER_RECORDS", "2000"))
KILLS = int(os.environ.get("LEDGER_KILLS", "5"))
FAIL_POINTS = ("scored", "appended", "results_published", "dead_letters_published", "checkpointed")


@pytest.fixture
def ledger(kinesis: "KinesisClient", mongo: str) -> Ledger:
    return Ledger(kinesis, mongo)


def poison(contract: Contract) -> dict[str, bytes]:
    """Records that cannot be answered, by the reason in their dead letter."""
    example = dict(contract.example)
    name = next(iter(example))
    return {
        "empty_body": b" ",
        "malformed_json": b"\x00\x01 not JSON",
        "not_utf8": b'{"a": "\xff"}',
        "duplicate_key": b'{"a": 1, "a": 2}',
        "not_a_number": b'{"a": NaN}',
        "too_deep": b"[" * 40 + b"]" * 40,
        "number_too_long": b"[" + b"9" * 200 + b"]",
        "invalid_customer": json.dumps(example | {name: "none of this kind"}).encode(),
    }


def test_every_record_is_answered_and_stored_once(
    server: StreamServer,
    keeper: LogKeeper,
    kinesis: "KinesisClient",
    ledger: Ledger,
    documented: Contract,
) -> None:
    """Answers are the model's own, and metrics count them."""
    bodies = customers(documented, 2500)
    with server:
        puts = put(kinesis, bodies)
        ledger.check(puts)
        assert server.metric("mlstack_stream_records_total", outcome="answered") == 2500
        assert server.metric("mlstack_predictions_total", source="kinesis") == 2500
        wait_until(
            lambda: keeper.metric("mlstack_log_stored_total", sink="mongodb") == 2500, "counted"
        )
        wait_until(
            lambda: keeper.metric("mlstack_spool_records", source="kinesis") == 0, "nothing waits"
        )
        assert server.metric("mlstack_stream_checkpoint_lost_total") == 0
        assert server.metric("mlstack_model_loaded", model_run_id=RUN_ID) == 1
        for name in ("lag", "checkpoint_age"):
            assert server.metric(f"mlstack_stream_{name}_seconds") < 2
    assert ledger.duplicates() == 0
    assert {p.shard_id for p in puts} == {"shardId-000000000000", "shardId-000000000001"}
    stored, model = ledger.stored(), Model.load(server.state / "models" / RUN_ID, RUN_ID)
    chances = predictions(model, [json.loads(body) for body in bodies])
    assert [stored[p]["prediction"] for p in puts] == chances


def test_prediction_id_follows_from_the_record(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """Whoever put the record can work it out."""
    with server:
        (one,) = put(kinesis, customers(documented, 1))
        ledger.check([one])
    summary = kinesis.describe_stream_summary(StreamName="predictions")
    created_at = summary["StreamDescriptionSummary"]["StreamCreationTimestamp"]
    expected = Stream("predictions", created_at).prediction_id(one.shard_id, one.sequence_number)
    assert ledger.results()[0]["prediction_id"] == expected


def test_poison_goes_to_the_dead_letters_whole(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """First and last record of each shard are poison, and a tenth of those between."""
    kinds = poison(documented)
    good, bad = list[Put](), dict[Put, tuple[str, bytes]]()
    with server:
        for shard in (FIRST_SHARD, SECOND_SHARD):
            for _ in range(10):
                places = put(kinesis, list(kinds.values()), shard)
                bad |= dict(zip(places, kinds.items(), strict=True))
                good += put(kinesis, customers(documented, 70), shard)
            places = put(kinesis, list(kinds.values()), shard)
            bad |= dict(zip(places, kinds.items(), strict=True))
        ledger.check(good, bad)
        outcomes = server.metric("mlstack_stream_records_total", outcome="dead_letter")
        assert outcomes == len(bad)
    for letter in ledger.letters():
        reason, raw = bad[where(letter)]
        assert (letter["reason"], whole([letter]), letter["stream"]) == (reason, raw, "predictions")
        assert all(error["detail"] for error in letter["errors"])


@pytest.mark.timeout(900)
def test_one_record_in_a_hundred_is_poison(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """The first and the last one among them; `make test-ledger` puts 100,000."""
    kinds = itertools.cycle(poison(documented).values())
    bodies = customers(documented, RECORDS)
    places = {*random.Random(2).sample(range(1, RECORDS - 1), RECORDS // 100 - 2), 0, RECORDS - 1}
    for place in places:
        bodies[place] = next(kinds)
    with server:
        puts = put(kinesis, bodies)
        bad = {puts[place] for place in places}
        ledger.check(set(puts) - bad, bad, seconds=60 + RECORDS / 200)


def test_largest_record_fits_into_its_dead_letters(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger
) -> None:
    """It is split into parts that make the whole again."""
    raw = random.Random(1).randbytes(1024 * 1024 - 200)
    with server:
        ledger.check([], put(kinesis, [raw]))
    letters = ledger.letters()
    assert len(letters) == letters[0]["parts"] > 1
    assert whole(letters) == raw


def test_doubly_encoded_record_is_understood(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """A record in base64 is decoded once, not twice."""
    (body,) = customers(documented, 1)
    once = base64.b64encode(body)
    with server:
        good = put(kinesis, [body, once, base64.encodebytes(body)])
        ledger.check(good, put(kinesis, [base64.b64encode(once)]))
    assert len({stored["prediction"] for stored in ledger.stored().values()}) == 1


def test_records_wait_for_a_model(
    server: StreamServer,
    kinesis: "KinesisClient",
    ledger: Ledger,
    documented: Contract,
) -> None:
    """They are answered once one is deployed."""
    deployment = DeploymentState(server.state)
    deployment.remove_record()
    with server:
        good = put(kinesis, customers(documented, 20))
        wait_until(lambda: "records wait for a model" in server.log.read_text(), "it says so")
        written = server.heartbeat.stat().st_mtime
        wait_until(lambda: server.heartbeat.stat().st_mtime > written, "it is not stuck")
        assert server.is_healthy()
        assert ledger.letters() == []
        deployment.write_record(RUN_ID, "test")
        ledger.check(good)
    assert not server.is_healthy()


def test_stop_is_prompt_and_repeats_nothing(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """A server that goes on afterwards answers no record twice."""
    good = list[Put]()
    for _ in range(2):
        with server, Load(kinesis, documented) as load:
            wait_until(lambda: server.metric("mlstack_stream_records_total") > 300, "it works")
            begun = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - begun < 8
        good += load.puts
    with server:
        ledger.check(good)
    assert ledger.duplicates() == 0


def test_stop_is_prompt_when_aws_is_gone(
    server: StreamServer, emulator: Emulator, documented: Contract, mongo: str
) -> None:
    """It ends in order."""
    with running(emulator) as client, server:
        Ledger(client, mongo).check(put(client, customers(documented, 50)))
        emulator.kill()
        assert server.stop() == 0


@pytest.mark.parametrize("point", FAIL_POINTS)
def test_kill_between_two_steps_loses_nothing(
    point: str,
    server: StreamServer,
    kinesis: "KinesisClient",
    ledger: Ledger,
    documented: Contract,
) -> None:
    """Whatever step it dies after, results are the same and stored once."""
    bodies = [*poison(documented).values(), *customers(documented, 100)]
    puts = put(kinesis, bodies)
    server.start(FAIL_POINT=f"{point}:2")
    more = put(kinesis, customers(documented, 100))
    assert server.process.wait(30) == -9
    with server:
        ledger.check([*puts[8:], *more], puts[:8])


def test_kills_under_load_lose_nothing(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """It is killed again and again, at random moments."""
    chance = random.Random(5)
    with Load(kinesis, documented) as load:
        for _ in range(KILLS):
            with server:
                wait_until(lambda: server.metric("mlstack_stream_records_total") > 0, "it works")
                threading.Event().wait(chance.uniform(0, 1))  # the random moment
                server.kill()
        with server:
            wait_until(lambda: server.metric("mlstack_stream_records_total") > 0, "it works")
    with server:
        ledger.check(load.puts)


def test_stream_made_anew_is_noticed_while_running(
    server: StreamServer, emulator: Emulator, documented: Contract, mongo: str
) -> None:
    """Moto's iterators of the old stream go on working on the new one, and skip its records."""
    with running(emulator) as client, server:
        Ledger(client, mongo).check(put(client, customers(documented, 300)))
        emulator.kill()
        with MongoClient[dict[str, Any]](mongo) as database:
            database.drop_database(DATABASE)
        with running(emulator) as new_client:
            Ledger(new_client, mongo).check(put(new_client, customers(documented, 500)))
            assert server.metric("mlstack_stream_checkpoint_lost_total") == 2
    assert "was recreated" in server.log.read_text()


def test_stream_made_anew_is_noticed_at_the_start(
    server: StreamServer, emulator: Emulator, documented: Contract, mongo: str
) -> None:
    """Checkpoints of the old stream are dropped."""
    with running(emulator) as client, server:
        Ledger(client, mongo).check(put(client, customers(documented, 300)))
    with MongoClient[dict[str, Any]](mongo) as database:
        database.drop_database(DATABASE)
    with running(emulator) as client:
        puts = put(client, customers(documented, 100))
        with server:
            Ledger(client, mongo).check(puts)
            assert server.metric("mlstack_stream_checkpoint_lost_total") == 2
    assert "was recreated" in server.log.read_text()


def test_second_instance_takes_over_from_a_dead_one(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """It waits while the first one lives."""
    second = server.another()
    with server, second, Load(kinesis, documented) as load:
        wait_until(lambda: "waiting for it to stop" in second.log.read_text(), "the second waits")
        wait_until(lambda: server.metric("mlstack_stream_records_total") > 100, "the first works")
        assert second.metric("mlstack_stream_records_total") == 0
        server.kill()
        wait_until(
            lambda: second.metric("mlstack_stream_records_total") > 100, "the second works", 10
        )
        load.end()
        ledger.check(load.puts)


def test_added_shard_is_read_too(
    server: StreamServer, kinesis: "KinesisClient", ledger: Ledger, documented: Contract
) -> None:
    """No restart is needed."""
    with server:
        before = put(kinesis, customers(documented, 50))
        ledger.check(before)
        kinesis.update_shard_count(
            StreamName="predictions", TargetShardCount=4, ScalingType="UNIFORM_SCALING"
        )
        after = put(kinesis, customers(documented, 50))
        wanted = set(after)
        wait_until(
            lambda: wanted <= {where(result) for result in ledger.results()},
            "the new shards are read",
        )


def test_taken_port_is_refused_with_a_sentence(server: StreamServer) -> None:
    """There is no stack trace."""
    with server:
        refused = subprocess.run(
            [sys.executable, "-m", "server.serve_kinesis"],
            cwd=ROOT,
            env=server.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert refused.returncode == 1
    assert "Set STREAM_METRICS_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr
