"""Which files of a folder are images."""

import pytest

from lorair.images import format_of, list_images, names_image


@pytest.fixture
def folder(tmp_path):
    for name in ("b.PNG", "a.jpeg", "c.bmp", "d.tiff", "e.webp", "notes.txt", ".hidden.png", "no_suffix"):
        (tmp_path / name).touch()
    for name in ("deep/f.jpg", "deep/deeper/g.tif", ".thumbnails/h.png", "folder.png/i.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "deep/loop").symlink_to(tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path / "b.PNG")
    (tmp_path / "broken.png").symlink_to(tmp_path / "missing.png")
    return tmp_path


def test_a_folder_lists_its_image_files_by_name(folder):
    assert [path.name for path in list_images(folder)] == ["a.jpeg", "b.PNG", "c.bmp", "d.tiff", "e.webp", "link.png"]


def test_recursion_enters_folders_but_neither_links_nor_hidden_ones(folder):
    below = {
        path.relative_to(folder).as_posix() for path in list_images(folder, recursive=True) if path.parent != folder
    }
    assert below == {"deep/f.jpg", "deep/deeper/g.tif", "folder.png/i.png"}
    assert list_images(folder, recursive=True) == sorted(list_images(folder, recursive=True))


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list_images(tmp_path / "missing")


@pytest.mark.parametrize(("name", "yes"), [("a/b.JPG", True), ("a.gz", False), (".a.jpg", False), ("jpg", False)])
def test_names(name, yes):
    assert names_image(name) == yes


def test_a_format_that_is_only_read_is_not_written():
    assert format_of("a.TIF") == "TIFF"
    with pytest.raises(ValueError, match=r"a\.bmp: \.bmp is not an output format; use one of \.png"):
        format_of("a.bmp")
