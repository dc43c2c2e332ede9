"""A file appears whole or not at all; nothing else is left in its folder."""

import errno
import os
import stat
from pathlib import Path

import pytest

from lorair.system import folder_written_aside, remove_unfinished, write_bytes, write_text, written_aside


def test_bytes_and_text_arrive_as_given(tmp_path):
    write_bytes(tmp_path / "data", b"a\r\n\0")
    write_text(tmp_path / "text", "ä\n")
    assert (tmp_path / "data").read_bytes() == b"a\r\n\0" and (tmp_path / "text").read_bytes() == b"\xc3\xa4\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "text"]


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_a_block_raises_leaves_the_old_file(tmp_path, raised):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(raised), written_aside(path) as aside:
        aside.write_text("half")
        assert path.read_text() == "old" and aside.parent == tmp_path
        raise raised
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_usual_permissions_and_a_replaced_one_its_own(tmp_path):
    path, usual = tmp_path / "file", tmp_path / "usual"
    usual.touch()
    write_text(path, "1")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    write_text(path, "2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and path.read_text() == "2"


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_an_error_names_the_file_that_was_asked_for(tmp_path, parent):
    (tmp_path / "file").touch()
    path = tmp_path / parent / "target"
    for write in (lambda: write_text(path, ""), lambda: folder_written_aside(path).__enter__()):
        with pytest.raises(OSError) as caught:
            write()
        assert caught.value.filename == str(path) and ".part" not in str(caught.value)


def test_an_open_file_that_cannot_be_written_names_the_target(tmp_path):
    path = tmp_path / "target"
    with pytest.raises(OSError) as caught, written_aside(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(path)


def test_the_longest_name_that_the_file_system_takes_can_be_written(tmp_path):
    write_text(tmp_path / ("n" * 255), "")
    assert (tmp_path / ("n" * 255)).exists()


def test_a_folder_takes_the_place_of_the_one_before(tmp_path):
    path = tmp_path / "folder"
    for text in ("old", "new"):
        with folder_written_aside(path) as folder:
            (folder / text).touch()
            assert text != "new" or (path / "old").exists()
        assert [file.name for file in path.iterdir()] == [text]
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_folder_comes_back_where_renaming_fails(tmp_path, monkeypatch):
    path, rename = tmp_path / "folder", os.replace
    path.mkdir()
    (path / "old").touch()

    def interrupted(source, target):
        if Path(source).name == "new":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), folder_written_aside(path) as folder:
        (folder / "new").touch()
    assert [file.name for file in path.iterdir()] == ["old"] and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_another_process_put_there_stays(tmp_path, monkeypatch):
    path, rename = tmp_path / "folder", os.replace

    def beaten(source, target):
        if Path(source).name == "new":
            path.mkdir()
            (path / "theirs").touch()
        rename(source, target)

    monkeypatch.setattr(os, "replace", beaten)
    with pytest.raises(FileExistsError, match="another process"), folder_written_aside(path) as folder:
        (folder / "ours").touch()
    assert [file.name for file in path.iterdir()] == ["theirs"] and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in (".hidden", "kept.part"):
        (tmp_path / name).touch()
    with written_aside(tmp_path / "file") as aside:
        aside.touch()
        left = aside.name
    (tmp_path / left).touch()
    (tmp_path / f"{left.removesuffix('.part')}0.part").mkdir()
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "file", "kept.part"]
