# SPDX-License-Identifier: Apache-2.0
"""A flow as the transform of Hamiltonian Monte Carlo (NeuTra), which improves the mixing of its chains.

`python -m examples.neutra_hmc` fits a flow to a banana-shaped target density. It then runs Hamiltonian Monte Carlo in
the latents of the flow, by `tfp.mcmc.TransformedTransitionKernel`, and in the space of the target. It prints the
effective samples per draw of the slower coordinate.

Reference: Hoffman et al., *NeuTra-lizing bad geometry in Hamiltonian Monte Carlo using neural transport*, 2019.
"""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from examples.variational_posterior import banana, flow_posterior

tfb = tfp.bijectors


def chain(target_log_prob: Callable[[tf.Tensor], tf.Tensor], bijector: tfp.bijectors.Bijector, num_results: int,
          num_chains: int = 16, step_size: float = 0.2, seed: int = 3) -> tuple[tf.Tensor, float]:
    """Samples a target by Hamiltonian Monte Carlo in the latents of a bijector.

    Args:
      target_log_prob: log-density of the target, a function of points `[..., 2]`.
      bijector: a `tfb.Bijector` from latents to points.
      num_results: number of draws per chain, after half as many burn-in steps.
      num_chains: number of parallel chains.
      step_size: initial step size in the latents.
      seed: an int, seed of the chains.

    Returns:
      A pair of the draws `[num_results, num_chains, 2]` and the acceptance rate, a float in [0, 1].
    """
    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(target_log_prob, step_size=step_size, num_leapfrog_steps=5), bijector)
    kernel = tfp.mcmc.SimpleStepSizeAdaptation(kernel, num_adaptation_steps=num_results // 2, target_accept_prob=0.8)

    @tf.function(autograph=False)
    def run() -> tuple[tf.Tensor, tf.Tensor]:
        start = bijector.forward(tf.random.stateless_normal((num_chains, 2), seed=(seed, 0)))
        return tfp.mcmc.sample_chain(
            num_results, start, kernel=kernel, num_burnin_steps=num_results // 2, seed=(seed, 1),
            trace_fn=lambda _, results: results.inner_results.inner_results.is_accepted)

    draws, accepted = run()
    return draws, float(tf.reduce_mean(tf.cast(accepted, tf.float32)))


def main(num_steps: int = 1000, num_results: int = 500) -> dict[str, float]:
    """Fits the flow, runs both kinds of chains and prints their efficiency.

    Args:
      num_steps: number of training steps of the flow.
      num_results: number of draws per chain.

    Returns:
      A dict of the effective samples per draw: `"NeuTra"` and `"plain HMC"`.
    """
    target, posterior = banana(), flow_posterior()
    tfp.vi.fit_surrogate_posterior(target, posterior, tf_keras.optimizers.Adam(5e-3), num_steps, sample_size=64, seed=1)
    efficiency = {}
    for name, bijector in (("NeuTra", posterior.bijector), ("plain HMC", tfb.Identity())):
        draws, accepted = chain(target, bijector, num_results)
        effective = tfp.mcmc.effective_sample_size(draws, cross_chain_dims=1)
        efficiency[name] = float(tf.reduce_min(effective)) / (draws.shape[0] * draws.shape[1])
        print(f"{name}: acceptance {accepted:.2f}, {efficiency[name]:.3f} effective samples per draw, mean of z[1] "
              f"{float(tf.reduce_mean(draws[..., 1])):.2f} (the true mean is 1)")
    return efficiency


if __name__ == "__main__":
    main()
