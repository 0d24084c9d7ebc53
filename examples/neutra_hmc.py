# SPDX-License-Identifier: Apache-2.0
"""A flow as the transform of HMC (NeuTra): a chain in the latents mixes better than one in the space of the target.

`python -m examples.neutra_hmc` fits a flow to a banana-shaped density. It runs Hamiltonian Monte Carlo with and without
the flow, through `tfp.mcmc.TransformedTransitionKernel`. It prints effective samples per draw of the slower coordinate.

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
    """Returns draws `[num_results, num_chains, 2]` of HMC in the latents of a bijector, and the acceptance rate."""
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
    """Returns effective samples per draw for each kind of chain."""
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
