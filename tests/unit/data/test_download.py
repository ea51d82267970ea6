"""`asrtool download`: breaks, servers with and without Range, mirrors, checksums, archives, full disks."""

import errno
import hashlib
import io
import os
import shutil
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from asrtool.bin import download as verb
from asrtool.data import download as module
from asrtool.data.download import addresses, fetch, file_name, parse_checksum, verify
from asrtool.errors import AsrtoolError

PAYLOAD = os.urandom(300_000)
TEXT = b"a01-0001 BEI3 JING1\n"


class Handler(BaseHTTPRequestHandler):
    """Serves what `server.files` holds; `server.script` has the treatment of the next requests, then they are served well."""

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        treatment = self.server.script.pop(0) if self.server.script else "well"
        if isinstance(treatment, int):
            self.send_error(treatment)
            return
        if self.path not in self.server.files:
            self.send_error(404)
            return
        whole = self.server.files[self.path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(whole) and wanted and self.server.ranges:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(whole)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = whole[start:]
        self.send_response(206 if wanted and self.server.ranges else 200)
        if wanted and self.server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        if self.server.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if treatment == "cut" else body)

    def log_message(self, *_arguments) -> None:
        pass


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.script, self.asked = {"/f/x.bin": PAYLOAD}, [], []
        self.ranges = self.lengths = True
        self.base = f"http://127.0.0.1:{self.server_address[1]}/f"


@pytest.fixture
def server():
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def ranges_asked(server: Server) -> list[str | None]:
    return [wanted for _, wanted in server.asked]


def test_what_broke_off_goes_on_where_it_was(server, tmp_path, capsys):
    server.script = ["cut", "cut"]
    path = fetch(f"{server.base}/x.bin", tmp_path / "d", wait_s=0)
    assert path.read_bytes() == PAYLOAD
    assert ranges_asked(server) == [None, "bytes=150000-", "bytes=225000-"]
    assert "the connection broke after 150000 of 300000 bytes" in capsys.readouterr().err
    assert [entry.name for entry in (tmp_path / "d").iterdir()] == ["x.bin"]
    fetch(f"{server.base}/x.bin", tmp_path / "d")
    assert len(server.asked) == 3  # there already


def test_another_run_goes_on_where_the_first_was(server, tmp_path):
    server.script = ["cut", 404]
    with pytest.raises(AsrtoolError, match="the server answers 404"):
        fetch(f"{server.base}/x.bin", tmp_path, wait_s=0)
    assert (tmp_path / "x.bin.part").stat().st_size == 150_000
    assert fetch(f"{server.base}/x.bin", tmp_path).read_bytes() == PAYLOAD
    assert ranges_asked(server)[-1] == "bytes=150000-"


def test_a_server_without_ranges_starts_anew(server, tmp_path, capsys):
    server.ranges = False
    server.script = ["cut"]
    assert fetch(f"{server.base}/x.bin", tmp_path, wait_s=0).read_bytes() == PAYLOAD
    assert "does not go on in the middle" in capsys.readouterr().err


def test_a_server_that_tells_no_length(server, tmp_path):
    server.lengths = False
    assert fetch(f"{server.base}/x.bin", tmp_path, wait_s=0).read_bytes() == PAYLOAD


@pytest.mark.parametrize("have", [300_000, 400_000])
def test_a_part_that_is_whole_or_too_long(server, tmp_path, have):
    (tmp_path / "x.bin.part").write_bytes((PAYLOAD * 2)[:have])
    assert fetch(f"{server.base}/x.bin", tmp_path, wait_s=0).read_bytes() == PAYLOAD


def test_a_file_that_has_changed_on_the_server_starts_anew(server, tmp_path):
    server.script = ["cut", 403]
    with pytest.raises(AsrtoolError):
        fetch(f"{server.base}/x.bin", tmp_path, wait_s=0)
    server.files["/f/x.bin"] = PAYLOAD[::-1] + b"more"
    assert fetch(f"{server.base}/x.bin", tmp_path, wait_s=0).read_bytes() == PAYLOAD[::-1] + b"more"


def test_a_server_out_of_order_is_asked_again_then_given_up(server, tmp_path):
    server.script = [503, 500, 429]
    assert fetch(f"{server.base}/x.bin", tmp_path, wait_s=0).read_bytes() == PAYLOAD
    server.script = [503] * 9
    with pytest.raises(AsrtoolError, match=r"503 .*start again later, it goes on"):
        fetch(f"{server.base}/x.bin", tmp_path / "other", tries=2, wait_s=0)
    assert len(server.asked) == 6


def test_mirrors_are_tried_in_turn_and_continue_each_other(server, tmp_path):
    server.files = {"/b/x.bin": PAYLOAD, "/c/x.bin": PAYLOAD}
    server.script = [404, "cut"]
    base = server.base.removesuffix("/f")
    mirrors = ["http://127.0.0.1:9/none", f"{base}/b/", f"{base}/c"]
    assert fetch(f"{base}/a/x.bin", tmp_path, mirrors, wait_s=0).read_bytes() == PAYLOAD
    assert server.asked == [("/a/x.bin", None), ("/b/x.bin", None), ("/c/x.bin", "bytes=150000-")]


def test_addresses_and_names():
    assert addresses("http://a/b/x.tgz?v=1", ["http://m/n/", "http://a/b"]) == ["http://a/b/x.tgz?v=1", "http://m/n/x.tgz?v=1"]
    assert file_name("http://a/b/x%20y.tgz?v=1") == "x y.tgz"
    for bad in ("ftp://a/x", "http://a/b/", "x.tgz", "http://a/.."):
        with pytest.raises(AsrtoolError, match="expected http://"):
            file_name(bad)


def test_file_addresses(tmp_path):
    source = tmp_path / "x.bin"
    source.write_bytes(PAYLOAD)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x.bin.part").write_bytes(PAYLOAD[:1000])
    assert fetch(source.as_uri(), tmp_path / "d").read_bytes() == PAYLOAD
    with pytest.raises(AsrtoolError, match="No such file"):
        fetch((tmp_path / "none").as_uri(), tmp_path / "d")


def test_checksums(tmp_path, capsys):
    path = tmp_path / "x.bin"
    for kind in ("md5", "sha256"):
        path.write_bytes(PAYLOAD)
        verify(path, f"{kind}:{hashlib.new(kind, PAYLOAD).hexdigest().upper()}")
    assert "sha256 is right" in capsys.readouterr().err
    with pytest.raises(AsrtoolError, match=r"x.bin: its md5 is .*, not 0{32}; it is set aside as x.bin.bad"):
        verify(path, "md5:" + "0" * 32)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.bin.bad"]
    for bad in ("0" * 32, "md5:123", "sha1:" + "0" * 40, "md5:" + "g" * 32):
        with pytest.raises(AsrtoolError, match="expected md5: and 32, or sha256: and 64"):
            parse_checksum(bad)


def test_no_room(server, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(module.shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**6, 9 * 10**5, 10**5))
        with pytest.raises(AsrtoolError, match="100 kB are free, 300 kB are still to come; make room"):
            fetch(f"{server.base}/x.bin", tmp_path)
    with monkeypatch.context() as context:

        def full(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        context.setattr(module.os, "fsync", full)
        with pytest.raises(AsrtoolError, match=r"x.bin.part: No space left on device; make room"):
            fetch(f"{server.base}/x.bin", tmp_path)


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "tar", "tar.bz2", "tar.xz", "zip"])
def test_archives_are_fetched_and_unpacked(server, tmp_path, suffix):
    kind = {"tgz": "gz", "tar": ""}.get(suffix, suffix.rpartition(".")[2])
    if suffix == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("corpus/text", TEXT)
        content = packed.getvalue()
    else:
        content = tar_of({"corpus/text": TEXT}, f"w:{kind}")
    server.files[f"/f/c.{suffix}"] = content
    arguments = ["--unpack", "true", "--remove-archive", "true", "--checksum", f"md5:{hashlib.md5(content).hexdigest()}"]
    arguments += [f"{server.base}/c.{suffix}", str(tmp_path)]
    assert verb.main(arguments) == verb.main(arguments) == 0
    assert (tmp_path / "corpus/text").read_bytes() == TEXT
    assert len(server.asked) == 1  # the second time nothing is fetched
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f".c.{suffix}.unpacked", "corpus"]


def test_archives_of_one_corpus_are_merged(server, tmp_path):
    for part in ("dev", "test"):
        server.files[f"/f/{part}.tar.gz"] = tar_of({"L/README": TEXT, f"L/{part}/1/2.txt": part.encode()})
        arguments = ["--unpack", "true", "--provides", f"L/{part}", f"{server.base}/{part}.tar.gz", str(tmp_path)]
        assert verb.main(arguments) == verb.main(arguments) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.txt")} == {"2.txt": b"test"}
    assert sorted(path.name for path in (tmp_path / "L").iterdir()) == ["README", "dev", "test"]
    assert len(server.asked) == 2


def unpack_error(server: Server, tmp_path: Path, *options: str) -> str:
    with pytest.raises(AsrtoolError) as error:
        verb.main(["--unpack", "true", *options, f"{server.base}/c.tar.gz", str(tmp_path)])
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left <= {"c.tar.gz", "c.tar.gz.bad"}  # nothing half unpacked
    return str(error.value)


def test_damaged_archives_leave_nothing_behind(server, tmp_path, monkeypatch):
    whole = tar_of({"corpus/text": TEXT, "corpus/big": PAYLOAD})
    for content in (whole[:200_000], whole[:100] + bytes(500) + whole[600:], b"no archive at all"):
        server.files["/f/c.tar.gz"] = content
        assert "c.tar.gz: cannot be unpacked" in unpack_error(server, tmp_path)
        (tmp_path / "c.tar.gz").unlink()
    server.files["/f/c.tar.gz"] = whole
    assert "set aside as c.tar.gz.bad" in unpack_error(server, tmp_path, "--checksum", "sha256:" + "1" * 64)
    assert "holds no corpus/wav; is it the right archive?" in unpack_error(server, tmp_path, "--provides", "corpus/wav")
    server.files["/f/c.tar.gz"] = tar_of({"../outside": TEXT})
    (tmp_path / "c.tar.gz").unlink()
    assert "cannot be unpacked" in unpack_error(server, tmp_path)
    assert not (tmp_path.parent / "outside").exists()

    def full(*_arguments) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("asrtool.data.unpack.os.replace", full)
    (tmp_path / "c.tar.gz").write_bytes(whole)
    assert "No space left on device while c.tar.gz was unpacked; make room" in unpack_error(server, tmp_path)
