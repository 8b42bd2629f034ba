"""Writes Minari data sets with Minari's own writer, whole or not at all."""

import errno
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping

import gymnasium

from gtp_jax.data import scratch

_ROOM = 2**26  # bytes


def write(name: str, env: gymnasium.Env, episodes: Iterable, metadata: Mapping, *, overwrite: bool = False) -> None:
    """Puts a data set into the local store (MINARI_DATASETS_PATH, or ~/.minari/datasets) once it is whole.

    If another process makes the same one meanwhile, that one is kept.

    Args:
        env: whose spaces and spec it gets.
        episodes: `minari.data_collector.EpisodeBuffer`s.
        metadata: what Minari keeps about it besides.
        overwrite: whether to put it in the place of an old one.

    Raises:
        FileExistsError: there is such a data set already.
        OSError: the store cannot be written, or has less than 64 MiB left.
    """
    import minari  # here, as the generator's workers have no use for it
    from minari.dataset.minari_storage import MinariStorage
    from minari.storage import get_dataset_path

    final = pathlib.Path(get_dataset_path(name))
    if final.exists() and not overwrite:
        raise FileExistsError(f"{final} exists already; move it away")
    with scratch.folder(get_dataset_path()) as place:  # Minari looks at no hidden folder
        (place / "new").mkdir()
        storage = MinariStorage.new(
            place / "new" / "data",
            observation_space=env.observation_space,
            action_space=env.action_space,
            env_spec=env.spec,
        )
        storage.update_metadata({"dataset_id": name, "minari_version": minari.__version__, **metadata})
        storage.update_episodes(_with_room(episodes, place))
        final.parent.mkdir(parents=True, exist_ok=True)
        old = final.with_name(f".{final.name}.old")  # not below `place`, so that it outlives a kill at this moment
        if overwrite and final.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.rename(final, old)
        try:
            os.rename(place / "new", final)
        except OSError:
            if not final.exists():  # or else somebody made the same data set
                raise
        shutil.rmtree(old, ignore_errors=True)


def _with_room(episodes: Iterable, place: pathlib.Path) -> Iterator:
    """The same, as long as there is room for more: on a full disk HDF5 crashes, and the process with it."""
    for episode in episodes:
        if shutil.disk_usage(place).free < _ROOM:
            raise OSError(errno.ENOSPC, "less than 64 MiB are left, and on a full disk HDF5 crashes", str(place))
        yield episode
