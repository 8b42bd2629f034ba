"""Our update beside those of published systems in plain PyTorch: equal network sizes, batches and machine."""

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from experiments.benchmarks.populations import REPETITIONS, SETTINGS, WIDTHS, Population
from gtp_jax import tables
from gtp_jax.agent_config import AgentConfig
from gtp_jax.cores import available_cores
from gtp_jax.errors import UserError
from gtp_jax.presets import PRESETS

HIDDEN_DIMS = (256, 256, 256)  # of actor and critics, in both
NUM_MEMBERS = 4  # of ours, which train side by side


def gtp(num_steps: int) -> AgentConfig:
    """GTP as published, with K policy samples in its critic."""
    return dataclasses.replace(
        PRESETS["gtp"], hidden_dims=HIDDEN_DIMS, critic_hidden_dims=HIDDEN_DIMS, target_sampling_steps=num_steps
    )


def theirs(system: str, num_steps: int) -> Callable[[int], float]:
    """A function that makes some updates of one agent, and says how many seconds they took."""
    import torch

    from experiments.benchmarks import reference

    torch.set_num_threads(available_cores())
    agent = getattr(reference, system)(*WIDTHS, HIDDEN_DIMS, num_steps)
    size = SETTINGS["batch_size"]
    obs, action, next_obs = (torch.rand(size, width) for width in (*WIDTHS, WIDTHS[0]))
    reward, discount = torch.rand(size), torch.ones(size)

    def train(num_updates):
        clock = time.perf_counter()
        for _ in range(num_updates):
            agent.update(obs, action, reward, next_obs, discount)
        return time.perf_counter() - clock

    return train


def measure(num_updates: int) -> list[dict]:
    """A row for each pair, who take turns so that what else the machine does hits all alike.

    Raises:
        UserError: PyTorch is not installed, or ours does not run on the CPU, where theirs does.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError("--against needs PyTorch: pip install -e '.[against]'") from error
    if jax.default_backend() != "cpu":
        raise UserError("--against compares updates on the CPU; set JAX_PLATFORMS=cpu")
    rows = []
    for system, num_steps in (("consistency_ac", 2), ("diffusion_ql", 5)):
        ours, reference = Population(NUM_MEMBERS, gtp(num_steps)), theirs(system, num_steps)
        for train in (ours.train, reference):
            train(num_updates)
        turns = [
            [train(num_updates) for train in (ours.train, reference)] for _ in tqdm(range(REPETITIONS), desc=system)
        ]
        ours_s, theirs_s = np.array(turns).T / num_updates / np.array([[NUM_MEMBERS], [1]])
        rows.append(
            {
                "system": system,
                "members": NUM_MEMBERS,
                "hidden_dims": HIDDEN_DIMS,
                "sampling_steps": num_steps,
                "ours_s": float(np.median(ours_s)),
                "theirs_s": float(np.median(theirs_s)),
                "ratios": (theirs_s / ours_s).tolist(),
                "torch": torch.__version__,
            }
        )
    return rows


def table(rows: list[dict]) -> str:
    head = ["PyTorch", "K", "its ms an update", "ms of GTP's", "times as fast", "least and most"]
    cells = [
        [
            row["system"],
            str(row["sampling_steps"]),
            f"{1e3 * row['theirs_s']:.2f}",
            f"{1e3 * row['ours_s']:.2f}",
            f"{np.median(row['ratios']):.2f}",
            f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f}",
        ]
        for row in rows
    ]
    return tables.markdown([head, *cells])
