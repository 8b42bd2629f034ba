"""Floating-point operations: how many an update has, and how many a second this machine does at its best."""

import functools
import time

import jax
import jax.numpy as jnp

from gtp_jax import agent
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import Batch

_REPEATS = 10  # products in one measurement, so that an accelerator's dispatch does not count


@functools.cache
def _products():
    """A function that multiplies matrices on one device, and what it takes on each."""
    side = 1024 if jax.default_backend() == "cpu" else 4096
    matrix = jnp.full((side, side), 1 / side)

    def multiply(x, y):
        return jax.lax.fori_loop(0, _REPEATS, lambda _, x: x @ y, x)

    return jax.jit(multiply), [jax.device_put((matrix, matrix), device) for device in jax.local_devices()], side


def peak() -> float:
    """FLOP/s of large float32 matrix products, on all local devices at once, at the backend's default precision."""
    multiply, arguments, side = _products()
    seconds = []
    for _ in range(3):  # the first of all compiles, and the best counts
        clock = time.perf_counter()
        jax.block_until_ready([multiply(*each) for each in arguments])
        seconds.append(time.perf_counter() - clock)
    return 2 * side**3 * _REPEATS * len(arguments) / min(seconds)


def update(config: AgentConfig, widths: tuple[int, int], batch_size: int) -> float:
    """FLOPs of one update of one member, by XLA's analysis of its compiled program.

    It counts the body of a loop once, so of sampling in more than `sampling.UNROLLED` steps not all.
    """
    obs, action, scalar = (
        jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32) for shape in (widths[:1], widths[1:], ())
    )
    key = jax.ShapeDtypeStruct((2,), jnp.uint32)
    init = functools.partial(agent.init, config=config, num_steps=1)
    state = jax.eval_shape(lambda key: init(key, jnp.zeros(widths[0]), jnp.ones(widths[0]), widths[1]), key)
    step = jax.jit(functools.partial(agent.update, config=config.structure, num_steps=1))
    return step.lower(state, key, Batch(obs, action, scalar, obs, scalar)).compile().cost_analysis()["flops"]
