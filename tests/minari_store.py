"""A small Minari store, and what is taken from it."""

import warnings

import gymnasium
import minari

from gtp_jax.data import sources


def resolve(task, dataset="auto", num_transitions=200):
    """The data set, and what was said about it."""
    said = []
    found = sources.resolve(task, dataset, num_transitions=num_transitions, seed=0, say=said.append)
    return found, said


def collect(task, num_steps=30):
    """Puts a data set of D4RL's name into the store the way D4RL's were made: a continuing task, Minari's collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a version that is D4RL's, and authors that are not recorded
        env = gymnasium.make(task.env_id, continuing_task=True, max_episode_steps=num_steps)
        collector = minari.DataCollector(env)
        collector.action_space.seed(0)
        for seed in range(2):
            collector.reset(seed=seed)
            for _ in range(num_steps):
                collector.step(collector.action_space.sample())
        collector.create_dataset(task.minari_id)
        collector.close()
