"""PyTorch's parameters in networks and back: which layer takes which module, what is turned, what is refused.

That the numbers mean the same is held by `test_layers.py` and `test_sequences.py`; PyTorch itself is not needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, interop, nn

RNG = np.random.default_rng(0)


def arrays(**shapes: tuple[int, ...]) -> dict[str, Any]:
    """A `state_dict` of random arrays; `__` stands for a dot."""
    return {name.replace("__", "."): RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


class Tensor:
    """What of PyTorch's tensors is used."""

    dtype = "torch.bfloat16"

    def __init__(self, value: Any):
        self.value = value

    def detach(self) -> Tensor:
        return self

    cpu = float = detach

    def numpy(self) -> Any:
        return self.value


LENET = arrays(
    conv__weight=(6, 2, 3, 4), conv__bias=(6,), norm__weight=(6,), norm__bias=(6,), norm__running_mean=(6,),
    norm__running_var=(6,), norm__num_batches_tracked=(), head__0__weight=(5, 72), head__0__bias=(5,),
    head__2__weight=(3, 5), head__2__bias=(3,),
)  # fmt: skip
IMAGE = {"dense": (6, 4, 3)}


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2D(6, (3, 4)), nn.BatchNorm(), nn.Activation("relu"), nn.Flatten(), nn.Dense(5), nn.Dense(3)
    )


def built(net: Any, *types: Any) -> Any:
    net.build(*(types or (gr.f32["N", 4, 3, 2],)))
    return net


def test_modules_by_order_and_kind() -> None:
    found = interop.from_torch(built(lenet()), LENET, flattened=IMAGE)
    expected = {
        "conv2d/kernel": LENET["conv.weight"].transpose(2, 3, 1, 0),
        "conv2d/bias": LENET["conv.bias"],
        "batch_norm/scale": LENET["norm.weight"],
        "batch_norm/bias": LENET["norm.bias"],
        "batch_norm/mean": LENET["norm.running_mean"],
        "batch_norm/variance": LENET["norm.running_var"],
        "dense/kernel": LENET["head.0.weight"].reshape(5, 6, 4, 3).transpose(2, 3, 1, 0).reshape(72, 5),
        "dense/bias": LENET["head.0.bias"],
        "dense_1/kernel": LENET["head.2.weight"].T,
        "dense_1/bias": LENET["head.2.bias"],
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name


def test_there_and_back() -> None:
    net = built(lenet())
    values = interop.from_torch(net, LENET, flattened=IMAGE)
    back = interop.to_torch(net, values, LENET, flattened=IMAGE)
    assert list(back) == list(LENET)
    for name, value in LENET.items():
        assert back[name].shape == value.shape and ("num_batches" in name or np.array_equal(back[name], value)), name
    plain = interop.to_torch(net, values)
    assert plain["layers_5.weight"].tolist() == LENET["head.2.weight"].tolist()


class Named(nn.Module):
    """As one writes it in PyTorch, in another order."""

    def __init__(self) -> None:
        self.second, self.first = nn.Dense(3), nn.Dense(4)
        self.blocks = [nn.LayerNorm(), nn.LayerNorm()]

    def __call__(self, x: Any) -> Any:
        return self.second(self.blocks[1](self.blocks[0](self.first(x))))


NAMED = arrays(
    first__weight=(4, 2), first__bias=(4,), second__weight=(3, 4), second__bias=(3,), blocks__0__weight=(4,),
    blocks__0__bias=(4,), blocks__1__weight=(4,), blocks__1__bias=(4,),
)  # fmt: skip


def test_modules_by_name() -> None:
    net = built(Named(), gr.f32["N", 2])
    found = interop.from_torch(net, NAMED)
    assert np.array_equal(found["named/dense/kernel"], NAMED["first.weight"].T)  # the first that is called
    assert np.array_equal(found["named/layer_norm_1/scale"], NAMED["blocks.1.weight"])
    renamed = {name.replace("first", "a").replace("second", "b"): value for name, value in NAMED.items()}
    with pytest.raises(errors.StateError, match=r"a.weight: \(4, 2\), the layer named/dense_1 takes \(3, 4\)"):
        interop.from_torch(net, renamed)
    chosen = interop.from_torch(net, renamed, names={"named/dense": "a"})
    assert all(np.array_equal(chosen[name], value) for name, value in found.items())


def test_programs_start_with_what_was_loaded() -> None:
    net, program = built(lenet()), gr.Program("p")
    interop.load_torch(net, {name: Tensor(value) for name, value in LENET.items()}, flattened=IMAGE)

    @program.entry
    def f(x: gr.f32["N", 4, 3, 2]) -> Any:
        return net(x)

    expected = interop.from_torch(net, LENET, flattened=IMAGE)
    for compiled in (program.compile(), program.compile().new_state(seed=5)):
        assert all(np.array_equal(compiled.state[name], value) for name, value in expected.items())
    assert np.array_equal(gr.interpret(f).state["dense/kernel"], expected["dense/kernel"])
    with pytest.raises(errors.TraceError, match="too late"):
        interop.load_torch(net, LENET, flattened=IMAGE)

    doubled = {name: value * 2 for name, value in LENET.items()}
    interop.load_torch(net, doubled, compiled, flattened=IMAGE)
    assert np.array_equal(compiled.state["dense/kernel"], expected["dense/kernel"] * 2)
    back = interop.to_torch(net, compiled.state, LENET, flattened=IMAGE)
    assert np.array_equal(back["conv.weight"], doubled["conv.weight"])


def test_names_in_a_program_with_others() -> None:
    first, second, program = nn.Dense(2), nn.Dense(3), gr.Program("p")

    @program.entry
    def f(x: gr.f32["N", 4]) -> Any:
        return first(x), second(x)

    compiled, state_dict = program.compile(), arrays(weight=(3, 4), bias=(3,))
    interop.load_torch(second, state_dict, compiled, program=program)
    assert np.array_equal(compiled.state["dense_1/kernel"], state_dict["weight"].T)
    assert np.array_equal(interop.to_torch(second, compiled.state, program=program)["weight"], state_dict["weight"])
    with pytest.raises(errors.ArgumentError, match="does not use"):
        interop.from_torch(built(nn.Dense(3), gr.f32["N", 4]), state_dict, program=program)


def test_nothing_is_loaded_where_something_does_not_fit() -> None:
    net, program = built(lenet()), gr.Program("p")

    @program.entry
    def f(x: gr.f32["N", 4, 3, 2]) -> Any:
        return net(x)

    compiled = program.compile()
    before = compiled.state.copy()
    wrong = dict(LENET) | arrays(head__2__weight=(2, 5), extra__weight=(9, 9))
    del wrong["conv.bias"]
    with pytest.raises(errors.StateError) as raised:
        interop.load_torch(net, wrong, compiled, flattened=IMAGE | {"danse": (1, 1, 1)})
    assert raised.value.message.splitlines() == [
        "the parameters of PyTorch do not fit the network",
        "  flattened: the network has no layer danse",
        "  conv2d: no module left that has weight (6, 2, 3, 4), bias (6,)",
        "  head.2.weight: (2, 5), the layer dense_1 takes (3, 5)",
        "  conv.weight: no layer takes it",
        "  extra.weight: no layer takes it",
    ]
    assert raised.value.site is not None and raised.value.site.file.endswith("test_torch.py")
    assert all(np.array_equal(compiled.state[name], value) for name, value in before.items())
    with pytest.raises(errors.StateError, match=r"names: no module nose.*\n.*names: the network has no layer eye"):
        interop.from_torch(net, LENET, names={"dense": "nose", "eye": "conv"}, flattened=IMAGE)
    with pytest.raises(errors.ArgumentError, match="state_dict: Tensor, not a dict by name"):
        interop.from_torch(net, Tensor(0))  # type: ignore[arg-type]
    with pytest.raises(errors.StateError, match="the state lacks conv2d/kernel"):
        interop.to_torch(net, {})
    with pytest.raises(errors.TraceError, match="build it first"):
        interop.load_torch(lenet(), LENET)


def test_a_layer_of_many_is_one_module_or_its_parts_are() -> None:
    sizes = {f"{part}_{of}_l{i}": (12, 4 if of == "ih" and not i else 3)[: 2 if part == "weight" else 1]
             for i in (0, 1) for part in ("weight", "bias") for of in ("ih", "hh")}  # fmt: skip
    whole = {f"rnn.{name}": value for name, value in arrays(**sizes).items()}
    apart = {name.replace("rnn", f"rnn{name[-1]}")[:-1] + "0": value for name, value in whole.items()}
    net = built(nn.Stack(nn.LSTM(3), nn.LSTM(3)), gr.f32["N", "T", 4])
    found, same = interop.from_torch(net, whole), interop.from_torch(net, apart)
    assert all(np.array_equal(found[name], same[name]) for name in found)
    assert np.array_equal(found["stack/lstm/bias"], whole["rnn.bias_ih_l0"] + whole["rnn.bias_hh_l0"])
    back = interop.to_torch(net, found, whole)
    assert np.array_equal(back["rnn.bias_ih_l1"], found["stack/lstm_1/bias"]) and not back["rnn.bias_hh_l1"].any()


def test_attention_by_projections() -> None:
    net = built(nn.MultiHeadAttention(2), gr.f32["N", "T", 4], gr.f32["N", "S", 6])
    module = arrays(
        q_proj_weight=(4, 4), k_proj_weight=(4, 6), v_proj_weight=(4, 6), in_proj_bias=(12,), out_proj__weight=(4, 4),
        out_proj__bias=(4,),
    )  # fmt: skip
    found = interop.from_torch(net, module)
    assert np.array_equal(found["multi_head_attention/key/kernel"], module["k_proj_weight"].T)
    assert np.array_equal(found["multi_head_attention/value/bias"], module["in_proj_bias"][8:])
    assert all(np.array_equal(value, module[name]) for name, value in interop.to_torch(net, found).items())
    linear = arrays(**{f"{p}__{k}": (4, 4)[: 2 if k == "weight" else 1] for p in "qkvo" for k in ("weight", "bias")})
    found = interop.from_torch(built(nn.MultiHeadAttention(2), gr.f32["N", "T", 4]), linear)
    assert np.array_equal(found["multi_head_attention/output/kernel"], linear["o.weight"].T)


def test_layers_of_ones_own() -> None:
    class Scale(nn.Module):
        def build(self, x: Any) -> None:
            self.factor = gr.Variable(np.ones(2, np.float32))

        def __call__(self, x: Any) -> Any:
            return x * self.factor

    net = built(nn.Sequential(nn.Embedding(3, 2), Scale(), nn.PReLU()), gr.i32["N", 2])
    state_dict = arrays(scale__factor=(2,), table__weight=(3, 2), act__weight=(1,))
    found = interop.from_torch(net, state_dict)
    assert {name: value.shape for name, value in found.items()} == {
        "scale/factor": (2,), "embedding/table": (3, 2), "prelu/slope": (1,),
    }  # fmt: skip


TWO = {"0.weight": np.ones((3, 4)), "0.bias": np.ones(3), "1.weight": np.ones((2, 3)), "1.bias": np.ones(2)}


def two() -> Any:
    return built(nn.Sequential(nn.Dense(3), nn.Dense(2)), gr.f32["N", 4])


@pytest.mark.parametrize(
    "load, kind, message",
    [
        (lambda: interop.load_torch(two(), None), errors.ArgumentError, "state_dict: NoneType"),
        (lambda: interop.load_torch(two(), {1: TWO}), errors.ArgumentError, "state_dict: dict, not a dict by name"),
        (lambda: interop.load_torch(TWO, two()), errors.ArgumentError, "is not a network"),
        (lambda: interop.load_torch(two(), TWO, 3), errors.ArgumentError, "into=3 is not a compiled program"),
        (lambda: interop.load_torch(two(), TWO, program=3), errors.ArgumentError, "3 is not a program"),
        (lambda: interop.load_torch(two(), TWO, names=3), errors.ArgumentError, "names: int"),
        (lambda: interop.load_torch(two(), TWO, flattened=3), errors.ArgumentError, "flattened: int"),
        (lambda: interop.load_torch(two(), TWO, flattened={"dense": 4}), errors.ArgumentError, "flattened: 4 of dense"),
        (
            lambda: interop.load_torch(two(), TWO, flattened={"dense": (2, 3)}), errors.StateError,
            r"flattened: dense does not take the numbers of an image \(2, 3\)",
        ),
        (
            lambda: interop.load_torch(two(), TWO | {"0.bias": np.ones(3) * 1j}), errors.DTypeError,
            "0.bias: complex128 of the state_dict",
        ),
        (lambda: interop.to_torch(two(), None), errors.ArgumentError, "state: NoneType"),
        (
            lambda: interop.to_torch(two(), {name: value[:1] for name, value in two().init().items()}),
            errors.StateError, r"dense/kernel: \(1, 3\), the network has \(4, 3\)",
        ),
    ],
)  # fmt: skip
def test_what_is_no_network_or_parameters(load: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        load()
    assert raised.value.site is not None and raised.value.site.file.endswith("test_torch.py")  # type: ignore[attr-defined]
    assert raised.value.help is not None  # type: ignore[attr-defined]
