"""NumPy's npz files: OGBench's (Park et al., 2025), and plain ones of rows that were recorded in any task."""

import contextlib
import math
import os
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from gtp_jax import environments
from gtp_jax.data import d4rl_source, transitions
from gtp_jax.data.transitions import Transitions
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, OGBenchTask, Task

OGBENCH_URL = "https://rail.eecs.berkeley.edu/datasets/ogbench"
_KINDS = "biuf"  # of NumPy's, numbers and truth values
LARGEST_RATIO = 20  # of arrays to their file, if they are compressed


def load(task: Task, path: pathlib.Path) -> Transitions:
    """Reads a file in the layout of its task.

    Of an `OGBenchTask`, OGBench's: `observations, actions, terminals, qpos[, button_states]`, the last row of each
    episode being its last state; rewards and masks are those of `ogbench.relabel_utils`. Of others, plain rows:
    `observations, actions, rewards, terminals[, timeouts][, next_observations]`, with D4RL's rule for them. In a maze
    observations are what the policy sees, x and y first, and rewards and terminals are recomputed as always.

    Raises:
        UserError: it cannot be read, is damaged, or does not fit the task.
    """
    try:
        return _ogbench(task, path) if isinstance(task, OGBenchTask) else _plain(task, path)
    except UserError as error:
        raise UserError(f"data file {path}: {error}") from error
    except Exception as error:  # on damaged files zipfile and NumPy raise nearly everything there is
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(f"data file {path} cannot be read ({problem})") from error


def ogbench_folder() -> pathlib.Path:
    """Where OGBench's package keeps its files."""
    return pathlib.Path(os.environ.get("OGBENCH_DATASET_DIR", "~/.ogbench/data")).expanduser()


def is_generated(path: pathlib.Path) -> bool:
    """Whether `generate_ogbench` made a file that can be read, whatever it is called."""
    with zipfile.ZipFile(path) as archive:
        return "generated.npy" in archive.namelist()


def _plain(task: Task, path: pathlib.Path) -> Transitions:
    seen, acted = task.widths
    required = {"observations": (seen,), "actions": (acted,), "rewards": (), "terminals": ()}
    arrays = read(path, required, {"timeouts": (), "next_observations": (seen,)})
    obs, action, reward = (arrays[name] for name in ("observations", "actions", "rewards"))
    terminal, next_obs = arrays["terminals"].astype(bool), arrays.get("next_observations")
    timeouts = arrays["timeouts"].astype(bool) if "timeouts" in arrays else None
    if not isinstance(task, MazeTask):
        rows = {"horizon": task.horizon, "timeouts": timeouts, "next_obs": next_obs}
        return d4rl_source.from_rows(obs, action, reward, terminal, **rows)
    return d4rl_source.from_walks(task, obs, action, terminal, timeouts)


def _ogbench(task: OGBenchTask, path: pathlib.Path) -> Transitions:
    seen, acted = task.widths
    with contextlib.closing(environments.make_ogbench(task)) as env:
        from ogbench.relabel_utils import relabel_dataset  # of an optional package

        env.reset()  # some have no model before
        required = {"observations": (seen,), "actions": (acted,), "terminals": (), "qpos": (env.unwrapped.model.nq,)}
        if hasattr(env.unwrapped, "_num_buttons"):
            required["button_states"] = (env.unwrapped._num_buttons,)
        arrays = read(path, required, {})
        _refuse_walls(env.unwrapped, arrays["qpos"])
        last = arrays["terminals"].astype(bool)
        if not last.any():
            raise UserError("none of its episodes ends; it needs terminals")
        kept, last[-1] = ~last[:-1], True  # nothing follows on the last row, whether the file says so or not
        rows = {name: values[:-1][kept] for name, values in arrays.items()}
        relabel_dataset(task.env_id, env, rows)
    return transitions.joined(
        [
            Transitions(
                rows["observations"],
                rows["actions"],
                rows["rewards"],
                arrays["observations"][1:][kept],
                rows["masks"],
                last[1:][kept],
            )
        ]
    )


def _refuse_walls(env, qpos: np.ndarray) -> None:
    """Raises UserError if a body of the data is where the maze has walls, as those of another maze are."""
    if not hasattr(env, "maze_map"):
        return
    cells = np.array([env.xy_to_ij(xy) for xy in qpos[:: max(1, len(qpos) // 10_000), :2]])
    rows, columns = cells.clip(0, np.array(env.maze_map.shape) - 1).T
    inside = np.all((cells >= 0) & (cells < env.maze_map.shape), axis=1) & (env.maze_map[rows, columns] == 0)
    if np.mean(inside) < 0.99:
        raise UserError(f"{100 * np.mean(~inside):.0f} % of its positions lie in walls, so it is of another maze")


def read(
    path: pathlib.Path, required: Mapping[str, tuple[int, ...]], optional: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The arrays of a file, which may come from a stranger: by name, of N rows of a shape.

    What NumPy would have to unpickle is refused, nothing is unpacked before its size is known to be right, and of other
    compression than NumPy's not even the header, as of those a few bytes unpack to gigabytes at once.

    Raises:
        UserError: one is missing, of another shape, kind or length, or claims to be larger than its file.
    """
    arrays, left = {}, LARGEST_RATIO * path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        for name, expected in {**required, **optional}.items():
            if f"{name}.npy" not in archive.namelist():
                if name in required:
                    raise UserError(f"it has no {name}")
                continue
            if archive.getinfo(f"{name}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(f"its {name} is compressed in a way that NumPy does not use; save it by numpy.savez")
            with archive.open(f"{name}.npy") as file:
                version = np.lib.format.read_magic(file)
                header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, _, dtype = header[version](file)
            if dtype.kind not in (_KINDS if expected == () or name == "button_states" else "f"):
                raise UserError(f"its {name} holds {dtype}, not floating-point numbers")
            if not shape or shape[1:] != expected:
                raise UserError(f"its {name} has shape {shape[1:]}, that of the task has {expected}")
            left -= math.prod(shape) * dtype.itemsize
            if left < 0:
                raise UserError("its arrays claim to be larger than its file; it is damaged")
            with archive.open(f"{name}.npy") as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    counts = {name: len(values) for name, values in arrays.items()}
    if len(set(counts.values())) > 1:
        raise UserError(f"its arrays differ in length: {counts}")
    return arrays
