"""Writes Minari data sets with Minari's own writer, whole or not at all."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping

import gymnasium


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
        OSError: the store cannot be written.
    """
    import minari  # here, as the generator's workers have no use for it
    from minari.dataset.minari_storage import MinariStorage
    from minari.storage import get_dataset_path

    final = pathlib.Path(get_dataset_path(name))
    if final.exists() and not overwrite:
        raise FileExistsError(f"data set {name} exists already at {final}")
    # Minari looks at no hidden folder, and a rename within one file system is atomic.
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=".gtp_jax-", dir=get_dataset_path()))
    try:
        (scratch / "new").mkdir()
        storage = MinariStorage.new(
            scratch / "new" / "data",
            observation_space=env.observation_space,
            action_space=env.action_space,
            env_spec=env.spec,
        )
        storage.update_metadata({"dataset_id": name, "minari_version": minari.__version__, **metadata})
        storage.update_episodes(episodes)
        final.parent.mkdir(parents=True, exist_ok=True)
        if overwrite and final.exists():
            os.rename(final, scratch / "old")
        try:
            os.rename(scratch / "new", final)
        except OSError:
            if not final.exists():  # or else somebody made the same data set
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
