"""How long a policy thinks, and how many steps of environments are played a second."""

import time

import numpy as np

from experiments.benchmarks.populations import BASE, WIDTHS, Population
from gtp_jax import population, tables, tasks
from gtp_jax.agent_config import AgentConfig
from gtp_jax.placement import spread
from gtp_jax.rollouts import Evaluator

BATCH_SIZES, STEPS = (1, 64, 1024), (1, 2, 5, 10)
EPISODES = 5  # of each of `populations.BASE` members
MAZE = "antmaze/umaze"


def latencies(config: AgentConfig) -> list[dict]:
    """Medians and 99th percentiles of the time in which one member acts, by observations at once and steps K."""
    one, rows = Population(1, config), []
    for batch_size in BATCH_SIZES:
        for num_steps in STEPS:
            seconds = population.action_seconds(
                one.states, structure=one.program.structure, num_steps=num_steps, batch_size=batch_size, repeats=500
            )
            p50, p99 = np.percentile(seconds, (50, 99)).tolist()
            rows.append({"batch_size": batch_size, "sampling_steps": num_steps, "p50_s": p50, "p99_s": p99})
    return rows


def rollouts(config: AgentConfig) -> list[dict]:
    """Steps a second while all members play at once: without a policy, and with untrained ones at K = 5."""
    members = Population(BASE, config)
    act = population.actor(structure=members.program.structure, placement=spread(BASE))
    evaluator = Evaluator([tasks.get(MAZE)] * BASE, EPISODES)
    still = np.zeros((BASE, EPISODES, WIDTHS[1]), np.float32)
    rows = []
    for num_steps in (None, 5):

        def choose(obs, step, num_steps=num_steps):
            return act(members.states, obs, step, num_steps=num_steps) if num_steps else still

        choose(np.zeros((BASE, EPISODES, WIDTHS[0]), np.float32), 0)  # compiles
        clock = time.perf_counter()
        played = sum(member.lengths.sum() for member in evaluator(choose, f"K = {num_steps}"))
        rows.append({"sampling_steps": num_steps, "steps_per_s": float(played / (time.perf_counter() - clock))})
    evaluator.close()
    return rows


def measure(config: AgentConfig) -> dict:
    return {"latencies": latencies(config), "task": MAZE, "episodes": BASE * EPISODES, "rollouts": rollouts(config)}


def table(measured: dict) -> str:
    rows = {(row["batch_size"], row["sampling_steps"]): row for row in measured["latencies"]}
    head = ["observations at once", *(f"K = {k}, ms: median, p99" for k in STEPS)]
    cells = [
        [str(size), *(" / ".join(f"{1e3 * rows[size, k][name]:.2f}" for name in ("p50_s", "p99_s")) for k in STEPS)]
        for size in BATCH_SIZES
    ]
    played = [[str(row["sampling_steps"] or "no policy"), f"{row['steps_per_s']:.0f}"] for row in measured["rollouts"]]
    return (
        tables.markdown([head, *cells]) + "\n\n" + tables.markdown([["K", f"steps/s of {measured['task']}"], *played])
    )
