from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clinnlp.atomic import replace_file, replace_folder
from clinnlp.errors import FormatError


def tree(folder: Path) -> dict[str, str]:
    """All files of a folder with what is in them, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


class Stop(BaseException):
    """Anything that may end a block, an interrupt too."""


def stop_after(done: object) -> None:
    raise Stop


def test_a_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with replace_file(path) as new:
        new.write_text("one")
        assert not path.exists()
    with replace_file(path) as new:
        new.write_text("two")
        assert path.read_text() == "one"
    assert tree(tmp_path) == {"new/a.txt": "two"}


def test_a_file_that_was_there_survives_a_failure(tmp_path: Path) -> None:
    write(tmp_path, a_txt="old")
    with pytest.raises(Stop), replace_file(tmp_path / "a.txt") as new:
        stop_after(new.write_text("half"))
    assert tree(tmp_path) == {"a.txt": "old"}


def test_a_file_has_the_permissions_of_the_old_one_or_of_a_plain_one(tmp_path: Path) -> None:
    plain = write(tmp_path, a_txt="").joinpath("a.txt").stat().st_mode
    with replace_file(tmp_path / "b.txt"):
        pass
    assert (tmp_path / "b.txt").stat().st_mode == plain
    (tmp_path / "b.txt").chmod(0o600)
    with replace_file(tmp_path / "b.txt") as new:
        assert stat.S_IMODE(new.stat().st_mode) == 0o600  # from the first byte on
    assert stat.S_IMODE((tmp_path / "b.txt").stat().st_mode) == 0o600


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path, a_txt="old")
    (tmp_path / "link").symlink_to("a.txt")
    with replace_file(tmp_path / "link") as new:
        new.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.txt").read_text() == "new"


def test_what_is_no_plain_file_is_written_itself(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with replace_file(pipe) as new:
        assert new == pipe
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with replace_file(Path("/dev/null")) as new:
        new.write_text("nowhere")


def test_standard_output_is_written_itself(tmp_path: Path) -> None:
    code = "from pathlib import Path; from clinnlp.atomic import replace_file\n"
    code += "with replace_file(Path('/dev/stdout')) as new: new.write_text('out')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"out"


def test_a_folder_in_the_place_of_a_file_and_a_file_in_that_of_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is a folder"), replace_file(tmp_path):
        pass
    with pytest.raises(FormatError, match="is a file"), replace_folder(write(tmp_path, a="") / "a"):
        pass


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "new"
    with replace_folder(folder) as new:
        write(new, a_txt="1", sub__b_txt="2")
        assert not folder.exists()
    assert tree(tmp_path) == {"deep/new/a.txt": "1", "deep/new/sub/b.txt": "2"}


def test_a_folder_that_fails_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(Stop), replace_folder(tmp_path / "new") as new:
        stop_after(write(new, a_txt="1"))
    assert list(tmp_path.iterdir()) == []


def test_entries_of_the_same_name_are_replaced_whole_and_all_else_stays(tmp_path: Path) -> None:
    write(tmp_path, a_txt="old", sub__gone_txt="old", mine_txt="mine", own__x_txt="x")
    with replace_folder(tmp_path) as new:
        write(new, a_txt="new", sub__b_txt="new")
    assert tree(tmp_path) == {"a.txt": "new", "sub/b.txt": "new", "mine.txt": "mine", "own/x.txt": "x"}


def test_stale_entries_go(tmp_path: Path) -> None:
    write(tmp_path, **{"model-1_safetensors": "old", "mine_txt": "mine"})
    with replace_folder(tmp_path, stale=["*.safetensors"]) as new:
        write(new, model_safetensors="new")
    assert tree(tmp_path) == {"model.safetensors": "new", "mine.txt": "mine"}


def test_a_folder_that_was_there_survives_a_failure_of_the_block(tmp_path: Path) -> None:
    before = tree(write(tmp_path, a_txt="old", stale_txt="old"))
    with pytest.raises(Stop), replace_folder(tmp_path, stale=["stale*"]) as new:
        stop_after(write(new, a_txt="new"))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("failing", range(6))
def test_a_folder_that_was_there_survives_a_failure_at_every_step_of_the_exchange(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(write(tmp_path, one__b_txt="old", two__b_txt="old", stale_txt="old", mine_txt="mine"))
    plain, calls = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise Stop
        return plain(self, target)

    def save() -> None:
        with replace_folder(tmp_path, stale=["stale*"]) as new:
            write(new, one__b_txt="new", some_txt="new", two__b_txt="new")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Stop):
        save()
    assert tree(tmp_path) == before
    save()
    assert tree(tmp_path) == {"one/b.txt": "new", "some.txt": "new", "two/b.txt": "new", "mine.txt": "mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "one", "some.txt", "two"]


def test_old_and_new_entries_never_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a_txt="old", b_txt="old", c_txt="old")
    plain = Path.replace
    seen: list[set[str]] = []

    def replace(self: Path, target: Path) -> Path:
        moved = plain(self, target)
        seen.append({path.read_text() for path in tmp_path.glob("?.txt")})
        return moved

    monkeypatch.setattr(Path, "replace", replace)
    with replace_folder(tmp_path) as new:
        write(new, a_txt="new", b_txt="new", c_txt="new")
    assert seen == [{"old"}, {"old"}, set(), {"new"}, {"new"}, {"new"}]


def test_files_that_a_writer_made_for_the_owner_alone_are_open_to_others(tmp_path: Path) -> None:
    plain = write(tmp_path, plain_txt="").joinpath("plain.txt").stat().st_mode
    with replace_folder(tmp_path / "new") as new:
        write(new, a_txt="1").joinpath("a.txt").chmod(0o600)
    assert (tmp_path / "new" / "a.txt").stat().st_mode == plain


def test_the_current_folder_can_be_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, mine_txt="mine"))
    with replace_folder(Path()) as new:
        write(new, a_txt="1")
    assert Path.cwd() == tmp_path
    assert tree(Path()) == {"a.txt": "1", "mine.txt": "mine"}


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path, real__a_txt="old")
    (tmp_path / "link").symlink_to("real")
    with replace_folder(tmp_path / "link") as new:
        write(new, a_txt="new")
    assert (tmp_path / "link").is_symlink()
    assert tree(tmp_path / "real") == {"a.txt": "new"}


KILLED = """
import sys, time
from pathlib import Path
from clinnlp.atomic import replace_file, replace_folder
file, folder, ready = map(Path, sys.argv[1:])
with replace_file(file) as new, replace_folder(folder) as new_folder:
    new.write_text("half")
    (new_folder / "a.txt").write_text("half")
    ready.touch()
    time.sleep(60)
"""


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_ones(tmp_path: Path) -> None:
    file, folder, ready = tmp_path / "a.txt", tmp_path / "folder", tmp_path / "ready"
    write(tmp_path, a_txt="old", folder__a_txt="old", folder__b_txt="old")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file), str(folder), str(ready)])
    try:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ready.exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert file.read_text() == "old"
    assert {path.name: path.read_text() for path in folder.glob("[!.]*")} == {"a.txt": "old", "b.txt": "old"}
    with replace_file(file) as new:
        new.write_text("new")
    assert file.read_text() == "new"
