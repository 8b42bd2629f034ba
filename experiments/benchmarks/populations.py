"""What a population costs, on random data of AntMaze's widths: time, compilation, memory."""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import resource
import sys
import time

import jax
import numpy as np
from tqdm import tqdm

from experiments.benchmarks import flops
from gtp_jax import placement as placing
from gtp_jax import population, sizing, tables
from gtp_jax.agent_config import NUMBERS, AgentConfig
from gtp_jax.cores import available_cores
from gtp_jax.errors import UserError
from gtp_jax.placement import Data
from gtp_jax.population import Member, Program

TASK, WIDTHS = "benchmark", (29, 8)  # AntMaze's observations and actions
SETTINGS = {"batch_size": 256, "num_steps": 60_000}
NUM_TRANSITIONS = 100_000
REPETITIONS = 7  # timed; the median counts
BASE = 4  # members; the cost of other numbers is relative to it
MIB = 2**20


# ---------------------------------------------------------------- populations


class Population:
    """Members of one program and the random data they learn from, compiled and ready to train."""

    def __init__(self, count: int, config: AgentConfig, first_seed: int = 0):
        self.program = Program("", tuple(Member(TASK, first_seed + i, config) for i in range(count)))
        self.placement = placing.spread(count)
        widths, statistics = {TASK: WIDTHS}, {TASK: (np.zeros(WIDTHS[0], np.float32), np.ones(WIDTHS[0], np.float32))}
        self._train, shapes = sizing.training(
            self.program, widths, num_transitions=NUM_TRANSITIONS, placement=self.placement, **SETTINGS
        )
        clock = time.perf_counter()
        self.compiled = self._train.lower(*shapes).compile()
        self.compile_s = time.perf_counter() - clock
        self.states = population.init(
            self.program, widths, statistics, num_steps=SETTINGS["num_steps"], placement=self.placement
        )
        _, sums, data, _ = shapes
        self.sums = self._put(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), sums))
        random = np.random.default_rng(0)
        obs, action, next_obs, reward, discount = (random.random(leaf.shape, np.float32) for leaf in data[:5])
        slots = np.zeros(data.size.shape, np.int32)
        self.data = self._put(Data(obs, action, next_obs, reward, discount, slots, slots, slots + NUM_TRANSITIONS))

    def _put(self, rows):
        return jax.device_put(rows, self.placement.sharding)

    def train(self, num_updates: int) -> float:
        """Seconds that it took."""
        jax.block_until_ready((self.states, self.sums, self.data))
        clock = time.perf_counter()
        self.states, self.sums = self._train(self.states, self.sums, self.data, np.int32(num_updates))
        jax.block_until_ready((self.states, self.sums))
        return time.perf_counter() - clock


@contextlib.contextmanager
def compilations():
    """A list that every program compiled within is added to, by name."""
    names = []

    def note(event, _, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(about.get("fun_name", ""))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


def compiled_anew(first: Population, config: AgentConfig) -> list[str]:
    """What another population of as many members compiles, of other seeds and with every number changed."""
    count = len(first.program.members)
    numbers = {name: 0.9 * getattr(config, name) for name in NUMBERS}
    with compilations() as names:
        Population(count, dataclasses.replace(config, **numbers), first_seed=count).train(1)
    return names


def prepare(num_devices: int, cache: str) -> None:
    """One CPU device per core, as in training; in `cache` processes leave each other what they compiled."""
    jax.config.update("jax_num_cpu_devices", num_devices)
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def alone(count: int, config: AgentConfig, num_devices: int, cache: str) -> dict:
    """In a process of its own: seconds to compile a population, and the peak of memory when it has trained."""
    prepare(num_devices, cache)
    only = Population(count, config)
    only.train(1)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    stats = jax.local_devices()[0].memory_stats() or {}  # CPU has none
    return {
        "compile_s": only.compile_s,
        "peak_resident_bytes": resident,
        "peak_bytes_a_device": stats.get("peak_bytes_in_use"),
    }


def each_alone(counts: list[int], *arguments) -> list[dict]:
    """`alone` of each, twice: the first compiles, the second takes little memory for anything but training."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as processes:
        jobs = [processes.submit(alone, count, *arguments) for count in [*counts, *counts]]
        try:
            found = [job.result() for job in tqdm(jobs, desc="compiling and memory", unit="process")]
        except concurrent.futures.process.BrokenProcessPool as error:
            raise UserError("a process was killed, probably for want of memory; ask for fewer --members") from error
    return [again | {"compile_s": first["compile_s"]} for first, again in zip(found, found[len(counts) :])]


def measure(counts: list[int], config: AgentConfig, num_updates: int, cache: str) -> list[dict]:
    """A row for each number of members."""
    taken = each_alone(counts, config, available_cores(), cache)  # first: an accelerator has room for one process
    with compilations() as names:
        everyone = [Population(count, config) for count in counts]
        for each in everyone:
            each.train(num_updates)
    assert names, "JAX tells of no compilation"  # else, that it tells of none below would mean nothing
    anew = [compiled_anew(each, config) for each in everyone]
    turns = [
        [flops.peak(), *(each.train(num_updates) for each in everyone)] for _ in tqdm(range(REPETITIONS), desc="timing")
    ]
    peak, seconds = np.array(turns)[:, 0], np.array(turns)[:, 1:] / num_updates  # (repetitions,), (repetitions, counts)
    update_flops = flops.update(config, WIDTHS, SETTINGS["batch_size"])
    rows = []
    for i, each in enumerate(everyone):
        memory = each.compiled.memory_analysis()
        update_s, devices = float(np.median(seconds[:, i])), len(each.placement.devices)
        rows.append(
            {
                "members": counts[i],
                "devices": devices,
                "update_s": update_s,
                "update_s_all": seconds[:, i].tolist(),
                "member_updates_per_s": counts[i] / update_s,
                "flops_a_member": update_flops,
                "peak_flops_all": peak.tolist(),
                "share_of_peak": float(np.median(counts[i] * update_flops / seconds[:, i] / peak)),
                "compiled_anew": anew[i],
                "state_bytes_a_member": sizing.num_bytes((each.states, each.sums)) // len(each.placement.slots),
                "data_bytes_a_device": sizing.num_bytes(each.data) // devices,
                "argument_bytes_a_device": memory.argument_size_in_bytes,
                "output_bytes_a_device": memory.output_size_in_bytes,
                "donated_bytes_a_device": memory.alias_size_in_bytes,
                "temp_bytes_a_device": memory.temp_size_in_bytes,
                "program_bytes": devices * sizing.program_bytes(each.compiled),
                **taken[i],
            }
        )
    relate(rows)
    return rows


def relate(rows: list[dict]) -> None:
    """Adds to each row its cost relative to that of BASE members, and how memory grows from the row before."""
    base = next((row for row in rows if row["members"] == BASE), None)
    for before, row in zip([None, *rows], rows):
        row["relative_cost"] = row["update_s"] / (row["members"] / BASE * base["update_s"]) if base else None
        for name in ("program_bytes", "peak_resident_bytes"):
            growth = before and (row[name] - before[name]) / (row["members"] - before["members"])
            row[f"{name}_a_member"] = growth


def table(rows: list[dict]) -> str:
    columns = [
        ("members", "members", "{}", 1),
        ("devices", "devices", "{}", 1),
        ("ms an update", "update_s", "{:.2f}", 1e3),
        ("member-updates/s", "member_updates_per_s", "{:.1f}", 1),
        ("share of peak", "share_of_peak", "{:.0%}", 1),
        (f"cost relative to {BASE}", "relative_cost", "{:.2f}", 1),
        ("s to compile", "compile_s", "{:.1f}", 1),
        ("state of a member, MiB", "state_bytes_a_member", "{:.1f}", 1 / MIB),
        ("program, MiB", "program_bytes", "{:.0f}", 1 / MIB),
        ("growth a member", "program_bytes_a_member", "{:.1f}", 1 / MIB),
        ("process, MiB", "peak_resident_bytes", "{:.0f}", 1 / MIB),
        ("growth a member", "peak_resident_bytes_a_member", "{:.1f}", 1 / MIB),
    ]
    heads, *rest = zip(*columns)
    cells = [
        ["" if row[name] is None else form.format(row[name] * factor) for name, form, factor in zip(*rest)]
        for row in rows
    ]
    return tables.markdown([heads, *cells])


def remarks(rows: list[dict]) -> list[str]:
    """What has to be known of the table."""
    anew = [name for row in rows for name in row["compiled_anew"]]
    data, peak = rows[0]["data_bytes_a_device"] / MIB, np.median(rows[0]["peak_flops_all"])
    return [
        f"An update of one member has {rows[0]['flops_a_member'] / 1e9:.2f} GFLOP; the peak of large matrix products on"
        f" all devices, taking turns with the updates, is {peak / 1e9:.0f} GFLOP/s.",
        f"Growth is from one row to the next. Program and process hold the data too, {data:.0f} MiB on each device.",
        f"Second populations, of other seeds and numbers, compiled {', '.join(anew) or 'nothing'} anew.",
    ]
