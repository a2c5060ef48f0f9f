"""Files and folders appear whole or not at all; pieces of long work are never taken for what they are not."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from metabolism import files
from metabolism.errors import OutputError, UsageError
from metabolism.files import Parts, check_target, complete_folder, write_text


def test_a_device_is_written_to_and_stays_a_device(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "text\n")
    assert os.read(reader, 100) == b"text\n"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_text("/dev/null", "text\n")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_what_the_shell_has_opened_is_written_to(tmp_path):
    """/dev/stdout leads to a pipe that has no name, or to a file that the shell holds open."""
    command = f"{sys.executable} -m metabolism list scenarios --quiet --json /dev/stdout"
    piped = subprocess.run(["bash", "-c", f"{command} | cat"], capture_output=True, text=True, check=True)
    assert json.loads(piped.stdout)[0]["id"] == "face_value"
    (tmp_path / "kept.json").write_text("before\n")
    subprocess.run(["bash", "-c", f"{command} >> kept.json"], cwd=tmp_path, check=True)
    assert (tmp_path / "kept.json").read_text() == f"before\n{piped.stdout}"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]


def test_the_commit_is_told_by_git_or_said_to_be_unknown(tmp_path, monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{40}(, changed since)?|unknown", files.commit())
    # installed without a repository
    monkeypatch.setattr(files, "__file__", str(tmp_path / "metabolism" / "files.py"))
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", files.commit.__wrapped__())


def test_a_link_stays_a_link_and_its_file_gets_the_text(tmp_path):
    (tmp_path / "far").mkdir()
    file = tmp_path / "far" / "file.txt"
    file.write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(file)
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert [p.name for p in (tmp_path / "far").iterdir()] == ["file.txt"]


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    order = []
    flush, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr("os.fsync", lambda handle: (order.append("flush"), flush(handle))[1])
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda self, target: (order.append("rename"), replace(self, target))[1]
    )
    write_text(tmp_path / "a.txt", "text")
    assert order == ["flush", "rename", "flush"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_rights_the_user_asked_of_new_files(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "empty name"), ("folder", "is a folder"), ("there.csv", "--force"), ("nowhere/a.csv", "no writable folder")],
)
def test_a_target_that_cannot_be_is_refused_before_the_work(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(OutputError, match=message):
        check_target(name)
    assert check_target("there.csv", force=True).name == "there.csv"
    assert check_target("/dev/null").exists()


def test_a_folder_is_replaced_only_where_all_in_it_has_a_successor(tmp_path):
    target = tmp_path / "out"
    for text in ("old", "new"):
        with complete_folder(target, replace=True) as folder:
            (folder / "a.txt").write_text(text)
            assert not target.exists() or (target / "a.txt").read_text() == "old"
    assert (target / "a.txt").read_text() == "new"
    (target / "precious.txt").write_text("notes")
    with pytest.raises(OutputError, match=r"precious\.txt"), complete_folder(target, replace=True) as folder:
        (folder / "a.txt").write_text("newer")
    assert (target / "a.txt").read_text() == "new"
    assert (target / "precious.txt").read_text() == "notes"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_folder_one_stands_in_is_never_replaced(tmp_path, monkeypatch):
    (tmp_path / "precious.txt").write_text("notes")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="the folder you are in"), complete_folder(".", replace=True):
        pass
    assert (tmp_path / "precious.txt").read_text() == "notes"


@pytest.mark.parametrize("step", ["_hold", "_sweep"])
def test_an_interrupt_before_the_first_file_leaves_no_folder(tmp_path, monkeypatch, step):
    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, step, interrupted)
    with pytest.raises(KeyboardInterrupt), complete_folder(tmp_path / "made"):
        pass
    assert not [*tmp_path.iterdir()]


def test_a_failure_leaves_neither_folder_nor_traces(tmp_path):
    def stop(folder):
        (folder / "x").write_text("1")
        raise ValueError("half")

    with pytest.raises(ValueError, match="half"), complete_folder(tmp_path / "a" / "b") as folder:
        stop(folder)
    assert not list((tmp_path / "a").iterdir())


@pytest.mark.parametrize("damage", ["", "{", "null", "[]", '{"content": 1}', "swap", "edit"])
def test_a_piece_that_is_damaged_moved_or_edited_counts_as_not_there(tmp_path, damage):
    parts = Parts(tmp_path, {"seed": 1})
    parts.write("a", [1.0, float("-inf")])
    parts.write("b", [0.1])
    assert parts.read("a") == [1.0, float("-inf")]
    assert Parts(tmp_path, {"seed": 1}).read("b") == [0.1]
    file = tmp_path / "a.json"
    if damage == "swap":
        damage = (tmp_path / "b.json").read_text()
    elif damage == "edit":
        damage = json.dumps(json.loads(file.read_text()) | {"content": [2.0, 3.0]})
    file.write_text(damage)
    assert parts.read("a") is None


def test_pieces_of_another_request_are_refused(tmp_path):
    Parts(tmp_path, {"seed": 1})
    with pytest.raises(UsageError, match="another request"):
        Parts(tmp_path, {"seed": 2})
    stray = tmp_path / "old"
    stray.mkdir()
    (stray / "start_0.json").write_text("{}")
    with pytest.raises(UsageError, match="another request"):
        Parts(stray, {"seed": 1})


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked there, and are left")
def test_what_a_killed_process_left_half_made_is_removed_and_what_is_being_made_is_not(tmp_path):
    code = (
        "import sys, time; from metabolism.files import complete_folder\n"
        "with complete_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'x').write_text('1'); print('in', flush=True); time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", code, str(tmp_path / "one")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as other:
        other.stdout.readline()
        (half,) = tmp_path.glob(".one.part-*")
        os.utime(half, (0, 0))
        with complete_folder(tmp_path / "two") as folder:
            (folder / "y").write_text("2")
        assert half.is_dir()
        other.kill()
    os.utime(half, (0, 0))
    # somebody's own, which only looks like one of ours
    (tmp_path / ".notes.part-one").mkdir()
    os.utime(tmp_path / ".notes.part-one", (0, 0))
    with complete_folder(tmp_path / "three") as folder:
        (folder / "y").write_text("2")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".notes.part-one", "three", "two"]
