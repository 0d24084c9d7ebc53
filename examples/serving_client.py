# SPDX-License-Identifier: Apache-2.0
"""A client of the REST API of TensorFlow Serving that uses the standard library only.

`python -m examples.serving_client http://localhost:8501 digits_glow` requests samples from a running server and prints
them as text, with their bits per dimension. Without arguments, it trains a small flow on digits and serves the flow by
`examples.serving_stand_in`, a small server with the same URLs and JSON as TensorFlow Serving.
"""

import json
import sys
import tempfile
import typing
import urllib.error
import urllib.request

SHADES = " .:-=+*#%@"


class Client:
    """Calls the signatures of a served model.

    Args:
      url: URL of the server, such as `"http://localhost:8501"`.
      name: name of the model on the server.
      timeout: seconds to wait for a response. Default: 60.
    """

    def __init__(self, url: str, name: str, timeout: float = 60.0) -> None:
        self.url, self.timeout = f"{url.rstrip('/')}/v1/models/{name}", timeout

    def is_available(self) -> bool:
        """Returns True if the server serves a version of the model."""
        versions = self._answer(self.url)["model_version_status"]
        return any(version["state"] == "AVAILABLE" for version in versions)

    def predict(self, signature: str, **inputs: typing.Any) -> typing.Any:
        """Computes the output of a signature.

        Args:
          signature: name of the signature, such as `"log_prob"`.
          **inputs: the inputs of the signature by name: numbers, or tensors as nested lists.

        Returns:
          The output as nested lists.

        Raises:
          ValueError: if the server returns an error. The message contains the error of the server.
        """
        request = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        return self._answer(urllib.request.Request(
            f"{self.url}:predict", request, {"Content-Type": "application/json"}))["outputs"]

    def _answer(self, request: typing.Any) -> typing.Any:
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{error.url}: {error.code}: {json.load(error)['error']}") from error


def draw(images: list) -> str:
    """Returns images as text, side by side. `images` is a nested list `[n][h][w][c]` of numbers of at least 0."""
    gray = [[[sum(pixel) for pixel in row] for row in image] for image in images]
    brightest = max(max(map(max, image)) for image in gray) or 1
    rows = zip(*gray, strict=True)
    return "\n".join("   ".join("".join(2 * SHADES[(len(SHADES) - 1) * value // brightest] for value in row)
                                for row in beside) for beside in rows)


def show(client: Client, number: int = 4) -> tuple[list, list, list]:
    """Requests samples of a model, prints them with their bits per dimension, and decodes their latents.

    Args:
      client: a `Client`.
      number: number of samples.

    Returns:
      The images, their bits per dimension and their latents, as nested lists.
    """
    images = client.predict("sample", number=number, temperature=0.7, seed=1)
    bits = client.predict("bits_per_dim_uint8", images=images, seed=0)
    latents = client.predict("encode_uint8", images=images)
    equal = client.predict("decode", latents=latents) == images
    print(draw(images))
    print("bits/dim: " + ", ".join(f"{value:.3f}" for value in bits))
    print(f"the decoded latents are {'equal' if equal else 'not equal'} to the images")
    return images, bits, latents


def main(epochs: int = 10) -> tuple[list, list, list]:
    """Trains a flow on digits, exports and serves the flow, and calls `show`.

    Args:
      epochs: number of epochs of training.

    Returns:
      The images, their bits per dimension and their latents, as nested lists.
    """
    import keras
    from sklearn.datasets import load_digits

    import tfp_glow
    from examples.serving_stand_in import StandIn

    digits = load_digits().images[..., None].astype("uint8")
    model = tfp_glow.FlowModel(tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=4, width=32, num_bits=5, seed=0))
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit(digits, batch_size=64, epochs=epochs, verbose=0)
    with tempfile.TemporaryDirectory() as directory:
        tfp_glow.export_saved_model(model, f"{directory}/1")
        with StandIn(directory, "digits") as server:
            return show(Client(server.url, server.name))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        show(Client(sys.argv[1], sys.argv[2]))
    else:
        main()
