"""A backup's file is whole, or it is refused."""

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from operations.backup.archive import ArchiveWriter, BackupError, Manifest, unpack

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def _about(count: int) -> Manifest:
    return Manifest(began_at=NOW, mlflow_version="3.0", counts={"things": count})


def _backup(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with ArchiveWriter(stream) as archive:
        for name, content in members.items():
            archive.add(f"part/{name}", content)
        archive.finish(_about(len(members)))
    return stream.getvalue()


def _repacked(backup: bytes, **replaced: bytes) -> bytes:
    """Another archive with the same manifest."""
    stream = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(backup)) as old,
        tarfile.open(fileobj=stream, mode="w:gz") as new,
    ):
        for member in old:
            file = old.extractfile(member)
            assert file is not None
            content = replaced.get(Path(member.name).name, file.read())
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_members_are_unpacked_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"three")
    stream = io.BytesIO()
    with ArchiveWriter(stream) as archive:
        archive.add("a/one", b"")
        archive.add("a/b/two", bytes(3_000_000))
        archive.add_file("three", file)
        written = archive.finish(_about(3))
    stream.seek(0)
    manifest = unpack(stream, tmp_path / "out")
    assert manifest == written
    assert str(manifest) == "of 2030-01-02 03:04:05 UTC: 3 things"
    assert (tmp_path / "out/a/one").read_bytes() == b""
    assert (tmp_path / "out/a/b/two").read_bytes() == bytes(3_000_000)
    assert (tmp_path / "out/three").read_bytes() == b"three"


@pytest.mark.parametrize("left", [0, 1, 20, 0.5, 0.9, 0.999])
def test_cut_off_backup_is_refused(tmp_path: Path, left: float) -> None:
    whole = _backup(one=bytes(range(256)) * 100, two=b"2")
    cut = whole[: left if isinstance(left, int) else int(left * len(whole))]
    with pytest.raises(BackupError, match="incomplete"):
        unpack(io.BytesIO(cut), tmp_path / "out")


def test_half_written_backup_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()

    def fail_half_way() -> None:
        with ArchiveWriter(stream) as archive:
            archive.add("one", b"1")
            archive.add_file("two", tmp_path / "absent")

    with pytest.raises(OSError, match="absent"):
        fail_half_way()
    stream.seek(0)
    with pytest.raises(BackupError, match="incomplete"):
        unpack(stream, tmp_path / "out")


def test_changed_or_missing_member_is_named(tmp_path: Path) -> None:
    changed = _repacked(_backup(one=b"1", two=b"2"), two=b"3")
    with pytest.raises(BackupError, match=r"damaged; .*: part/two$"):
        unpack(io.BytesIO(changed), tmp_path / "changed")
    less = _repacked(_backup(one=b"1"), **{"manifest.json": _manifest(_backup(one=b"1", two=b"2"))})
    with pytest.raises(BackupError, match=r"damaged; .*: part/two$"):
        unpack(io.BytesIO(less), tmp_path / "less")


def test_other_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="not a backup"):
        unpack(io.BytesIO(b"customers,of,another,kind\n" * 100), tmp_path / "text")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("something"), io.BytesIO())
    stream.seek(0)
    with pytest.raises(BackupError, match="manifest"):
        unpack(stream, tmp_path / "tar")


def test_later_format_is_refused(tmp_path: Path) -> None:
    backup = _backup()
    later = _manifest(backup).replace(b'"format": 1', b'"format": 2')
    with pytest.raises(BackupError, match="another format version"):
        unpack(io.BytesIO(_repacked(backup, **{"manifest.json": later})), tmp_path / "out")


@pytest.mark.parametrize("above", ["..", "/absolute"])
def test_unpack_writes_only_into_folder(tmp_path: Path, above: str) -> None:
    name = f"{above}/outside" if above == ".." else f"{tmp_path}/outside"
    stream = io.BytesIO()
    with ArchiveWriter(stream) as archive:
        archive.add(name, b"1")
        archive.finish(_about(1))
    stream.seek(0)
    with pytest.raises(BackupError, match=r"unexpected member .*outside'"):
        unpack(stream, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_unpack_refuses_links(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(link)
    stream.seek(0)
    with pytest.raises(BackupError, match="unexpected member 'link'"):
        unpack(stream, tmp_path / "out")


def _manifest(backup: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(backup)) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        content = file.read()
    assert Manifest.model_validate_json(content)
    return content
