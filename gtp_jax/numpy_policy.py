"""Acts with an exported policy by NumPy alone, for robots without JAX; this file may be copied out of the package.

    policy = numpy_policy.load("FOLDER")  # which `experiments.export` wrote
    action = policy(obs, np.random.default_rng(0))

Where it says x (..., D), leading dimensions are those of the observation, if it has any.
"""

import json
import pathlib
from typing import NamedTuple

import numpy as np

# For one observation NumPy's overhead is most of the time: constants of its own type save 3 % of it, and `dot` in place
# of `@` 5 %.
_LIMIT, _TWO = np.float32(20), np.float32(2)


SAMPLERS = ("map", "denoise", "euler", "heun", "renoise", "mean")


class Level(NamedTuple):
    """What the map phi(., t, tau) has of its own, computed once."""

    c_skip: float
    c_out: float
    c_in: float
    first: np.ndarray  # (H,) the share of t and tau in the first layer


def mish(x: np.ndarray) -> np.ndarray:
    """As `networks.mish`."""
    e = np.minimum(x, _LIMIT)
    np.exp(e, out=e)
    n = e + _TWO
    n *= e
    np.add(n, _TWO, out=e)
    n /= e
    n *= x
    return n


def time_embedding(t: float) -> np.ndarray:
    """As `networks.time_embedding`, of one time."""
    phase = np.log(np.float32(t) + np.float32(1e-3)) * np.float32(np.pi / 8) * np.float32(2) ** np.arange(4)
    return np.concatenate([np.sin(phase), np.cos(phase)]).astype(np.float32)


def _clipped(x: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(x, -1.0), 1.0)


class Policy:
    """K-step sampling of an actor, and of its candidates the one that the critic chooses.

    Attributes:
        obs_dim: O.
        action_dim: D.
        num_draws: standard normal draws of an action in a candidate.
        num_candidates: N.
    """

    def __init__(self, arrays: dict[str, np.ndarray], description: dict):
        """
        Args:
            arrays: float32 weights by name, as `gtp_jax.export.weights` gives them.
            description: as `gtp_jax.export.describe` gives it.
        """
        self._arrays, self._sampler = arrays, description["sampler"]
        if self._sampler not in SAMPLERS:  # of a newer version of the package
            raise ValueError(f"sampler {self._sampler!r} must be one of {', '.join(SAMPLERS)}")
        self.obs_dim, self.action_dim = description["obs_dim"], description["action_dim"]
        self.num_candidates, self._temperature = description["num_candidates"], description["candidate_temperature"]
        times = arrays["times"]
        self._intervals = list(zip(times[:-1].tolist(), times[1:].tolist()))
        self.num_draws = len(self._intervals) if self._sampler == "renoise" else 1
        self._sigma_min, self._sigma_data = description["sigma_min"], description["sigma_data"]
        self._layers, self._action = _layers(arrays, "actor"), arrays["actor/action"]
        self._critics = {name: _layers(arrays, name) for name in ("q0", "q1")}
        self._levels = {pair: self._level(*pair) for pair in self._pairs()}

    def __call__(self, obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Actions (..., D) in [-1, 1] at raw observations (..., O)."""
        lead = (self.num_candidates, *np.shape(obs)[:-1])
        noise = rng.standard_normal((self.num_draws, *lead, self.action_dim), np.float32)
        return self.act(obs, noise, rng.gumbel(size=lead) if self._temperature else None)

    def act(self, obs: np.ndarray, noise: np.ndarray, gumbel: np.ndarray | None = None) -> np.ndarray:
        """What `__call__` does with its draws.

        Args:
            obs: (..., O) raw.
            noise: (`num_draws`, N, ..., D) standard normal.
            gumbel: (N, ...) where a candidate is drawn by its value.
        """
        obs = (np.asarray(obs, np.float32) - self._arrays["obs_mean"]) / self._arrays["obs_std"]
        candidates = self._sample(obs, noise)
        if self.num_candidates == 1:
            return candidates[0]
        scores = self._values(obs, candidates)
        chosen = np.argmax(scores if gumbel is None else scores + self._temperature * gumbel, axis=0)
        return np.take_along_axis(candidates, chosen[None, ..., None], axis=0)[0]

    # ---------------------------------------------------------------- the solution map

    def _pairs(self) -> set[tuple[float, float]]:
        """The (t, tau) at which the sampler looks at phi."""
        if self._sampler == "mean":
            return {(1.0, 0.0)}
        if self._sampler == "renoise":
            return {(t, 0.0) for t, _ in self._intervals}
        return {(t, self._end(t, tau)) for t, tau in self._intervals}

    def _end(self, t: float, tau: float) -> float:
        """Where phi is told to go in a step from t to tau: there, or for the denoiser nowhere."""
        return {"map": tau, "denoise": tau or t}.get(self._sampler, t)

    def _level(self, t: float, tau: float) -> Level:
        """Preconditioning as in `schedules.preconditioning`, and the first layer's share of the times."""
        variance, shifted = self._sigma_data**2, t - self._sigma_min
        inverse_norm = (t**2 + variance) ** -0.5
        first = time_embedding(t) @ self._arrays["actor/time"] + time_embedding(tau) @ self._arrays["actor/end"]
        coefficients = variance / (shifted**2 + variance), self._sigma_data * shifted * inverse_norm, inverse_norm
        return Level(*coefficients, first)

    def _phi(self, first: np.ndarray, x: np.ndarray, t: float, tau: float) -> np.ndarray:
        level = self._levels[t, tau]
        hidden = (level.c_in * x).dot(self._action)
        hidden += first
        hidden += level.first
        for kernel, bias in self._layers:
            hidden = mish(hidden).dot(kernel)
            hidden += bias
        return level.c_skip * x + level.c_out * hidden

    def _sample(self, obs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        first = obs @ self._arrays["actor/obs"] + self._arrays["actor/bias"]
        if self._sampler == "mean":
            return _clipped(self._phi(first, np.zeros_like(noise[0]), 1.0, 0.0))
        x = self._intervals[0][0] * noise[0]
        for number, (t, tau) in enumerate(self._intervals, start=1):
            if self._sampler == "renoise":
                x = self._phi(first, x, t, 0.0)
                x = x + tau * noise[number] if tau > 0 else x
            elif self._sampler == "heun" and tau > 0:
                slope = (x - self._phi(first, x, t, t)) / t
                euler = x + (tau - t) * slope
                x = x + (tau - t) / 2 * (slope + (euler - self._phi(first, euler, tau, tau)) / tau)
            else:
                ratio = tau / t
                x = ratio * x + (1 - ratio) * self._phi(first, x, t, self._end(t, tau))
        return _clipped(x)

    # ---------------------------------------------------------------- the critic

    def _values(self, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The lesser of both Q: (N, ...) at normalised observations (..., O) and actions (N, ..., D)."""
        arrays, values = self._arrays, []
        for name, layers in self._critics.items():
            hidden = obs @ arrays[f"{name}/obs"] + action @ arrays[f"{name}/action"] + arrays[f"{name}/bias"]
            for number, (kernel, bias) in enumerate(layers):
                centred = hidden - hidden.mean(-1, keepdims=True)
                hidden = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(1e-6))
                hidden = hidden * arrays[f"{name}/scale{number}"] + arrays[f"{name}/shift{number}"]
                hidden = mish(hidden) @ kernel + bias
            values.append(hidden[..., 0])
        return np.minimum(*values)


def _layers(arrays: dict[str, np.ndarray], name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of all layers but the first."""
    count = sum(key.startswith(f"{name}/kernel") for key in arrays)
    return [(arrays[f"{name}/kernel{i}"], arrays[f"{name}/bias{i}"]) for i in range(count)]


def load(folder: str | pathlib.Path) -> Policy:
    """The policy that `experiments.export` wrote into a folder."""
    folder = pathlib.Path(folder)
    with np.load(folder / "policy.npz", allow_pickle=False) as file:
        arrays = dict(file)
    return Policy(arrays, json.loads((folder / "policy.json").read_text()))
