"""Updates of Diffusion-QL and Consistency-AC in plain PyTorch, written as their published code is: what ours is timed
against. PyTorch is in the extra `against`.

Networks have the widths of ours. Nothing is compiled, and nothing is left out that the published code computes.
"""

import copy

import torch
from torch import nn
from torch.nn import functional

GRAD_NORM, DISCOUNT, TARGET_RATE, EMA_RATE = 10.0, 0.99, 0.005, 0.005
T_MAX, T_MIN, SIGMA_DATA, RHO, NUM_SCALES = 80.0, 0.002, 0.5, 7.0, 40


def mlp(in_dim: int, hidden_dims: tuple[int, ...], out_dim: int, norm: bool = False) -> nn.Sequential:
    layers = []
    for width in hidden_dims:
        layers += [nn.Linear(in_dim, width), *[nn.LayerNorm(width)] * norm, nn.Mish()]
        in_dim = width
    return nn.Sequential(*layers, nn.Linear(in_dim, out_dim))


class Critic(nn.Module):
    """Twin Q."""

    def __init__(self, obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...]):
        super().__init__()
        self.q1 = mlp(obs_dim + action_dim, hidden_dims, 1, norm=True)
        self.q2 = mlp(obs_dim + action_dim, hidden_dims, 1, norm=True)

    def forward(self, obs, action):
        both = torch.cat([obs, action], -1)
        return self.q1(both), self.q2(both)


class Network(nn.Module):
    """(action, time (B,), obs) -> action."""

    def __init__(self, obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...], time_dim: int = 16):
        super().__init__()
        self.frequencies = torch.exp(torch.arange(time_dim // 2) * -(9.21 / (time_dim // 2 - 1)))
        self.time = mlp(time_dim, (2 * time_dim,), time_dim)
        self.body = mlp(obs_dim + action_dim + time_dim, hidden_dims, action_dim)

    def forward(self, x, t, obs):
        phase = t[:, None] * self.frequencies
        return self.body(torch.cat([x, self.time(torch.cat([phase.sin(), phase.cos()], -1)), obs], -1))


class Diffusion(nn.Module):
    """A denoising diffusion model of five variance-preserving steps (Wang et al., 2023, arXiv 2208.06193)."""

    def __init__(self, *sizes, num_steps: int = 5):
        super().__init__()
        self.network, self.num_steps, self.action_dim = Network(*sizes), num_steps, sizes[1]
        t = torch.arange(1, num_steps + 1)
        alpha = torch.exp(-0.1 / num_steps - 0.5 * (10.0 - 0.1) * (2 * t - 1) / num_steps**2)
        self.alpha, self.alpha_bar = alpha, torch.cumprod(alpha, 0)

    def sample(self, obs):
        x = torch.randn(len(obs), self.action_dim)
        for i in reversed(range(self.num_steps)):
            a, bar = self.alpha[i], self.alpha_bar[i]
            before = self.alpha_bar[i - 1] if i else torch.tensor(1.0)
            noise = self.network(x, torch.full((len(obs),), float(i)), obs)
            clean = ((x - (1 - bar).sqrt() * noise) / bar.sqrt()).clamp(-1, 1)
            x = (before.sqrt() * (1 - a) * clean + a.sqrt() * (1 - before) * x) / (1 - bar)
            if i:
                x = x + ((1 - a) * (1 - before) / (1 - bar)).sqrt() * torch.randn_like(x)
        return x.clamp(-1, 1)

    def loss(self, action, obs, average):
        del average  # of the parameters, in which it takes no part
        i = torch.randint(0, self.num_steps, (len(obs),))
        bar, noise = self.alpha_bar[i][:, None], torch.randn_like(action)
        noisy = bar.sqrt() * action + (1 - bar).sqrt() * noise
        return functional.mse_loss(self.network(noisy, i.float(), obs), noise)


class Consistency(nn.Module):
    """A consistency model that samples in two steps (Ding and Jin, 2024, arXiv 2309.16984)."""

    def __init__(self, *sizes, num_steps: int = 2):
        super().__init__()
        self.network, self.num_steps, self.action_dim = Network(*sizes), num_steps, sizes[1]

    def denoise(self, x, t, obs):
        shifted, norm = t - T_MIN, (t**2 + SIGMA_DATA**2).sqrt()
        c_skip, c_out = SIGMA_DATA**2 / (shifted**2 + SIGMA_DATA**2), SIGMA_DATA * shifted / norm
        raw = self.network(x / norm[:, None], 250 * (t + 1e-44).log(), obs)
        return (c_skip[:, None] * x + c_out[:, None] * raw).clamp(-1, 1)

    @staticmethod
    def times(index, num_intervals):
        low, high = T_MIN ** (1 / RHO), T_MAX ** (1 / RHO)
        return (low + index / num_intervals * (high - low)) ** RHO

    def sample(self, obs):
        x = T_MAX * torch.randn(len(obs), self.action_dim)
        times = self.times(torch.arange(self.num_steps, 0, -1), self.num_steps)
        action = self.denoise(x, times[0].expand(len(obs)), obs)
        for t in times[1:]:
            x = action + (t**2 - T_MIN**2).sqrt() * torch.randn_like(action)
            action = self.denoise(x, t.expand(len(obs)), obs)
        return action

    def loss(self, action, obs, average):
        index, noise = torch.randint(0, NUM_SCALES - 1, (len(obs),)), torch.randn_like(action)
        later, earlier = self.times(index + 1, NUM_SCALES - 1), self.times(index, NUM_SCALES - 1)
        x = action + later[:, None] * noise
        found = self.denoise(x, later, obs)
        with torch.no_grad():  # Euler's step, with the clean action for the score
            target = average.denoise(x + (earlier - later)[:, None] * (x - action) / later[:, None], earlier, obs)
        return functional.mse_loss(found, target)


class Agent:
    """An actor with a linear Q term, and twin Q learned from its own samples at the next state."""

    def __init__(self, actor: nn.Module, critic: nn.Module, eta: float = 1.0):
        self.actor, self.critic, self.eta = actor, critic, eta
        self.actor_ema, self.critic_target = copy.deepcopy(actor), copy.deepcopy(critic)
        self.actor_optimizer = torch.optim.Adam(actor.parameters(), lr=3e-4)
        self.critic_optimizer = torch.optim.Adam(critic.parameters(), lr=3e-4)

    def update(self, obs, action, reward, next_obs, discount) -> tuple[float, float]:
        """One step of the critic and of the actor; their losses."""
        with torch.no_grad():
            next_values = self.critic_target(next_obs, self.actor_ema.sample(next_obs))
            target = reward[:, None] + DISCOUNT * discount[:, None] * torch.min(*next_values)
        q1, q2 = self.critic(obs, action)
        critic_loss = functional.mse_loss(q1, target) + functional.mse_loss(q2, target)
        self._step(self.critic_optimizer, critic_loss, self.critic)

        bc_loss = self.actor.loss(action, obs, self.actor_ema)
        q1, q2 = self.critic(obs, self.actor.sample(obs))
        q_loss = -q1.mean() / q2.abs().mean().detach()
        actor_loss = bc_loss + self.eta * q_loss
        self._step(self.actor_optimizer, actor_loss, self.actor)

        self._follow(self.actor_ema, self.actor, EMA_RATE)
        self._follow(self.critic_target, self.critic, TARGET_RATE)
        return critic_loss.item(), actor_loss.item()

    @staticmethod
    def _step(optimizer, loss, module):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), GRAD_NORM)
        optimizer.step()

    @staticmethod
    def _follow(slow, fast, rate):
        for old, new in zip(slow.parameters(), fast.parameters()):
            old.data.copy_(rate * new.data + (1 - rate) * old.data)


def diffusion_ql(obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...], num_steps: int = 5) -> Agent:
    sizes = obs_dim, action_dim, hidden_dims
    return Agent(Diffusion(*sizes, num_steps=num_steps), Critic(*sizes))


def consistency_ac(obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...], num_steps: int = 2) -> Agent:
    sizes = obs_dim, action_dim, hidden_dims
    return Agent(Consistency(*sizes, num_steps=num_steps), Critic(*sizes))
