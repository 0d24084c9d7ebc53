# SPDX-License-Identifier: Apache-2.0
"""normflows' Glow on a GPU; see `gpu_worker`."""

import warnings

import normflows as nf
import numpy as np
import torch

from benchmarks.programs.gpu_worker import GpuSystem, main
from benchmarks.programs.normflows_glow import make_flow

warnings.filterwarnings("ignore")
torch.backends.cudnn.benchmark = True


class BFloat16(torch.nn.Module):
    """A network in bfloat16 with weights and results in float32."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x).float()


def build(images: np.ndarray, width: int, num_levels: int = 3, num_steps: int = 8, compiled: bool = False,
          mode: str = "default", network_dtype: str = "float32") -> GpuSystem:
    """Returns the system, in the memory layout `channels_last`; `compiled` applies `torch.compile`."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    flow = make_flow(num_steps, width, images.shape[1:], num_levels).to(device, memory_format=torch.channels_last)
    batch = torch.from_numpy(images / np.float32(256.0)).movedim(-1, 1).to(device, memory_format=torch.channels_last)
    with torch.no_grad():
        flow.log_prob(batch, None)  # Initializes actnorm.
    for module in flow.modules():
        if isinstance(module, nf.flows.ActNorm):  # A number instead of a tensor: `torch.compile` splits no graph there.
            del module._buffers["data_dep_init_done"]
            module.data_dep_init_done = 1.0
        if network_dtype == "bfloat16" and isinstance(module, nf.flows.AffineCoupling):
            module.add_module("param_map", BFloat16(module.param_map))
    torch._dynamo.config.recompile_limit = 1024

    def wrapped(function):
        return torch.compile(function, mode=mode, dynamic=False) if compiled else function

    loss_of, log_prob = wrapped(flow.forward_kld), wrapped(lambda x: flow.log_prob(x, None))
    draw, optimizer = wrapped(lambda: flow.sample(len(images))), torch.optim.Adamax(flow.parameters(), lr=1e-3)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_of(batch)
            if torch.isfinite(loss):  # As in the example of normflows.
                loss.backward()
                optimizer.step()
        wait()

    def repeated(function, *arguments):
        def run(times: int) -> None:
            with torch.no_grad():
                for _ in range(times):
                    function(*arguments)
            wait()
        return run

    def peak_gb() -> float:
        if device == "cpu":
            return float("nan")
        peak = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
        return peak

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return GpuSystem(train, repeated(log_prob, batch), repeated(draw), peak_gb, name)


if __name__ == "__main__":
    main(build)
