"""Says how much memory the members of a config take and how many fit on a device, before a pod is rented.

    python -m experiments.size --config=configs/antmaze.py[:VARIANT] [--memory=80GiB] [--config.FIELD=VALUE ...]

Needs neither data nor the device: the training program is compiled, for the machine that this runs on, and not run.
--memory is what JAX may take of a device (of a GPU 75 % by default, XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise); an
accelerator at hand tells it itself. Members a device leave room for the copy that a checkpoint is written from.
"""

import contextlib

import jax
from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from experiments import cli
from gtp_jax import config as gtp_config
from gtp_jax import sizing, tables, tasks
from gtp_jax.errors import UserError

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with an optional :VARIANT.")
MEMORY = flags.DEFINE_string("memory", None, "Of a device, as in 80GiB; what this one tells if not given.")
TRANSITIONS = flags.DEFINE_integer("transitions", None, "Of each task, if they are not generated.", lower_bound=1)
RECORDED = 1_000_000  # transitions of each of D4RL's AntMaze data sets


def device_memory() -> int:
    """Bytes that JAX may take of a device.

    Raises:
        UserError: it is not given, and the device does not tell.
    """
    if MEMORY.value:
        return sizing.parse_bytes(MEMORY.value)
    device = jax.local_devices()[0]
    if not (limit := (device.memory_stats() or {}).get("bytes_limit")):
        raise UserError(f"{device.device_kind} does not tell its memory; give that of a device, as in --memory=80GiB")
    return limit


def transitions(config) -> tuple[int, str]:
    """How many each task has, and why."""
    if TRANSITIONS.value:
        return TRANSITIONS.value, "as asked for"
    if config.dataset == "generated" or config.tasks == ("multigoal",):
        return config.generate.num_transitions, "generated"
    return RECORDED, f"assumed of dataset = {config.dataset}; --transitions=N says otherwise"


def main(_: contextlib.ExitStack) -> None:
    config = cli.validated(CONFIG.value)
    memory = device_memory()
    num_transitions, why = transitions(config)
    settings = {"batch_size": config.batch_size, "num_steps": config.num_steps, "num_transitions": num_transitions}
    widths = {name: tasks.get(name).widths for name in config.tasks}
    rows = [["program", "members", "state a member", "work a member", "shared", "data", "members a device", "devices"]]
    for program in tqdm(gtp_config.programs(config), desc="compiling", unit="program", leave=False):
        size, count = sizing.measure(program, widths, **settings), len(program.members)
        fit = size.members(memory)
        devices = str(-(-count // fit)) if fit else "none is large enough"
        cells = [f"{value / 2**20:.1f} MiB" for value in size]
        rows.append([program.label, str(count), *cells, str(fit), devices])
    on_cpu = jax.default_backend() == "cpu"
    how = "as if all members had one's at once, an estimate for accelerators" if on_cpu else "of all members at once"
    print(f"{num_transitions} transitions a task ({why}), {memory / 2**30:.1f} GiB a device")
    print(f"work: {how}; measured on {jax.local_devices()[0].device_kind}, the state is exact, the data at most that")
    print(f"members a device: of one program that has it to itself, with {sizing.COPIES} copies of the state\n")
    print(tables.markdown(rows))


if __name__ == "__main__":
    cli.run(main)
