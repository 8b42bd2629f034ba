"""Data that the local store lacks come from Minari's hub, whole or not at all; what is not a download is left alone."""

import contextlib
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse

import pytest
from minari_store import collect, resolve
from small_run import REPOSITORY

from gtp_jax.data import minari_source
from gtp_jax.tasks import get

POINT = get("pointmaze/umaze")


@contextlib.contextmanager
def hub(root):
    """A Hugging Face hub on this machine that holds the repository farama-minari/D4RL, which is `root`/D4RL."""
    commit = "0" * 40

    def files():
        return {str(path.relative_to(root / "D4RL")): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET(body=False)

        def do_GET(self, body=True):
            path, held = urllib.parse.urlsplit(self.path).path, files()
            info = {"id": "farama-minari/D4RL", "sha": commit, "siblings": [{"rfilename": name} for name in held]}
            tree = [{"type": "file", "path": name, "size": len(held[name]), "oid": commit} for name in held]
            api, download = "/api/datasets/farama-minari/D4RL", "/datasets/farama-minari/D4RL/resolve/main/"
            name = path.removeprefix(download).removeprefix(f"/datasets/farama-minari/D4RL/resolve/{commit}/")
            answers = {"/api/datasets": [info], f"{api}/tree/{commit}": tree, api: info, f"{api}/revision/main": info}
            content, status, headers = b"", 404, {"X-Error-Code": "EntryNotFound"}
            if path in answers:
                content, status, headers = json.dumps(answers[path]).encode(), 200, {}
            elif name in held:
                etag = hashlib.sha1(held[name]).hexdigest()
                content, status, headers = held[name], 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def with_hub(tmp_path, store):
    """Resolves PointMaze's data in a process whose hub holds a small set of D4RL's name; returns its last line."""
    collect(POINT)
    store.rename(tmp_path / "hub")
    spaces = {"": {"datasets": [POINT.minari_id], "namespaces": ["D4RL/pointmaze"]}, "pointmaze": {}}
    for name, content in spaces.items():
        (tmp_path / "hub" / "D4RL" / name / "namespace_metadata.json").write_text(json.dumps(content))

    code = (
        "import sys; from gtp_jax import errors, tasks; from gtp_jax.data import sources\n"
        "try:\n"
        "  found = sources.resolve(tasks.get('pointmaze/umaze'), sys.argv[1],"
        " num_transitions=100, seed=0)\n"
        "  print(*found.record().values())\n"
        "except errors.UserError as error: print('refused:', error)\n"
    )

    def resolve(dataset):
        with hub(tmp_path / "hub") as address:
            environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache")}
            result = subprocess.run(
                [sys.executable, "-c", code, dataset],
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()[-1]

    return resolve


@pytest.mark.parametrize("dataset", ["auto", POINT.minari_id])
def test_a_download_from_the_hub_is_read(dataset, with_hub):
    assert with_hub(dataset) == f"{POINT.minari_id} minari-remote 60"


def test_a_download_is_kept_and_needs_no_hub_the_next_time(with_hub):
    with_hub("auto")
    assert resolve(POINT)[0].source == "minari-local"


@pytest.mark.parametrize("left", [(), ("metadata.json",)])
def test_what_a_killed_download_has_left_is_downloaded_again(left, with_hub, store):
    (store / POINT.minari_id / "data").mkdir(parents=True)
    for name in left:
        (store / POINT.minari_id / "data" / name).write_text("{")
    assert with_hub("auto") == f"{POINT.minari_id} minari-remote 60"


def test_what_is_no_download_is_neither_read_nor_removed(with_hub, store):
    (mine := store / POINT.minari_id / "data" / "0" / "observations.arrow").parent.mkdir(parents=True)
    mine.touch()
    assert "only whole data sets in HDF5 are read; move it away and run again" in with_hub("auto")
    assert mine.exists()


def test_what_somebody_else_has_downloaded_meanwhile_stays(store, monkeypatch):
    def broken_off(_):
        collect(POINT)
        raise KeyboardInterrupt

    monkeypatch.setattr(minari_source, "hub_problem", lambda: None)
    monkeypatch.setattr(minari_source.minari, "download_dataset", broken_off)
    with pytest.raises(KeyboardInterrupt):
        minari_source.download(POINT.minari_id)
    assert minari_source.is_local(POINT.minari_id)


def test_what_the_hub_does_not_have_is_refused_and_what_is_in_the_store_stays(with_hub, store):
    with_hub("auto")
    assert with_hub("D4RL/pointmaze/none-v2").startswith(
        "refused: data set D4RL/pointmaze/none-v2 cannot be downloaded"
    )
    assert resolve(POINT)[0].source == "minari-local" and not (store / "D4RL/pointmaze/none-v2").exists()
