# SPDX-License-Identifier: Apache-2.0
"""A client of TensorFlow Serving's REST interface, with nothing but the standard library.

`python -m examples.serving_client http://localhost:8501 digits_glow` asks a running server for samples, which it draws
as text, and for their bits per dimension and latents. Without arguments it trains a small flow on digits first, and
serves it by `examples.serving_stand_in`, which is no TensorFlow Serving, but answers to the same URLs and JSON.
"""

import json
import sys
import tempfile
import urllib.error
import urllib.request

SHADES = " .:-=+*#%@"


class Client:
    """Calls the signatures of a served model.

    Args:
      url: of the server, such as `http://localhost:8501`.
      name: of the model.
      timeout: seconds to wait for an answer.
    """

    def __init__(self, url, name, timeout=60.0):
        self.url, self.timeout = f"{url.rstrip('/')}/v1/models/{name}", timeout

    def is_available(self):
        """Whether a version of the model is in service."""
        versions = self._answer(self.url)["model_version_status"]
        return any(version["state"] == "AVAILABLE" for version in versions)

    def predict(self, signature, **inputs):
        """The output of a signature, as nested lists, from inputs of numbers and nested lists."""
        request = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        return self._answer(urllib.request.Request(
            f"{self.url}:predict", request, {"Content-Type": "application/json"}))["outputs"]

    def _answer(self, request):
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{error.url}: {error.code}: {json.load(error)['error']}") from error


def draw(images):
    """Images, nested lists `[n][h][w][c]`, as text beside each other."""
    grey = [[[sum(pixel) for pixel in row] for row in image] for image in images]
    brightest = max(max(map(max, image)) for image in grey) or 1
    rows = zip(*grey, strict=True)
    return "\n".join("   ".join("".join(2 * SHADES[(len(SHADES) - 1) * value // brightest] for value in row)
                                for row in beside) for beside in rows)


def show(client, number=4):
    """Samples a model, asks it about the samples, prints all and returns the images, their bits and latents."""
    images = client.predict("sample", number=number, temperature=0.7, seed=1)
    bits = client.predict("bits_per_dim_uint8", images=images, seed=0)
    latents = client.predict("encode_uint8", images=images)
    equal = client.predict("decode", latents=latents) == images
    print(draw(images))
    print("bits/dim: " + ", ".join(f"{value:.3f}" for value in bits))
    print(f"decoded from their latents they are {'equal' if equal else 'not equal'}")
    return images, bits, latents


def main(epochs=10):
    """Trains, exports and serves digits, and shows them; returns what `show` does."""
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
        show(Client(*sys.argv[1:]))
    else:
        main()
