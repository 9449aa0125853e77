"""Downloads and mirrors, against a server on this machine that misbehaves on request."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from precisionpain.datasets._download import download, download_all
from precisionpain.datasets._ds005713 import registry
from precisionpain.datasets._ds005713.mirror import copy_from_mirror
from precisionpain.datasets._ds005713.registry import (
    RegisteredFile,
    Verified,
    WrongContentError,
    read_registry,
    sha256_of,
)
from precisionpain.errors import FormatError, StorageError

DATA = bytes(range(256)) * 4096 + b"the end"  # one MiB and a bit


def registered(path: str, data: bytes) -> RegisteredFile:
    return RegisteredFile(path, len(data), hashlib.sha256(data).hexdigest())


FILE = registered("sub-1/scan.bin", DATA)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    files: dict[str, bytes]
    requests: list[tuple[str, str | None]]
    ranges = True
    lengths = True
    cut_after: list[int]  # one entry per request: how many bytes before the connection ends
    answers: list[int]  # one entry per request: a status to answer instead

    def handle_error(self, *args: object) -> None:
        pass  # a client that stops reading is what some tests want

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.0"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        if self.server.answers:
            self.send_error(self.server.answers.pop(0))
            return
        data = self.server.files.get(self.path.lstrip("/"))
        if data is None:
            self.send_error(404)
            return
        start = 0
        if asked is not None and self.server.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        body = data[start:]
        if self.server.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut_after:
            body = body[: self.server.cut_after.pop(0)]
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Handler)
    server.files, server.requests = {FILE.path: DATA}, []
    server.cut_after, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_arrives_whole_and_leaves_no_part(server: Server, tmp_path: Path) -> None:
    target = tmp_path / FILE.path
    download(server.url(FILE.path), target, FILE)
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["scan.bin"]


def test_an_interrupted_download_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cut_after = [700_000, 100_000]
    target = tmp_path / FILE.path
    download(server.url(FILE.path), target, FILE, wait=0.001)
    assert target.read_bytes() == DATA
    assert [asked for _, asked in server.requests] == [None, "bytes=700000-", "bytes=800000-"]


def test_a_part_of_an_earlier_call_is_taken_up(server: Server, tmp_path: Path) -> None:
    target = tmp_path / FILE.path
    server.cut_after = [300_000]
    with pytest.raises(StorageError, match="takes up where it ended") as caught:
        download(server.url(FILE.path), target, FILE, retries=0)
    assert "300000 of 1048583 bytes" in str(caught.value)
    assert not target.exists()
    download(server.url(FILE.path), target, FILE)
    assert server.requests[-1][1] == "bytes=300000-"
    assert target.read_bytes() == DATA


def test_a_complete_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "scan.bin"
    (tmp_path / "scan.bin.part").write_bytes(DATA)
    download(server.url(FILE.path), target, FILE)
    assert server.requests == []
    assert target.read_bytes() == DATA


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cut_after = [700_000]
    target = tmp_path / FILE.path
    download(server.url(FILE.path), target, FILE, wait=0.001)
    assert target.read_bytes() == DATA
    assert len(server.requests) == 2


def test_a_wrong_part_is_thrown_away_once(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "scan.bin"
    (tmp_path / "scan.bin.part").write_bytes(b"x" * 5000)
    download(server.url(FILE.path), target, FILE)
    assert [asked for _, asked in server.requests] == ["bytes=5000-", None]
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("lengths", [True, False])
def test_corrupt_bytes_are_refused_and_removed(
    server: Server, tmp_path: Path, lengths: bool
) -> None:
    corrupt = b"y" + DATA[1:]
    server.files[FILE.path], server.lengths = corrupt, lengths
    target = tmp_path / FILE.path
    with pytest.raises(WrongContentError) as caught:
        download(server.url(FILE.path), target, FILE)
    assert FILE.sha256 in str(caught.value)
    assert hashlib.sha256(corrupt).hexdigest() in str(caught.value)
    assert "the file was removed" in str(caught.value)
    assert list(target.parent.iterdir()) == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("other", [DATA[:1000], DATA + b"more" * 10**6])
def test_another_version_of_the_file_is_refused(
    server: Server, tmp_path: Path, lengths: bool, other: bytes
) -> None:
    server.files[FILE.path], server.lengths = other, lengths
    with pytest.raises(StorageError) as caught:
        download(server.url(FILE.path), tmp_path / "scan.bin", FILE, retries=1, wait=0.001)
    assert not (tmp_path / "scan.bin").exists()
    if lengths:
        assert f"expected a file of {len(DATA)} bytes, the server has one of {len(other)}" in str(
            caught.value
        )


def test_failures_that_may_pass_are_tried_again(server: Server, tmp_path: Path) -> None:
    server.answers = [503, 500, 429]
    download(server.url(FILE.path), tmp_path / "scan.bin", FILE, wait=0.001)
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [404, 403])
def test_failures_that_stay_are_not(server: Server, tmp_path: Path, status: int) -> None:
    server.answers = [status]
    with pytest.raises(StorageError, match=f"the server answers {status}"):
        download(server.url(FILE.path), tmp_path / "scan.bin", FILE)
    assert len(server.requests) == 1


def test_a_range_beyond_the_file_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "scan.bin.part").write_bytes(b"x" * 5000)
    server.answers = [416]
    download(server.url(FILE.path), tmp_path / "scan.bin", FILE, wait=0.001)
    assert [asked for _, asked in server.requests] == ["bytes=5000-", None]


def test_offline_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StorageError, match="check the connection") as caught:
        download(f"http://127.0.0.1:{port}/a", tmp_path / "a", FILE, retries=2, wait=0.001)
    assert "3 attempts" in str(caught.value)
    assert "mirror=" in str(caught.value)


def test_a_disk_that_refuses_is_not_the_network(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sub-1").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="can't write"):
        download(server.url(FILE.path), tmp_path / FILE.path, FILE)
    assert server.requests == []


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_files_and_what_is_done_stays(server: Server, tmp_path: Path, jobs: int) -> None:
    contents = {f"f{i}.txt": f"file {i}".encode() for i in range(6)}
    server.files.update(contents)
    files = [registered(path, data) for path, data in contents.items()]
    lost = registered("lost.txt", b"nobody has it")
    wanted = [(server.url(file.path), file) for file in [*files, lost]]
    with pytest.raises(StorageError, match="404"):
        download_all(wanted, Verified(tmp_path), jobs=jobs, progress=False)
    again = Verified(tmp_path)
    assert all(again.holds(file) for file in files)
    assert not again.holds(lost)


def test_too_little_space_is_said_before(tmp_path: Path) -> None:
    huge = RegisteredFile("huge.bin", 10**18, "0" * 64)
    with pytest.raises(StorageError, match=r"1000000000\.0 GB are to be fetched"):
        download_all([("http://127.0.0.1/", huge)], Verified(tmp_path), progress=False)


def test_a_second_look_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub-1").mkdir()
    (tmp_path / FILE.path).write_bytes(DATA)
    first = Verified(tmp_path)
    assert first.holds(FILE)
    first.save()
    read: list[Path] = []
    monkeypatch.setattr(registry, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    assert Verified(tmp_path).holds(FILE)
    assert read == []
    (tmp_path / FILE.path).write_bytes(b"z" + DATA[1:])
    assert not Verified(tmp_path).holds(FILE)
    assert read == [tmp_path / FILE.path]


def test_a_broken_memory_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "sub-1").mkdir()
    (tmp_path / FILE.path).write_bytes(DATA)
    (tmp_path / registry._STAMPS).write_text("{not json")
    assert Verified(tmp_path).holds(FILE)


def test_a_root_that_cannot_keep_the_memory_does_without(tmp_path: Path) -> None:
    (tmp_path / "sub-1").mkdir()
    (tmp_path / FILE.path).write_bytes(DATA)
    (tmp_path / registry._STAMPS).mkdir()
    verified = Verified(tmp_path)
    assert verified.holds(FILE)
    verified.save()
    assert {path.name for path in tmp_path.iterdir()} == {"sub-1", registry._STAMPS}


@pytest.mark.parametrize(
    "line", ["a.txt\t5", "../a\t5\t" + "0" * 64, "/etc/a\t5\t" + "0" * 64, "a\t5\tzz", "a b"]
)
def test_registry_lines_are_checked(line: str) -> None:
    with pytest.raises(FormatError, match="registry, line 2"):
        read_registry(f"# comment\n{line}\n")


def test_registry_paths_stand_once() -> None:
    line = "a\t5\t" + "0" * 64
    with pytest.raises(FormatError, match="stands twice"):
        read_registry(f"{line}\n{line}\n")


# --- mirrors -------------------------------------------------------------------------


def archive(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, goal in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, goal
            tar.addfile(info)


def folders(tmp_path: Path) -> tuple[Path, Path]:
    mirror, root = tmp_path / "mirror", tmp_path / "root"
    mirror.mkdir()
    root.mkdir()
    return mirror, root


def test_mirror_by_path_by_checksum_and_in_archives(tmp_path: Path) -> None:
    mirror, root = folders(tmp_path)
    table, plain, side = b"complete table", b"plain", b"{}"
    (mirror / "participants.tsv").write_bytes(b"truncated")
    (mirror / "participants_v2.0.1.tsv").write_bytes(table)
    (mirror / "README").write_bytes(plain)
    archive(mirror / "tree.tar.gz", {"./sub-1/anat/a.json": side, "ds/sub-2/b.json": b"[]"})
    before = sorted((p, p.stat().st_mtime_ns) for p in mirror.rglob("*"))
    wanted = [
        registered("participants.tsv", table),
        registered("README", plain),
        registered("sub-1/anat/a.json", side),
        registered("sub-2/b.json", b"[]"),
        FILE,
    ]
    missing, notes = copy_from_mirror(mirror, wanted, Verified(root))
    assert missing == [FILE]
    assert (root / "participants.tsv").read_bytes() == table
    assert (root / "sub-1/anat/a.json").read_bytes() == side
    assert (root / "sub-2/b.json").read_bytes() == b"[]"
    assert any("participants.tsv in mirror was refused" in note for note in notes)
    assert any("copied from participants_v2.0.1.tsv" in note for note in notes)
    assert sorted((p, p.stat().st_mtime_ns) for p in mirror.rglob("*")) == before
    assert not list(root.rglob("*.part"))


def test_nothing_of_a_hostile_archive_escapes(tmp_path: Path) -> None:
    mirror, root = folders(tmp_path)
    evil = b"evil"
    archive(
        mirror / "tree.tgz",
        {"../evil.json": evil, "/tmp/evil.json": evil, "sub-1/../../evil.json": evil},
        links={"evil.json": "/etc/passwd", "sub-1": ".."},
    )
    missing, notes = copy_from_mirror(mirror, [registered("evil.json", b"good")], Verified(root))
    assert [file.path for file in missing] == ["evil.json"]
    assert any("../evil.json in tree.tgz was refused" in note for note in notes)
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")}
    assert names == {"mirror", "mirror/tree.tgz", "root"}


def test_a_wrong_member_of_an_archive_is_refused(tmp_path: Path) -> None:
    mirror, root = folders(tmp_path)
    archive(mirror / "tree.tar.gz", {"a.json": b"bad!", "b.json": b"short"})
    wanted = [registered("a.json", b"good"), registered("b.json", b"longer one")]
    missing, notes = copy_from_mirror(mirror, wanted, Verified(root))
    assert missing == wanted
    assert len([note for note in notes if "was refused" in note]) == 2
    assert not list(root.rglob("*.json*"))


def test_a_cut_archive_is_an_error(tmp_path: Path) -> None:
    mirror, root = folders(tmp_path)
    archive(mirror / "tree.tar.gz", {FILE.path: DATA})
    whole = (mirror / "tree.tar.gz").read_bytes()
    (mirror / "tree.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match="can't copy"):
        copy_from_mirror(mirror, [FILE], Verified(root))


def test_mirror_must_exist_and_is_never_written_to(tmp_path: Path) -> None:
    mirror, _ = folders(tmp_path)
    with pytest.raises(StorageError, match="no such folder"):
        copy_from_mirror(tmp_path / "nowhere", [FILE], Verified(tmp_path))
    for root in (mirror, mirror / "inside"):
        with pytest.raises(StorageError, match="never written to"):
            copy_from_mirror(mirror, [FILE], Verified(root))
    assert list(mirror.iterdir()) == []
