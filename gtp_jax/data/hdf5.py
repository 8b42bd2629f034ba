"""Arrays of HDF5 files that may come from strangers."""

import math
import os

import h5py
import numpy as np

from gtp_jax.errors import UserError

LARGEST_RATIO = 20  # of arrays to their file, if they are compressed
LARGEST_PIECE = 2**26  # bytes, which are unpacked at once
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


class Reader:
    """Reads arrays of a file until they are far larger than the file that holds them.

    Args:
        task: its name in messages.
    """

    def __init__(self, file: h5py.File, task: str):
        self._file, self._task = file, task
        self._left = LARGEST_RATIO * os.stat(file.filename).st_size

    def __len__(self) -> int:
        return len(self._file)

    def __contains__(self, path: str) -> bool:
        return path in self._file

    def read(self, path: str, called: str, *shape: int, kinds: str = "f") -> np.ndarray:
        """The array at a path, of T rows of a shape; nothing is read before its size is known to be right.

        Args:
            called: its name in messages.
            kinds: of NumPy dtypes that are right: "f", or "biuf" for truth values and whole numbers too.

        Raises:
            UserError: it is missing, of another shape or kind, lies elsewhere, or claims to be larger than its file.
        """
        array = _array(self._file, path)
        if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
            raise UserError(f"its {called} has shape {array.shape[1:]}, that of {self._task} has {shape}")
        if array.dtype.kind not in kinds:
            raise UserError(f"its {called} holds {array.dtype}, not {_NAMES[kinds]}")
        self._left -= math.prod(array.shape) * array.dtype.itemsize
        if self._left < 0:
            raise UserError("its arrays claim to be larger than its file; it is damaged")
        return array[()]


_NAMES = {"f": "floating-point numbers", "biuf": "numbers"}


def _array(file: h5py.File, path: str) -> h5py.Dataset:
    """The array at a path, whose every byte lies in the file, and which no library outside HDF5 unpacks."""
    at = file
    for name in path.split("/"):
        link = at.get(name, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            raise UserError(f"it has no {path}: it is damaged, or its observations are not those of the task")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"its {path} is a link; put the array itself in its place")
        at = at[name]
    if not isinstance(at, h5py.Dataset):
        raise UserError(f"its {path} is no array: it is damaged, or its observations are not those of the task")
    layout = at.id.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        raise UserError(f"its {path} lies in another file; put the array itself in its place")
    if any(layout.get_filter(i)[0] not in _FILTERS for i in range(layout.get_nfilters())):
        raise UserError(f"its {path} is packed in a way unknown here; use gzip or nothing")
    if math.prod(at.chunks or ()) * at.dtype.itemsize > LARGEST_PIECE:
        raise UserError(f"its {path} is stored in pieces of more than {LARGEST_PIECE} bytes; make them smaller")
    return at
