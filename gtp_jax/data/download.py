"""Files from servers that offer no more than HTTP: whole or not at all, going on where an attempt broke off."""

import contextlib
import hashlib
import http.client
import os
import pathlib
import urllib.error
import urllib.request

from tqdm import tqdm

from gtp_jax.data import turns
from gtp_jax.errors import UserError

TIMEOUT = 10.0  # seconds without an answer after which a server counts as out of reach
LARGEST = 2**36  # bytes; no data set of D4RL or OGBench comes near
_PIECE = 2**20


def fetch(url: str, path: pathlib.Path) -> None:
    """Downloads a file, unless it is there, and notes its sha256 beside it.

    What arrived before an attempt broke off lies in `PATH.part`, and is gone on from if the server still has the same
    file. A file that is there with a note is checked against it.

    Raises:
        UserError: the server is out of reach or does not have it, the disk is full, or the file is not what was noted.
    """
    note = path.with_name(f"{path.name}.sha256")

    def get():
        _download(url, path)
        note.write_text(f"{_sha256(path)}  {path.name}\n")

    try:
        came = turns.once(path.exists, get, path.with_name(f"{path.name}.lock"))
        if not came and note.exists() and note.read_text().split()[:1] != [_sha256(path)]:
            raise UserError(f"{path} is not the file that was downloaded; delete it and {note.name} to fetch it again")
    except (OSError, http.client.HTTPException) as error:  # of the network too
        problem = " ".join(str(error).split())
        raise UserError(
            f"{url} cannot be downloaded to {path} ({problem}); run again to go on, or put it there"
        ) from error


def _download(url: str, path: pathlib.Path) -> None:
    part, tag = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.tag")
    start = part.stat().st_size if part.exists() and tag.exists() else 0
    request = urllib.request.Request(url)
    if start:
        # If-Range: the whole file comes, should it have changed meanwhile.
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", tag.read_text())
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # there is nothing after what has arrived
            raise
        part.unlink()
        return _download(url, path)
    with contextlib.closing(response):
        start = start if response.status == 206 else 0
        total = start + int(response.headers.get("Content-Length", 0))
        if total > LARGEST:
            raise UserError(f"{url} has {total / 1e9:.0f} GB, more than any data set")
        identity = response.headers.get("ETag") or response.headers.get("Last-Modified")
        tag.unlink(missing_ok=True)
        if identity:
            tag.write_text(identity)
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(total=total or None, initial=start, desc=path.name, unit="B", unit_scale=True) as bar,
        ):
            arrived = start
            while piece := response.read(_PIECE):
                arrived += len(piece)
                if arrived > LARGEST:
                    raise UserError(f"{url} does not end")
                file.write(piece)
                bar.update(len(piece))
            file.flush()
            os.fsync(file.fileno())
    if total and arrived < total:
        raise OSError(f"the connection broke off after {arrived} of {total} bytes")
    os.replace(part, path)
    tag.unlink(missing_ok=True)


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
