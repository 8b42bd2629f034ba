"""The agent's settings: one frozen, hashable dataclass. `gtp_jax.presets` has named ones.

Settings that are floats, `NUMBERS`, are data of a compiled program: they travel in the agent's state and may differ
from member to member. The others are its structure, static under jit.
"""

import dataclasses
import math

from gtp_jax.objectives import OBJECTIVES
from gtp_jax.sampling import STEPS

MAX_CANDIDATES = 1000  # all are held at once, for every episode
MAX_INTERVALS = 10**6  # far beyond what helps; with more, or a greater rho, float32 cannot tell all neighbours apart


@dataclasses.dataclass(frozen=True)
class AgentConfig:
    """Everything that fixes an agent apart from its data and seed."""

    # networks
    hidden_dims: tuple[int, ...] = (256, 256, 256)  # of the solution map
    critic_hidden_dims: tuple[int, ...] = (256, 256)  # of Q and V; LayerNorm before each activation

    # solution map
    action_gain: float = 1.0  # the network sees c_in(t) x_t times this; docs/few_step.md has what more than 1 does
    objective: str = "gtp"  # how it is learned: a name in gtp_jax.objectives
    sampler: str = "auto"  # auto, the objective's | map | denoise, to E[a | x_t] | euler | heun | renoise | mean
    sigma_min: float = 0.002  # least noise level
    sigma_max: float = 3.0  # greatest; actions live in [-1, 1], so 3 already hides them
    sigma_last: float = 0.2  # a sampler's last stop before 0, whatever K is; 0: that of a grid of K intervals
    spacing: str = "karras"  # of the grid of noise levels: karras | linear, uniform in t/(1 + t)
    rho: float = 7.0  # Karras exponent of the grid
    min_intervals: int = 10  # grid resolution at the start of training ...
    max_intervals: int = 10240  # ... and at its end, doubling in between
    zero_share: float = 0.5  # of the examples in which tau is 0; the others draw it from the grid
    distance: str = "pseudo_huber"  # of the consistency term: pseudo_huber | squared
    time_weight: str = "inverse_gap"  # of the consistency term: inverse_gap, 1/(t-u) | uniform
    target: str = "online"  # network behind the consistency target and ctm's solver: online (stop-gradient) | ema
    consistency_coef: float = 1.0  # weight of the consistency loss
    flow_coef: float = 1.0  # weight of the instantaneous flow loss
    solver: str = "euler"  # of objective = ctm, from t to u: euler | heun
    solver_steps: int = 1  # of objective = ctm

    # acting
    action_chunk: int = 1  # h: actions generated and judged at once, and carried out before the next observation counts

    # optimisation
    learning_rate: float = 1e-3  # of the actor, Adam, cosine decay to 0
    critic_learning_rate: float = 3e-4  # Adam, constant
    max_grad_norm: float = 10.0  # clip on the global norm of each gradient
    ema_decay: float = 0.995  # of the actor that acts (and of the target, where target = ema)

    # value guidance
    # So steep a slope with so low a clip nearly chooses between taking a transition and leaving it. On umaze-diverse it
    # gave good turns 5 to 27 times the weight of bad ones with a fifth of the batch counting; slope 3 with clip 100,
    # truncated, 1 to 5 times with a twentieth.
    guidance: str = "weights"  # weights: advantage weights | q: the linear Q term of Diffusion-QL
    eta: float = 10.0  # strength of the guidance; 0 is cloning, without any critic unless to rank candidates
    truncate_weights: bool = False  # max(0, A) in place of A, as in the paper
    max_weight: float = 5.0  # upper clip of the weights
    critic: str = "expectile"  # expectile (IQL) | td (the paper's, K-step policy samples) | value (V of n data steps)
    discount: float = 0.99  # gamma
    reward_scale: float = 1.0  # what the critic takes rewards times
    # n: rewards summed before the critic bootstraps. Training draws transitions that have so many ahead, or a terminal;
    # so do clones, which then see the batches that guided agents see.
    num_step_returns: int = 10
    expectile: float = 0.9  # of the expectile and value critics
    target_rate: float = 0.02  # Polyak step of the target critic
    target_sampling_steps: int = 5  # K of the policy samples in training: of the td critic and of guidance = q
    backup_samples: int = 1  # of the td critic: policy samples at the next state, of which the target takes the best
    num_candidates: int = 1  # actions drawn per decision, of which the critic chooses one
    candidate_temperature: float = 0.0  # 0 takes the highest Q; else it is drawn from softmax(Q / temperature)

    @property
    def is_guided(self) -> bool:
        return self.eta != 0

    @property
    def uses_critic(self) -> bool:
        return self.is_guided or self.num_candidates > 1

    @property
    def structure(self) -> "AgentConfig":
        """What is compiled: the settings without numbers, but for eta = 0, which means that there is no critic."""
        return dataclasses.replace(self, **dict.fromkeys(NUMBERS, None) | {"eta": None if self.is_guided else 0.0})

    @property
    def numbers(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in NUMBERS}

    def validate(self) -> None:
        """Raises ValueError with one line that names the field, its value and what is allowed."""
        choices = {
            "objective": OBJECTIVES,
            "sampler": ("auto", *STEPS),
            "spacing": ("karras", "linear"),
            "solver": ("euler", "heun"),
            "guidance": ("weights", "q"),
            "distance": ("pseudo_huber", "squared"),
            "time_weight": ("inverse_gap", "uniform"),
            "target": ("online", "ema"),
            "critic": ("expectile", "td", "value"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"agent.{name} = {getattr(self, name)!r} must be one of {', '.join(allowed)}")
        if (step := OBJECTIVES[self.objective].step) not in STEPS:
            raise ValueError(f"agent.objective = {self.objective!r} names step {step!r}, not one of {', '.join(STEPS)}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in NUMBERS and not (isinstance(value, int | float) and math.isfinite(value)):
                raise ValueError(f"agent.{field.name} = {value} must be a finite number")
        positive = ["action_gain", "sigma_min", "rho", "learning_rate", "critic_learning_rate", "max_grad_norm"]
        positive += ["reward_scale"]
        counts = ["min_intervals", "num_step_returns", "target_sampling_steps", "num_candidates"]
        counts += ["backup_samples", "solver_steps", "action_chunk"]
        not_negative = ("eta", "consistency_coef", "flow_coef", "candidate_temperature")
        at_least = {"max_weight": 1, **dict.fromkeys(not_negative, 0), **dict.fromkeys(counts, 1)}
        at_most_1 = ("zero_share", "ema_decay", "discount", "expectile", "target_rate")
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(f"agent.{name} = {getattr(self, name)} must be positive")
        for name, low in at_least.items():
            if getattr(self, name) < low:
                raise ValueError(f"agent.{name} = {getattr(self, name)} must be at least {low}")
        if self.num_candidates > MAX_CANDIDATES:
            raise ValueError(f"agent.num_candidates = {self.num_candidates} must be at most {MAX_CANDIDATES}")
        if self.max_intervals > MAX_INTERVALS:
            raise ValueError(f"agent.max_intervals = {self.max_intervals} must be at most {MAX_INTERVALS}")
        for name in at_most_1:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"agent.{name} = {getattr(self, name)} must lie between 0 and 1")
        if self.sigma_max <= self.sigma_min:
            raise ValueError(f"agent.sigma_max = {self.sigma_max} must be greater than sigma_min = {self.sigma_min}")
        if self.sigma_last and not self.sigma_min <= self.sigma_last < self.sigma_max:
            allowed = "0, or at least sigma_min and below sigma_max"
            raise ValueError(f"agent.sigma_last = {self.sigma_last} must be {allowed}")
        if self.uses_critic and self.action_chunk > self.num_step_returns:
            allowed = f"agent.num_step_returns = {self.num_step_returns}: a return covers the actions it is of"
            raise ValueError(f"agent.action_chunk = {self.action_chunk} must be at most {allowed}")
        if self.critic == "value" and self.is_guided and self.guidance == "q":
            raise ValueError("agent.critic = 'value' judges without Q: guidance must be weights")
        if self.max_intervals < self.min_intervals:
            raise ValueError(f"agent.max_intervals = {self.max_intervals} must be at least {self.min_intervals}")
        for name in ("hidden_dims", "critic_hidden_dims"):
            widths = getattr(self, name)
            if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
                raise ValueError(f"agent.{name} = {widths} must be some whole numbers of at least 1")


NUMBERS = tuple(field.name for field in dataclasses.fields(AgentConfig) if field.type is float)
