"""What `train.TensorBoard` writes is what TensorBoard's own reader finds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc import errors, inspect, train
from tests.fit_programs import TEST, X, Y, classifier


def read(folder: Path) -> Any:
    """A run, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    found.Reload()
    return found


def scalars(run: Any, tag: str) -> tuple[list[int], list[float]]:
    """The steps and the values of a tag."""
    events = run.Scalars(tag)
    return [e.step for e in events], [e.value for e in events]


def test_the_reader_finds_figures_rates_and_histograms(tmp_path: Path) -> None:
    compiled = classifier().compile()
    kernels: list[np.ndarray] = []
    keep = train.Lambda(on_epoch_end=lambda run: kernels.append(run.compiled.state["dense/kernel"].copy()))

    def gradients(compiled: Any) -> dict[str, np.ndarray]:
        return inspect.layers(compiled.train_step, X, Y).parameter_gradients

    board = train.TensorBoard(tmp_path, watch=gradients, every_steps=3, histograms=2)
    history = train.fit(
        compiled, (X, Y), epochs=3, batch_size=16, validation_data=TEST, callbacks=[board, keep], progress=False
    )
    training, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    assert scalars(training, "loss") == ([0, 1, 2], pytest.approx(history["loss"], rel=1e-6))
    for name in validation.Tags()["scalars"]:
        assert scalars(validation, name)[1] == pytest.approx(history[f"val_{name}"], rel=1e-6)
    rates = [t for t in training.Tags()["scalars"] if t.endswith("learning_rate")]
    assert len(rates) == 1
    assert scalars(training, rates[0])[1] == pytest.approx([float(compiled.state[rates[0]])] * 3)
    assert scalars(training, "steps/loss")[0] == list(range(3, history.steps + 1, 3))

    trained = [v.name for v in compiled.signature.state if v.trainable]
    assert sorted(training.Tags()["histograms"]) == sorted([*trained, *(f"watch/{name}" for name in trained)])
    histograms = training.Histograms("dense/kernel")
    assert [h.step for h in histograms] == [0, 2]
    last = histograms[-1].histogram_value
    assert (last.num, last.min, last.max) == (kernels[2].size, kernels[2].min(), kernels[2].max())
    assert last.sum == pytest.approx(kernels[2].sum(dtype=np.float64)) and sum(last.bucket) == last.num


def test_settings_are_compared_by_their_last_figures(tmp_path: Path) -> None:
    board = train.TensorBoard(tmp_path, hparams={"units": 16, "rate": 0.01, "kind": "wide", "deep": False})
    history = train.fit(classifier().compile(), (X, Y), epochs=2, callbacks=[board], progress=False)
    run = read(tmp_path / "train")
    assert scalars(run, "hparam/loss")[1] == pytest.approx([history["loss"][-1]], rel=1e-6)
    from tensorboard.plugins.hparams import plugin_data_pb2

    metadata = run.SummaryMetadata("_hparams_/session_start_info")
    content = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    found = content.session_start_info.hparams
    assert (found["units"].number_value, found["kind"].string_value) == (16, "wide")
    assert found["deep"].bool_value is False


def test_a_resumed_run_goes_on_with_its_charts(tmp_path: Path) -> None:
    def run(epochs: int) -> Any:
        callbacks = [train.TensorBoard(tmp_path / "board"), train.Checkpoint(tmp_path / "checkpoints")]
        compiled = classifier().compile()
        return train.fit(compiled, (X, Y), epochs=epochs, callbacks=callbacks, resume=True, progress=False)

    run(2)
    history = run(4)
    found = read(tmp_path / "board" / "train")
    assert scalars(found, "loss") == ([0, 1, 2, 3], pytest.approx(history["loss"], rel=1e-6))


def test_what_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.ArgumentError, match="histograms=-1"):
        train.TensorBoard(tmp_path, histograms=-1)
    with pytest.raises(errors.ArgumentError, match="every_steps=0"):
        train.TensorBoard(tmp_path, every_steps=0)
    with pytest.raises(errors.ArgumentError, match="the setting units is a list"):
        train.TensorBoard(tmp_path, hparams={"units": [1, 2]})  # type: ignore[dict-item]
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(errors.ArgumentError, match=r"graphc\[tensorboard\]"):
        train.TensorBoard(tmp_path)


def test_parameters_that_broke_are_left_out(tmp_path: Path) -> None:
    compiled = classifier().compile()
    compiled.state["dense/kernel"] = np.full_like(compiled.state["dense/kernel"], np.nan)
    train.fit(compiled, (X, Y), callbacks=[train.TensorBoard(tmp_path)], progress=False)
    assert "dense/kernel" not in read(tmp_path / "train").Tags()["histograms"]
