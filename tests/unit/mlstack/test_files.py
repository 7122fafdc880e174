"""A file is replaced completely or not at all, and synced where that is promised."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlstack.files import sync_tree, write_atomically


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that are synced to disk, in order."""
    paths: list[Path] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    return paths


def test_content_is_synced_before_name(tmp_path: Path, synced: list[Path]) -> None:
    path = tmp_path / "record.json"
    write_atomically(path, b"1")
    content, names = synced
    assert (content.parent, content.suffix) == (tmp_path, ".new")
    assert names == tmp_path


def test_hosts_with_equal_pids_write_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers that share a folder, processes have the same ids."""
    path, new = tmp_path / "heartbeat", set[str]()
    replace = Path.replace

    def replacing(source: Path, target: Path) -> Path:
        new.add(source.name)
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", replacing)
    for host in ("one", "another"):
        monkeypatch.setattr(os, "uname", lambda host=host: SimpleNamespace(nodename=host))
        write_atomically(path, host.encode())
    assert len(new) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["heartbeat"]


def test_write_without_sync_syncs_nothing(tmp_path: Path, synced: list[Path]) -> None:
    write_atomically(tmp_path / "heartbeat", b"1", sync=False)
    assert synced == []


def test_sync_tree_syncs_files_and_folders(tmp_path: Path, synced: list[Path]) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "contract.yaml").write_text("a: 1\n")
    sync_tree(tmp_path)
    assert sorted(synced) == [tmp_path, tmp_path / "extra", tmp_path / "extra" / "contract.yaml"]


def test_failed_write_leaves_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [
        ("record.json", b"old")
    ]
