"""Looking into networks: values by name, figures of layers, gradients that vanish, pictures, optimizers' ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import inspect, losses, nn, optim
from graphc.errors import ArgumentError, ShapeError, UnsupportedError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 20).astype(np.int32)


def wide(shape: Any, dtype: Any) -> gr.Initial:
    """Large initial weights."""
    return gr.init.normal(shape, dtype, stddev=4.0)


def trained(*layers: Any, compiled: bool = True) -> Any:
    """A program with a training step for these layers, compiled if need be, and the entry as written."""
    net, adam = nn.Sequential(*layers, nn.Dense(3)), optim.Adam(1e-2)
    program = gr.Program("looked_at")

    @program.entry
    def train_step(x: gr.f32["N", 4], y: gr.i32["N"]):
        logits = gr.tap("logits", net(x, training=True))
        loss = losses.sparse_softmax_cross_entropy(logits, y)
        adam.minimize(loss)
        return {"loss": loss, "largest": gr.max(logits)}

    @program.entry
    def predict(x: gr.f32["N", 4]):
        return net(x)

    return program.compile() if compiled else None, train_step


def test_taps_have_values_and_change_nothing() -> None:
    compiled, entry = trained(nn.Dense(8, activation="relu"), nn.Dropout(0.5))
    before = compiled.state.copy()
    logits = compiled.train_step.values(X, Y)["logits"]
    assert all(np.array_equal(before[name], value) for name, value in compiled.state.items())
    assert compiled.train_step(X, Y)["largest"] == logits.max()  # the same dropout mask: that of the next call
    np.testing.assert_array_equal(entry.values(X, Y, state=before)["logits"], logits)
    seeded = compiled.new_state(seed=7)
    assert not np.array_equal(seeded.train_step.values(X, Y)["logits"], logits)
    assert np.array_equal(entry.values(X, Y)["logits"], logits)  # a state of an earlier call is not kept


def test_taps_that_have_no_value(tmp_path: Path) -> None:
    program = gr.Program("twice")

    @program.entry
    def summed(x: gr.f32["N"]):
        def step(total: Any, value: Any) -> Any:
            return gr.tap("inside", total + value), None

        return gr.scan(step, gr.asarray(0.0), x)[0]

    compiled = program.compile()
    with pytest.raises(ArgumentError, match="inside a loop"):
        compiled.summed.values(X[:, 0])
    with pytest.raises(UnsupportedError, match="loaded program holds no source"):
        gr.load(compiled.build(tmp_path / "twice.so")).summed.values(X[:, 0])

    with pytest.raises(ArgumentError, match="given twice"):
        gr.jit(lambda x: gr.tap("a", gr.tap("a", x)))(X)
    with pytest.raises(ArgumentError, match="name is 3"):
        gr.jit(lambda x: gr.tap(3, x))(X)


def test_layers_are_those_of_numpy() -> None:
    compiled, _ = trained(nn.Dense(8, activation="relu"))
    report = inspect.layers(compiled.train_step, X, Y)
    state = compiled.state
    hidden = np.maximum(X @ state["dense/kernel"] + state["dense/bias"], 0)
    logits = hidden @ state["dense_1/kernel"] + state["dense_1/bias"]
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    by_logits = (chances - np.eye(3)[Y]) / len(Y)
    assert list(report.activations) == ["dense", "dense_1"]  # the tap and the container give what dense_1 gave
    np.testing.assert_allclose(report.activations["dense"], hidden, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(report.gradients["dense_1"], by_logits, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(report.gradients["dense"], by_logits @ state["dense_1/kernel"].T, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(report.parameter_gradients["dense_1/kernel"], hidden.T @ by_logits, rtol=1e-4, atol=1e-6)
    first = report.layers[0]
    assert (first.shape, first.units, first.zeros) == ((20, 8), 8, np.mean(hidden == 0))
    np.testing.assert_allclose([first.mean, first.std], [hidden.mean(), hidden.std()], rtol=1e-5)
    np.testing.assert_allclose(report.weights[0].norm, np.linalg.norm(state["dense/kernel"]), rtol=1e-6)


def test_a_part_of_a_report() -> None:
    compiled, _ = trained(nn.Dense(8), nn.Activation("relu"))
    report = inspect.layers(compiled.train_step, X, Y)
    part = report.only("dense_1*")
    assert [f.name for f in part.layers] == ["dense_1"] and [w.name for w in part.weights] == [
        "dense_1/kernel", "dense_1/bias",
    ]  # fmt: skip
    assert list(report.only("activation").gradients) == ["activation"]
    with pytest.raises(ArgumentError, match="no layer matches 'conv\\*'"):
        report.only("conv*")


def test_dead_units_are_counted() -> None:
    compiled, _ = trained(nn.Dense(8, activation="relu"))
    bias = np.zeros(8, np.float32)
    bias[[1, 5, 6]] = -100
    compiled.state["dense/bias"] = bias
    report = inspect.layers(compiled.train_step, X, Y)
    assert report.layers[0].dead == 3
    assert "dense: 3 of 8 units give the same for every row" in report.warnings
    assert inspect.layers(compiled.train_step, X[:1], Y[:1]).layers[0].dead == 0  # one row tells nothing


def test_deep_sigmoid_networks_lose_their_gradients_and_relu_ones_do_not() -> None:
    _, deep = trained(*[nn.Dense(16, activation="sigmoid") for _ in range(8)], compiled=False)
    lost = [w for w in inspect.layers(deep, X, Y).warnings if "vanishes" in w]
    assert len(lost) == 1 and "at dense it is" in lost[0] and "dense_8" in lost[0]
    _, kind = trained(*[nn.Dense(16, "relu", kernel_initializer="he_normal") for _ in range(8)], compiled=False)
    assert not any("vanishes" in w or "explodes" in w for w in inspect.layers(kind, X, Y).warnings)
    _, steep = trained(*[nn.Dense(16, kernel_initializer=wide) for _ in range(4)], compiled=False)
    assert any("explodes: at dense it is" in w for w in inspect.layers(steep, X, Y).warnings)


def test_values_that_are_not_finite_are_named() -> None:
    compiled, _ = trained(nn.Dense(8))
    compiled.state["dense/kernel"] = np.full((4, 8), np.inf, np.float32)
    report = inspect.layers(compiled.train_step, X, Y)
    assert any(w.startswith("dense: ") and "NaN or infinite" in w for w in report.warnings)
    assert "!" in str(report)


def test_a_layer_called_twice_is_numbered_and_scans_are_left_out() -> None:
    shared, program = nn.Dense(4, activation="tanh"), gr.Program("shared")

    @program.entry
    def predict(x: gr.f32["N", 4]):
        def step(carry: Any, _: Any) -> Any:
            return shared(carry), None

        return gr.scan(step, shared(shared(x)), length=3)[0]

    report = inspect.layers(program.compile().predict, X)
    assert list(report.activations) == ["dense", "dense (2)"]
    assert not report.gradients and "gradient" in str(report)


def test_layers_in_a_differentiated_function_are_seen() -> None:
    net, program = nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dense(3)), gr.Program("functional")
    net.build(gr.f32["N", 4])
    weights = {name: gr.Variable(value) for name, value in net.init(seed=1).items()}

    @program.entry
    def train_step(x: gr.f32["N", 4], y: gr.i32["N"]):
        def loss(params: Any) -> Any:
            return losses.sparse_softmax_cross_entropy(gr.tap("logits", net.apply(params, x)), y)

        value, slopes = gr.value_and_grad(loss)(weights)
        for name, weight in weights.items():
            weight.assign(weight - 0.1 * slopes[name])
        return value

    compiled = program.compile()
    report = inspect.layers(compiled.train_step, X, Y)
    assert list(report.gradients) == ["dense", "dense_1"]
    chances = np.exp(report.activations["dense_1"])
    chances /= chances.sum(1, keepdims=True)
    np.testing.assert_allclose(report.gradients["dense_1"], (chances - np.eye(3)[Y]) / 20, rtol=1e-4, atol=1e-7)
    assert np.array_equal(compiled.train_step.values(X, Y)["logits"], report.activations["dense_1"])


def test_layers_made_in_the_entry_are_refused() -> None:
    program = gr.Program("anew")

    @program.entry
    def predict(x: gr.f32["N", 4]):
        return nn.Dense(3)(x)

    with pytest.raises(gr.TraceError, match="predict makes the Variable dense_1/kernel anew"):
        inspect.layers(program.compile().predict, X)


def test_which_loss_and_which_entry(tmp_path: Path) -> None:
    compiled, entry = trained(nn.Dense(8))
    by_largest = inspect.layers(compiled.train_step, X, Y, loss="largest")
    assert np.count_nonzero(by_largest.gradients["dense_1"]) == 1
    assert list(inspect.layers(entry, X, Y).gradients) == ["dense", "dense_1"]
    with pytest.raises(ArgumentError, match="no float scalar among the outputs"):
        inspect.layers(compiled.train_step, X, Y, loss="lost")
    loaded = gr.load(compiled.build(tmp_path / "looked_at.so"))
    with pytest.raises(ArgumentError, match="no source to look into"):
        inspect.layers(loaded.train_step, X, Y)
    with pytest.raises(ArgumentError, match="is not an entry"):
        inspect.layers(np.sum, X)  # type: ignore[arg-type]
    program = gr.Program("bare")

    @program.entry
    def twice(x: gr.f32["N"]):
        return x * 2

    with pytest.raises(ArgumentError, match="no layers to look at"):
        inspect.layers(program.compile().twice, X[:, 0])


def test_the_report_is_drawn(tmp_path: Path) -> None:
    compiled, _ = trained(nn.Dense(8, activation="relu"), nn.Dropout(0.5))
    picture = inspect.layers(compiled.train_step, X, Y).plot(tmp_path / "layers.png")
    assert (tmp_path / "layers.png").stat().st_size > 5000
    assert [axes.get_ylabel() for axes in picture.axes[::2]] == ["dense", "dropout", "dense_1"]
    inspect.layers(compiled.predict, X).plot(tmp_path / "predict.svg")


def test_tiles_show_each_units_weights(tmp_path: Path) -> None:
    kernel = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
    sheet = inspect.tiles(kernel, (2, 2), columns=2, path=tmp_path / "tiles.png")
    assert sheet.shape == (5, 5) and (tmp_path / "tiles.png").exists()
    np.testing.assert_allclose(sheet[:2, :2].ravel(), 0.5 + 0.5 * kernel[:, 0] / 5)
    np.testing.assert_allclose(sheet[3:, :2].ravel(), 0.5 + 0.5 * kernel[:, 2] / 6)
    assert (sheet[2] == 1).all() and (sheet[3:, 3:] == 1).all()
    filters = RNG.standard_normal((3, 3, 3, 4)).astype(np.float32)
    coloured = inspect.tiles(filters)
    assert coloured.shape == (7, 7, 3)
    np.testing.assert_allclose(coloured[:3, 4:], 0.5 + 0.5 * filters[..., 1] / np.abs(filters[..., 1]).max(), rtol=1e-6)
    assert inspect.tiles(filters[:, :, :2]).shape == (11, 11)
    for bad in (kernel[0], kernel):
        with pytest.raises(ShapeError, match="no pictures in a kernel"):
            inspect.tiles(bad, (3, 3))


def test_ways_of_optimizers_are_those_of_their_formulas(tmp_path: Path) -> None:
    race = inspect.trajectories({"slow": optim.SGD(0.1), "fast": optim.SGD(0.4)}, "ravine", steps=50)
    n = np.arange(51)
    for name, rate in (("slow", 0.1), ("fast", 0.4)):
        expected = np.stack([-10 * (1 - 0.1 * rate) ** n, 2 * (1 - 2 * rate) ** n], axis=1)
        np.testing.assert_allclose(race[name], expected, rtol=1e-12, atol=1e-14)
    race.plot(tmp_path / "ravine.png")
    assert (tmp_path / "ravine.png").exists()
    assert race.values("slow")[0] == 0.05 * 100 + 4
    assert race.arrival("fast") is None
    there = inspect.trajectories([optim.Adam(0.1), optim.Adam(0.2)], "beale", steps=600)
    assert list(there.points) == ["Adam", "Adam 2"]
    arrived = there.arrival("Adam")
    assert arrived is not None and arrived > 100
    assert np.linalg.norm(there["Adam"][arrived:] - (3, 0.5), axis=1).max() <= 1e-2
    assert str(arrived) in str(there)
    assert inspect.trajectories([optim.SGD(0.1)], "saddle", steps=3).arrival("SGD") is None


def test_a_way_to_infinity_is_told_and_drawn_without_warnings(tmp_path: Path) -> None:
    race = inspect.trajectories({"wild": optim.SGD(1.0), "tame": optim.SGD(0.01)}, "beale", steps=30)
    assert not np.isfinite(race["wild"][-1]).any() and race.arrival("wild") is None
    assert "nan" in str(race) and np.isfinite(race.values("tame")).all()
    race.plot(tmp_path / "beale.png")


def test_newtons_direction_is_short() -> None:
    race = inspect.trajectories([optim.LBFGS(max_iter=1, max_eval=20), optim.Adam(0.1)], "rosenbrock", steps=40)
    arrived = race.arrival("LBFGS")
    assert arrived is not None and arrived < 40 and race.arrival("Adam") is None


def test_surfaces_have_their_minima_where_they_say() -> None:
    for surface in inspect.SURFACES.values():
        if surface.minimum is not None:
            x, y = surface.minimum
            assert surface.function(x, y) == 0
            left, right, bottom, top = surface.window
            assert left < x < right and bottom < y < top


def test_bad_races_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no surface 'hill'"):
        inspect.trajectories([optim.SGD(0.1)], "hill")
    with pytest.raises(ArgumentError, match="is not an optimizer"):
        inspect.trajectories({"Adam": "adam"})  # type: ignore[dict-item]
    with pytest.raises(ArgumentError, match="no optimizers"):
        inspect.trajectories([])
    with pytest.raises(ArgumentError, match="start="):
        inspect.trajectories([optim.SGD(0.1)], start=(1.0, 2.0, 3.0))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="steps=0"):
        inspect.trajectories([optim.SGD(0.1)], steps=0)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ArgumentError, match=r"graphc\[plots\]"):
        inspect.trajectories([optim.SGD(0.1)], "ravine", steps=2).plot()
