"""What the time of an update goes to: the parts of one member's, by updates that leave a part out or do it twice."""

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from experiments.benchmarks.populations import BASE, REPETITIONS, SETTINGS, Population
from gtp_jax import tables
from gtp_jax.agent_config import AgentConfig


def _batches(population: Population) -> Callable[[int], float]:
    """A function that draws batches of one member on one device, and says how many seconds they took."""
    data = jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, population.data)

    @jax.jit
    def draw(key, data, num_updates):
        own = [row[0] for row in data.per_slot]

        def add(i, total):  # or nothing would be gathered
            columns = data.batch(own, jax.random.fold_in(key, i), i, SETTINGS["batch_size"])
            return total + sum(column.sum() for column in columns)

        return jax.lax.fori_loop(0, num_updates, add, 0.0)

    def time_draws(num_updates):
        clock = time.perf_counter()
        jax.block_until_ready(draw(jax.random.PRNGKey(0), data, np.int32(num_updates)))
        return time.perf_counter() - clock

    return time_draws


def measure(config: AgentConfig, num_updates: int) -> dict[str, float]:
    """Seconds of an update of one of `populations.BASE` members by part; the programs take turns."""
    cases = [config, dataclasses.replace(config, eta=0.0, num_candidates=1)]
    if samples := config.critic == "td" and config.uses_critic:
        cases.append(dataclasses.replace(config, target_sampling_steps=2 * config.target_sampling_steps))
    everyone = [Population(BASE, case) for case in cases]
    timed = [*(each.train for each in everyone), _batches(everyone[0])]
    for each in timed:
        each(num_updates)  # the first of all compiles
    turns = [[each(num_updates) for each in timed] for _ in tqdm(range(REPETITIONS), desc="parts")]
    *members, batches = np.median(turns, axis=0) / num_updates
    whole, cloning, *more = np.array(members) / BASE
    sampling = more[0] - whole if samples else 0.0
    found = {"sampling": sampling, "critic": whole - cloning - sampling, "actor": cloning - batches, "data": batches}
    return {name: float(seconds) for name, seconds in found.items()}


def table(seconds: dict[str, float]) -> str:
    whole = sum(seconds.values())
    cells = [[name, f"{1e3 * each:.2f}", f"{each / whole:.0%}"] for name, each in seconds.items()]
    return tables.markdown([["part of an update", "ms a member", "share"], *cells])
