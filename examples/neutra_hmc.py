# SPDX-License-Identifier: Apache-2.0
"""A flow as the transform of HMC (NeuTra): a chain in the flow's latents mixes better than one in the target's space.

`python -m examples.neutra_hmc` fits a flow to a banana, runs Hamiltonian Monte Carlo with and without it, through
`tfp.mcmc.TransformedTransitionKernel`, and prints effective samples per draw of the slower coordinate.

Reference: Hoffman et al., *NeuTra-lizing bad geometry in Hamiltonian Monte Carlo using neural transport*, 2019.
"""

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from examples.variational_posterior import banana, flow_posterior

tfb = tfp.bijectors


def chain(target_log_prob, bijector, num_results, num_chains=16, step_size=0.2, seed=3):
    """Draws `[num_results, num_chains, 2]` of the target by HMC in the bijector's latents, and the acceptance rate."""
    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(target_log_prob, step_size=step_size, num_leapfrog_steps=5), bijector)
    kernel = tfp.mcmc.SimpleStepSizeAdaptation(kernel, num_adaptation_steps=num_results // 2, target_accept_prob=0.8)

    @tf.function(autograph=False)
    def run():
        start = bijector.forward(tf.random.stateless_normal((num_chains, 2), seed=(seed, 0)))
        return tfp.mcmc.sample_chain(
            num_results, start, kernel=kernel, num_burnin_steps=num_results // 2, seed=(seed, 1),
            trace_fn=lambda _, results: results.inner_results.inner_results.is_accepted)

    draws, accepted = run()
    return draws, float(tf.reduce_mean(tf.cast(accepted, tf.float32)))


def main(num_steps=1000, num_results=500):
    """Returns effective samples per draw, of each kind of chain."""
    target, posterior = banana(), flow_posterior()
    tfp.vi.fit_surrogate_posterior(target, posterior, tf_keras.optimizers.Adam(5e-3), num_steps, sample_size=64, seed=1)
    efficiency = {}
    for name, bijector in (("NeuTra", posterior.bijector), ("plain HMC", tfb.Identity())):
        draws, accepted = chain(target, bijector, num_results)
        effective = tfp.mcmc.effective_sample_size(draws, cross_chain_dims=1)
        efficiency[name] = float(tf.reduce_min(effective)) / (draws.shape[0] * draws.shape[1])
        print(f"{name}: acceptance {accepted:.2f}, {efficiency[name]:.3f} effective samples per draw, mean of z[1] "
              f"{float(tf.reduce_mean(draws[..., 1])):.2f} (1 in truth)")
    return efficiency


if __name__ == "__main__":
    main()
