"""Training budgets: compute-optimal size (Chinchilla) against the size that is cheapest with its inference counted.

L(N, D) = E + A / N^a + B / D^b; training costs 6 N D operations, inference 2 N a token.
Sources: Hoffmann et al. 2022 (arXiv 2203.15556) approach 3; Sardana et al. 2024 (arXiv 2401.00448); Besiroglu et al.
2024 (arXiv 2404.10102), who fit the same data again.
"""

import math

import msgspec

from trimtab.errors import ConfigError


class Law(msgspec.Struct, frozen=True):
    """A fitted law of loss; `tokens` exponents b, `size` exponents a."""

    name: str
    floor: float
    size_scale: float
    size: float
    data_scale: float
    data: float


LAWS = (
    Law("sardana-2024", 1.69, 406.4, 0.336, 410.7, 0.283),
    Law("hoffmann-2022", 1.69, 406.4, 0.34, 410.7, 0.28),
    Law("hoffmann-2022, four digits", 1.6934, 406.4, 0.3392, 410.7, 0.2849),
    Law("besiroglu-2024", 1.8172, 482.01, 0.3478, 2085.43, 0.3658),
)
"""Those with which inference-aware sizes were published first; the others say how far the answer rests on them."""


class Budget(msgspec.Struct, frozen=True):
    """A size and its training tokens; operations in all (`training` and `inference`), and what it saves (0 to 1)."""

    law: str
    size: float
    tokens: float
    training: float
    inference: float
    saves: float


def loss(law: Law, size: float, tokens: float) -> float:
    """Nats a token of a model of `size` parameters that saw `tokens`."""
    return law.floor + law.size_scale / size**law.size + law.data_scale / tokens**law.data


def optimal_tokens(law: Law, size: float) -> float:
    """Tokens for which `size` is the compute-optimal size: where dL/dN N = dL/dD D."""
    ratio = law.data * law.data_scale / (law.size * law.size_scale)
    return (ratio * size**law.size) ** (1 / law.data)


def tokens_for(law: Law, size: float, wanted: float) -> float:
    """Tokens that bring `size` parameters to a loss; infinite where they never do."""
    left = wanted - law.floor - law.size_scale / size**law.size
    return (law.data_scale / left) ** (1 / law.data) if left > 0 else math.inf


def aware(law: Law, quality: float, served: float) -> Budget:
    """The cheapest model that is as good as a compute-optimal one of `quality` parameters and serves `served` tokens.

    Raises:
        ConfigError: a size or a number of tokens that is not positive, or beyond what anybody trains.
    """
    if not 1e6 <= quality <= 1e14 or not 0 <= served <= 1e18:
        raise ConfigError(
            f"No budget for {quality:g} parameters and {served:g} tokens.",
            "Give 1e6 to 1e14 parameters and 0 to 1e18 tokens.",
        )
    seen = optimal_tokens(law, quality)
    wanted = loss(law, quality, seen)
    plain = 6 * quality * seen + 2 * quality * served

    def cost(size: float) -> float:
        tokens = tokens_for(law, size, wanted)
        return 6 * size * tokens + 2 * size * served

    low, high = math.log(quality / 50), math.log(quality * 1.5)
    for _ in range(200):  # golden-section search: the cost has one valley
        first, second = high - (high - low) / 1.618033988749895, low + (high - low) / 1.618033988749895
        low, high = (low, second) if cost(math.exp(first)) < cost(math.exp(second)) else (first, high)
    size = math.exp((low + high) / 2)
    tokens = tokens_for(law, size, wanted)
    return Budget(law.name, size, tokens, 6 * size * tokens, 2 * size * served, 1 - cost(size) / plain)
