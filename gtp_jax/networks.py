"""Flax modules: the raw network F of the solution map, and the critics. Shapes are (B, ...); vmap for anything else."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


def mish(x: jax.Array) -> jax.Array:
    """x tanh(softplus(x)) (Misra, 2019) as x n/(n + 2), n = e(e + 2), e = exp(x): one exponential instead of three."""
    e = jnp.exp(jnp.minimum(x, 20.0))
    n = e * (e + 2.0)
    return x * (n / (n + 2.0))


def time_embedding(t: jax.Array, num_frequencies: int = 4) -> jax.Array:
    """Sines and cosines of log noise level: (B,) -> (B, 2 num_frequencies). Defined at 0, where the map ends."""
    phase = jnp.log(t + 1e-3)[:, None] * (jnp.pi / 8) * 2.0 ** jnp.arange(num_frequencies)
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)


class JointDense(nn.Module):
    """A dense layer on several inputs (B, n_i), initialised as on their concatenation.

    Each input has a kernel of its own, so that a wider one, filled up with zeros, only adds rows of zeros at its end.
    """

    features: int

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> jax.Array:
        fan_in = sum(x.shape[-1] for x in inputs)
        draw = nn.initializers.truncated_normal(fan_in**-0.5 / 0.87962566)  # the cut at 2 takes that off the deviation
        kernels = [self.param(f"kernel_{i}", draw, (x.shape[-1], self.features)) for i, x in enumerate(inputs)]
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return sum(x @ kernel for x, kernel in zip(inputs, kernels)) + bias


class MLP(nn.Module):
    """Hidden layers with Mish, LayerNorm before each activation if asked, and a linear output (B, out_dim)."""

    hidden_dims: Sequence[int]
    out_dim: int
    layer_norm: bool = False

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> jax.Array:
        first, *others = (*self.hidden_dims, self.out_dim)
        x = JointDense(first)(*inputs)
        for width in others:
            x = nn.Dense(width)(mish(nn.LayerNorm()(x) if self.layer_norm else x))
        return x


class SolutionMapNetwork(nn.Module):
    """F(s, x, t, tau): obs (B, O), x (B, D), t (B,), tau (B,) -> (B, D)."""

    hidden_dims: Sequence[int]
    action_dim: int

    @nn.compact
    def __call__(self, obs: jax.Array, x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
        return MLP(self.hidden_dims, self.action_dim)(obs, x, time_embedding(t), time_embedding(tau))


class QEnsemble(nn.Module):
    """Q_j(s, a), j = 1..J, with separate parameters: obs (B, O), action (B, D) -> (J, B)."""

    hidden_dims: Sequence[int]
    num_members: int = 2

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        ensemble = nn.vmap(
            MLP,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            axis_size=self.num_members,
        )
        return ensemble(self.hidden_dims, 1, layer_norm=True)(obs, action)[..., 0]


class ValueNetwork(nn.Module):
    """V(s): obs (B, O) -> (B,)."""

    hidden_dims: Sequence[int]

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        return MLP(self.hidden_dims, 1, layer_norm=True)(obs)[..., 0]
