"""Named settings of the agent: ours, and the published systems that ours is compared with.

All share this package's networks (Mish, LayerNorm in the critics, no tanh on actions, which are clipped), EDM's
preconditioning, Adam with gradients clipped at a norm of 10, the cosine decay of the actor's rate, an average of the
actor at every update, and rewards as the task gives them, so that two presets differ in the method. Each docstring says
where else it departs from the original.
"""

import dataclasses

from gtp_jax.agent_config import AgentConfig


def default() -> AgentConfig:
    """What we tuned: little noise, a pseudo-Huber distance, an expectile critic, steep clipped weights."""
    return AgentConfig()


def default_bc() -> AgentConfig:
    """`default` without guidance: behaviour cloning."""
    return AgentConfig(eta=0.0)


def long_returns() -> AgentConfig:
    """`default` for goals hundreds of steps away, where 0.99 per step leaves nothing of a reward."""
    return AgentConfig(discount=0.998, num_step_returns=50)


def long_horizon() -> AgentConfig:
    """`long_returns` for walkers that clone noisy data; `docs/long_horizon.md` has the figures behind each choice.

    V of what 50 steps of the data came to gives the weights, a Q ranks four actions, and from K = 2 on the last step of
    sampling leaves out the noise that the data's actions have.
    """
    return dataclasses.replace(
        long_returns(),
        critic="value",
        num_candidates=4,
        sampler="denoise",
        sigma_last=0.5,
    )


def paper() -> AgentConfig:
    """GTP as published (Feng et al., 2026, arXiv 2510.11499): noise up to 80, squared error, EMA target, TD critic,
    truncated advantages over policy samples. Gradient clipping is ours."""
    return AgentConfig(
        critic_hidden_dims=(256, 256, 256),
        sigma_max=80.0,
        sigma_last=0.0,
        max_intervals=1280,
        zero_share=0.0,
        distance="squared",
        time_weight="uniform",
        target="ema",
        learning_rate=3e-4,
        eta=1.0,
        truncate_weights=True,
        max_weight=100.0,
        critic="td",
        discount=0.99,
        num_step_returns=1,
        target_rate=0.005,
        target_sampling_steps=5,
    )


def gtp() -> AgentConfig:
    """`paper`, under the name of the system."""
    return paper()


def gtp_bc() -> AgentConfig:
    """GTP-BC: `paper` without guidance."""
    return dataclasses.replace(paper(), eta=0.0)


def ctm_bc() -> AgentConfig:
    """Consistency trajectory models (Kim et al., 2024, arXiv 2310.02279): `gtp_bc` with an ODE solver for the score.

    Departs: t and u are neighbours on the grid, the two sides meet at tau, and there is no adversarial loss.
    """
    return dataclasses.replace(gtp_bc(), objective="ctm", solver="heun")


def diffusion_bc() -> AgentConfig:
    """Diffusion-BC, the policy of Diffusion-QL without Q (Wang et al., 2023, arXiv 2208.06193).

    Departs: EDM's noise levels, weights and preconditioning for the five discrete VP levels, whose greatest is 12.5;
    steps without noise (DDIM). Act with K = 5.
    """
    return dataclasses.replace(gtp_bc(), objective="diffusion", sigma_max=12.5)


def diffusion_ql() -> AgentConfig:
    """Diffusion-QL (Wang et al., 2023, arXiv 2208.06193): `diffusion_bc`, a linear Q term, one of 50 candidates by Q.

    Departs: as `diffusion_bc`, whose imitation term is larger at low noise than their mean squared error of the noise;
    eta is 1 for all tasks (theirs 0.005 to 4.5), the Q term is the mean over both critics. On AntMaze theirs has the
    rewards of config.reward = half_times_four and, but for umaze, the max-Q backup of backup_samples = 10.
    """
    return dataclasses.replace(
        paper(),
        objective="diffusion",
        sigma_max=12.5,
        guidance="q",
        num_candidates=50,
        candidate_temperature=1.0,
    )


def consistency_bc() -> AgentConfig:
    """Consistency-BC (Ding and Jin, 2024, arXiv 2309.16984): a consistency model, noise up to 80, N from 2 to 150.

    Their code weighs an error by 100 / (t - u), here it is 1 / (t - u). Departs: N doubles; samplers stop at the levels
    of a grid of K intervals, at 2.5 for K = 2 where theirs is at 2.0, and with more steps far below; a step adds noise
    of level tau, not sqrt(tau^2 - sigma_min^2). Act with K = 2.
    """
    return dataclasses.replace(
        gtp_bc(), objective="consistency", min_intervals=2, max_intervals=150, time_weight="inverse_gap"
    )


def consistency_ac() -> AgentConfig:
    """Consistency-AC (Ding and Jin, 2024, arXiv 2309.16984): `consistency_bc` with the critic of Diffusion-QL, K = 2.

    eta is a hundredth of theirs, as the imitation is: 0.01 is their 1 of most Gym tasks. On AntMaze's umaze and medium
    sets theirs is 0.01, so take 0.0001. Departs: as `consistency_bc` and `diffusion_ql`; targets are not divided by
    their deviation.
    """
    return dataclasses.replace(
        consistency_bc(),
        guidance="q",
        eta=0.01,
        num_candidates=50,
        candidate_temperature=1.0,
        target_sampling_steps=2,
    )


def flow_bc() -> AgentConfig:
    """Flow matching on the linear path, the behaviour policy of FQL (Park et al., 2025, arXiv 2502.02538).

    Departs: EDM's preconditioning, three layers of 256 for four of 512. Act with K = 10.
    """
    return dataclasses.replace(gtp_bc(), objective="flow_matching", spacing="linear")


def shortcut_bc() -> AgentConfig:
    """Shortcut models (Frans et al., 2024, arXiv 2410.12557).

    Departs: both terms on the whole batch; the shortest jump shrinks along the curriculum.
    """
    return dataclasses.replace(gtp_bc(), objective="shortcut", spacing="linear")


def mean_flow_bc() -> AgentConfig:
    """Mean flows (Geng et al., 2025, arXiv 2505.13447).

    Departs: uniform times, half of the jumps end at 0, no adaptive weight.
    """
    return dataclasses.replace(gtp_bc(), objective="mean_flow", spacing="linear")


def idql() -> AgentConfig:
    """IDQL (Hansen-Estruch et al., 2023, arXiv 2304.10573): `diffusion_bc`, implicit Q-learning, best of 64 by Q.

    Departs: an MLP for their residual network; a common expectile of 0.9 (their AntMaze setting). Act with K = 5.
    """
    return dataclasses.replace(
        diffusion_bc(),
        critic_hidden_dims=(256, 256),
        critic="expectile",
        expectile=0.9,
        num_candidates=64,
    )


def bc() -> AgentConfig:
    """Behaviour cloning with a deterministic actor: regression on the mean."""
    return dataclasses.replace(gtp_bc(), objective="regression", hidden_dims=(256, 256), target_sampling_steps=1)


def iql() -> AgentConfig:
    """IQL (Kostrikov et al., 2021, arXiv 2110.06169) with its AntMaze settings: expectile 0.9, beta 10.

    Departs: advantages are divided by their standard deviation before the exponential; the Gaussian's own standard
    deviation is fixed. On AntMaze theirs has the rewards of config.reward = minus_one.
    """
    return dataclasses.replace(
        bc(),
        critic_hidden_dims=(256, 256),
        eta=10.0,
        truncate_weights=False,
        critic="expectile",
        expectile=0.9,
    )


def td3_bc() -> AgentConfig:
    """TD3+BC (Fujimoto and Gu, 2021, arXiv 2106.06860), alpha = 2.5.

    Departs: no smoothing of the target action, no delay of the policy; the Q term is the mean over both critics, each
    over the other's size.
    """
    return dataclasses.replace(bc(), guidance="q", eta=2.5, critic_hidden_dims=(256, 256))


PRESETS: dict[str, AgentConfig] = {
    preset.__name__: preset()
    for preset in (
        default,
        default_bc,
        long_returns,
        long_horizon,
        paper,
        gtp,
        gtp_bc,
        ctm_bc,
        diffusion_bc,
        diffusion_ql,
        consistency_bc,
        consistency_ac,
        flow_bc,
        shortcut_bc,
        mean_flow_bc,
        idql,
        bc,
        iql,
        td3_bc,
    )
}
