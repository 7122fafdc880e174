"""Nothing on the engine is touched that is not provably this clone's."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from mlstack import environments
from operations.clone import Clone, identify
from operations.containers import credentials, objects, ownership
from operations.containers.engine import Compose
from operations.containers.ownership import Project
from operations.errors import StackError
from tests.support.compose_files import read_services
from tests.support.engine_fake import PROJECT, VOLUMES, FakeEngine

SECRET = "a-random-secret"
OWNER = f"{PROJECT}_owner"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setenv(environments.NAME_VARIABLE, "local")
    monkeypatch.setattr(credentials, "FOLDER", credentials.FOLDER)
    # Even root may make copies.
    monkeypatch.setattr(credentials, "CONTAINER_UID", os.getuid())
    monkeypatch.setattr(credentials, "container_uid", os.getuid)
    for module in (objects, ownership):
        monkeypatch.setattr(module, "docker", engine.docker)
    return engine


def _clone(folder: Path, secret: str = SECRET) -> Path:
    (folder / ".secrets").mkdir(parents=True)
    for name in credentials.NAMES:
        (folder / ".secrets" / name).write_text(secret)
    return folder


def _project(engine: FakeEngine, folder: Path) -> Project:
    class Files:
        project, volumes = engine.project, VOLUMES

    # The fixture's patch of it is undone at the end.
    credentials.FOLDER = folder / ".secrets"
    return Project(cast(Compose, Files()), folder)


def _release_before(
    engine: FakeEngine, folder: Path, *services: str, state: str = "running"
) -> None:
    """What the release before left: no ids, but secrets in containers."""
    for service in services or ("mlflow_server", "agent"):
        engine.run_service(service, str(folder), state=state)
    engine.volumes |= {name: {} for name in VOLUMES.values()}
    engine.secrets["agent"] = SECRET


def test_first_start_marks_project_and_volumes(engine: FakeEngine, tmp_path: Path) -> None:
    assert _project(engine, tmp_path).claim() == list(credentials.NAMES)
    assert engine.volumes.keys() == {*VOLUMES.values(), OWNER}
    for labels in engine.volumes.values():
        assert labels["mlstack.clone"] == identify(tmp_path).id
        assert labels["mlstack.folder"] == str(tmp_path)
        # Compose would offer to delete volumes whose labels differ from its hash.
        assert "com.docker.compose.config-hash" not in labels
    assert _project(engine, tmp_path).claim() == []


def test_second_clone_is_refused_and_named_the_first(engine: FakeEngine, tmp_path: Path) -> None:
    one, another = tmp_path / "one", tmp_path / "another"
    one.mkdir()
    another.mkdir()
    _project(engine, one).claim()
    engine.run_service("agent", str(one), identify(one).id)
    before = dict(engine.volumes)
    for act in (Project.claim, Project.require, Project.adopt):
        with pytest.raises(StackError, match=f"belong to the clone in {one}: run make there"):
            act(_project(engine, another))
    assert engine.volumes == before
    assert _project(engine, one).require().is_ours


def test_stopped_project_is_adopted_by_command_only(engine: FakeEngine, tmp_path: Path) -> None:
    """Afterwards it is refused to the clone that had it."""
    one, another = tmp_path / "one", tmp_path / "another"
    one.mkdir()
    another.mkdir()
    _project(engine, one).claim()
    engine.run_service("agent", str(one), identify(one).id, state="exited")
    _project(engine, another).adopt()
    shutil.copytree(one / ".secrets", another / ".secrets")
    assert _project(engine, another).claim() == []
    with pytest.raises(StackError, match=f"the clone in {another}"):
        _project(engine, one).require()


def test_renamed_clone_keeps_its_project(engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    _project(engine, tmp_path / "one").claim()
    engine.run_service("agent", str(tmp_path / "one"), identify(tmp_path / "one").id)
    renamed = (tmp_path / "one").rename(tmp_path / "renamed")
    assert _project(engine, renamed).require().is_ours
    # A new clone in the old place.
    (tmp_path / "one").mkdir()
    with pytest.raises(StackError, match="make adopt env=local"):
        _project(engine, tmp_path / "one").require()


def test_copied_clone_is_refused(engine: FakeEngine, tmp_path: Path) -> None:
    one = _clone(tmp_path / "one")
    _project(engine, one).claim()
    copy = shutil.copytree(one, tmp_path / "copy")
    with pytest.raises(StackError, match=f"the clone in {one}: run make there"):
        _project(engine, copy).require()
    assert _project(engine, one).require().is_ours


def test_pruned_owner_volume_is_made_again(engine: FakeEngine, tmp_path: Path) -> None:
    """`docker volume prune` removes empty volumes; the others still carry the id."""
    (tmp_path / "one").mkdir()
    _project(engine, tmp_path).claim()
    del engine.volumes[OWNER]
    with pytest.raises(StackError, match=f"the clone in {tmp_path}"):
        _project(engine, tmp_path / "one").claim()
    assert _project(engine, tmp_path).claim() == []
    assert OWNER in engine.volumes


def test_owner_volume_of_gone_clone_blocks_nobody(engine: FakeEngine, tmp_path: Path) -> None:
    """`docker compose down --volumes` by hand leaves it behind."""
    one = tmp_path / "one"
    one.mkdir()
    _project(engine, one).claim()
    engine.volumes = {OWNER: engine.volumes[OWNER]}
    with pytest.raises(StackError, match="run make there"):
        _project(engine, tmp_path).claim()
    shutil.rmtree(one)
    _project(engine, tmp_path).claim()
    assert engine.volumes[OWNER]["mlstack.clone"] == identify(tmp_path).id


def test_slower_of_two_first_starts_is_refused(engine: FakeEngine, tmp_path: Path) -> None:
    """Both found nothing; the engine has one owner volume."""
    one = tmp_path / "one"
    one.mkdir()
    project = _project(engine, tmp_path)
    project.require()
    _project(engine, one).claim()
    with pytest.raises(StackError, match=f"the clone in {one}"):
        project._mark()


class TestReleaseBefore:
    """Its containers and volumes carry no id."""

    def test_upgrade_in_its_folder_asks_nothing(self, engine: FakeEngine, tmp_path: Path) -> None:
        """A running container holds this clone's secret."""
        _release_before(engine, _clone(tmp_path / "one"))
        assert _project(engine, tmp_path / "one").claim() == []
        assert engine.volumes[OWNER]["mlstack.clone"] == identify(tmp_path / "one").id
        # Once adopted, the containers may go and the secrets may change.
        engine.containers.clear()
        assert _project(engine, tmp_path / "one").require().is_ours

    def test_upgrade_in_renamed_folder_asks_nothing(
        self, engine: FakeEngine, tmp_path: Path
    ) -> None:
        _release_before(engine, tmp_path / "before")
        assert _project(engine, _clone(tmp_path / "one")).require().is_ours

    @pytest.mark.parametrize("secret", [SECRET, "another"])
    def test_stopped_mongodb_proves_it(
        self, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
    ) -> None:
        """Compose has copied root's password into its container."""
        _release_before(engine, tmp_path / "one", "mongo", state="exited")
        (tmp_path / "mongo_root_password").write_text(secret)
        packed = subprocess.run(
            ["tar", "--create", "-C", tmp_path, "mongo_root_password"],
            capture_output=True,
            check=True,
        )
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: packed)
        assert _project(engine, _clone(tmp_path / "one")).judge().is_ours is (secret == SECRET)

    def test_same_folder_proves_nothing(self, engine: FakeEngine, tmp_path: Path) -> None:
        """Another clone had this place, or another machine has the same path."""
        _release_before(engine, tmp_path / "one")
        with pytest.raises(StackError, match=r"nothing proves.*make adopt env=local"):
            _project(engine, _clone(tmp_path / "one", "another-secret")).claim()
        assert OWNER not in engine.volumes

    def test_volumes_alone_are_adopted_by_command(self, engine: FakeEngine, tmp_path: Path) -> None:
        engine.volumes = {"mlstack_mongo": {}, "somebody-elses": {}}
        project = _project(engine, _clone(tmp_path / "one"))
        with pytest.raises(StackError, match=r"\(mlstack_mongo\).*make adopt env=local"):
            project.require()
        project.adopt()
        assert project.claim() == []
        assert engine.volumes.keys() == {*VOLUMES.values(), OWNER, "somebody-elses"}
        assert engine.volumes["somebody-elses"] == {}

    def test_copy_of_its_folder_is_refused(self, engine: FakeEngine, tmp_path: Path) -> None:
        """The copy has the same secrets, and the original is still there."""
        one = _clone(tmp_path / "one")
        _release_before(engine, one)
        copy = shutil.copytree(one, tmp_path / "copy")
        assert not _project(engine, copy).judge().is_ours
        assert _project(engine, one).judge().is_ours


def test_every_container_carries_the_clone() -> None:
    services = read_services("docker-compose-model-registry.yml", "docker-compose-serve.yml")
    for name, service in services.items():
        assert service["labels"]["mlstack.clone"] == "${MLSTACK_CLONE:-}", name


class TestIdentity:
    """The id of a clone."""

    def test_id_is_drawn_once(self, tmp_path: Path) -> None:
        first = identify(tmp_path)
        assert identify(tmp_path) == first
        assert (tmp_path / ".clone").stat().st_mode & 0o777 == 0o644
        assert [path.name for path in tmp_path.iterdir()] == [".clone"]

    def test_faster_of_two_draws_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = Clone.read
        answers = [None]
        other = Clone("other", str(tmp_path))

        def none_at_first(folder: Path) -> Clone | None:
            if answers:
                answers.pop()
                (tmp_path / ".clone").write_text(json.dumps({"id": "other", "folder": str(folder)}))
                return None
            return read(folder)

        monkeypatch.setattr(Clone, "read", none_at_first)
        assert identify(tmp_path) == other

    def test_damaged_file_is_named(self, tmp_path: Path) -> None:
        for content in ("", "{}", "[1]", "x"):
            (tmp_path / ".clone").write_text(content)
            with pytest.raises(StackError, match="is damaged: restore it"):
                identify(tmp_path)

    def test_second_path_of_a_folder_is_no_copy(self, tmp_path: Path) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "one")
        first = identify(tmp_path / "one")
        assert identify(tmp_path / "link") == first
