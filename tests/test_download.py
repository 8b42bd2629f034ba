"""Downloads are whole or not at all, go on where they broke off, and are checked against what was noted."""

import hashlib
import http.server
import threading

import pytest

from gtp_jax.data import download
from gtp_jax.errors import UserError

CONTENT = bytes(range(256)) * 8000


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` under any name, with ranges; breaks off after `most` bytes of an answer."""

    content, most, tag, ranges = CONTENT, None, "one", True

    def handle_error(self, *_):
        """A client that has read enough hangs up."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.npz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, start = self.server, 0
        server.asked.append(self.headers.get("Range"))
        if self.path.endswith("nonsense"):
            return self.wfile.write(b"no HTTP\r\n\r\n")
        if self.path.endswith("missing"):
            return self.send_error(404)
        if server.ranges and self.headers.get("Range") and self.headers.get("If-Range") == server.tag:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start and start >= len(server.content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.send_header("ETag", server.tag)
        self.end_headers()
        self.wfile.write(server.content[start:][: server.most])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "data.npz"


def names(path):
    return {each.name for each in path.parent.iterdir()} - {"data.npz.lock"}


def test_a_file_is_fetched_with_a_note_of_its_sum(server, path):
    download.fetch(server.url, path)
    assert path.read_bytes() == CONTENT and names(path) == {"data.npz", "data.npz.sha256"}
    assert path.with_name("data.npz.sha256").read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  data.npz\n"


def break_off(server, path, most=700_000):
    server.most = most
    with pytest.raises(UserError, match="broke off after .* run again to go on"):
        download.fetch(server.url, path)
    server.most = None
    assert not path.exists()


def test_what_broke_off_is_gone_on_with(server, path):
    break_off(server, path)
    download.fetch(server.url, path)
    assert path.read_bytes() == CONTENT and server.asked == [None, "bytes=700000-"]


def test_it_begins_again_if_the_server_has_another_file_now(server, path):
    break_off(server, path)
    server.content, server.tag = CONTENT[::-1], "two"
    download.fetch(server.url, path)
    assert path.read_bytes() == CONTENT[::-1]


def test_it_begins_again_if_the_server_knows_no_ranges(server, path):
    break_off(server, path)
    server.ranges = False
    download.fetch(server.url, path)
    assert path.read_bytes() == CONTENT


def test_it_begins_again_if_more_had_arrived_than_there_is(server, path):
    break_off(server, path)
    server.content = CONTENT[:600_000]
    download.fetch(server.url, path)
    assert path.read_bytes() == CONTENT[:600_000]


def test_a_file_that_is_there_is_not_asked_for(server, path):
    path.parent.mkdir()
    path.write_bytes(b"one's own")
    download.fetch(server.url, path)
    assert path.read_bytes() == b"one's own" and not server.asked


def test_a_file_that_is_not_what_was_noted_is_refused(server, path):
    download.fetch(server.url, path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="is not the file that was downloaded; delete it"):
        download.fetch(server.url, path)


def test_more_than_any_data_set_is_refused_before_it_arrives(server, path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", len(CONTENT) - 1)
    with pytest.raises(UserError, match="more than any data set"):
        download.fetch(server.url, path)
    assert not path.exists()


@pytest.mark.parametrize(
    "url, problem", [("http://127.0.0.1:9/x.npz", "refused"), ("{}/missing", "404"), ("{}/nonsense", "no HTTP")]
)
def test_a_server_without_it_is_one_line(url, problem, server, path):
    with pytest.raises(UserError, match=problem) as caught:
        download.fetch(url.format(server.url), path)
    assert "put it there" in str(caught.value) and "\n" not in str(caught.value)


def test_processes_that_want_the_same_file_fetch_it_once(server, path):
    threads = [threading.Thread(target=download.fetch, args=(server.url, path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT and len(server.asked) == 1
