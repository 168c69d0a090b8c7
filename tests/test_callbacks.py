"""Callbacks: when they stop, what they write, what they are told; the history they leave."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim, train
from graphc.runtime.load import Compiled
from tests.documents import ROOT
from tests.fit_programs import TEST, Figures, X, Y, compiled, image, program

__all__ = ["compiled", "program"]

MOMENTS = ("on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_interrupt", "on_train_end")


def stopped(figures: Any, **options: Any) -> list[int | None]:
    """Where an EarlyStopping stops on some figures (-1: nowhere), and its best epoch."""
    stopping = train.EarlyStopping("figure", **options)
    run = train.Run(None, len(figures), 0, ("figure",))  # type: ignore[arg-type]
    stopping.on_train_begin(run)
    for run.epoch, figure in enumerate(figures):
        run.logs = {"figure": float(figure)}
        stopping.on_epoch_end(run)
        if run.stopped:
            break
    assert stopping.stopped_epoch == (run.epoch if run.stopped else None)
    return [-1 if stopping.stopped_epoch is None else stopping.stopped_epoch, stopping.best_epoch]


def test_early_stopping_stops_where_keras_does() -> None:
    with np.load(ROOT / "tests" / "vectors" / "early_stopping.npz") as cases:
        rows = zip(*(cases[n] for n in ("figures", "greater", "patience", "delta", "baseline", "start", "found")))  # noqa: B905
        for figures, greater, patience, delta, baseline, start, found in rows:
            options = {"min_delta": delta, "baseline": None if math.isnan(baseline) else baseline}
            mode = "max" if greater else "min"
            assert stopped(figures, patience=patience, mode=mode, start_from_epoch=start, **options) == found.tolist()


def test_an_epoch_after_nan_is_an_improvement() -> None:
    assert stopped([math.nan, 2, 1, 1.5, 1.5], patience=1) == [3, 2]
    assert stopped([2, math.nan, math.nan], patience=2) == [2, 0]


@pytest.mark.parametrize("name, greater", [
    ("loss", False), ("val_accuracy", True), ("val_f1_score", True), ("val_auc", True), ("r2", True), ("accent", False),
])  # fmt: skip
def test_auto_knows_which_way_is_better(name: str, greater: bool) -> None:
    assert train.EarlyStopping(name).greater is greater
    assert train.EarlyStopping(name, mode="min").greater is False and train.EarlyStopping(name, mode="max").greater


def test_the_best_state_comes_back(compiled: Compiled, program: gr.Program) -> None:
    stopping = train.EarlyStopping("figure", patience=2, restore_best=True)
    history = train.fit(compiled, (X, Y), epochs=9, callbacks=[Figures([3, 1, 2, 2, 0]), stopping])
    assert history.epochs == [0, 1, 2, 3] and history["figure"] == [3, 1, 2, 2]
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (1.0, 1, 3)
    other = program.compile()
    train.fit(other, (X, Y), epochs=2)
    assert image(other) == image(compiled)


def test_moments_come_in_order(compiled: Compiled) -> None:
    told: list[tuple[str, int, int, int]] = []

    def note(moment: str) -> Any:
        return lambda run: told.append((moment, run.epoch, run.batch, run.step))

    train.fit(compiled, (X, Y), epochs=2, batch_size=40, callbacks=[train.Lambda(**{m: note(m) for m in MOMENTS})])
    batches = [[("on_batch_end", e, b, 3 * e + b) for b in (1, 2, 3)] for e in (0, 1)]
    assert told == [
        ("on_train_begin", 0, 0, 0),
        ("on_epoch_begin", 0, 0, 0), *batches[0], ("on_epoch_end", 0, 3, 3),
        ("on_epoch_begin", 1, 0, 3), *batches[1], ("on_epoch_end", 1, 3, 6),
        ("on_train_end", 2, 0, 6),
    ]  # fmt: skip


def test_batches_are_looked_at_as_often_as_asked(compiled: Compiled, program: gr.Program) -> None:
    steps: dict[Any, list[int]] = {2: [], 3: [], None: []}
    callbacks = [train.Lambda(every, on_batch_end=lambda run, e=every: steps[e].append(run.step)) for every in steps]
    history = train.fit(compiled, (X, Y), epochs=2, batch_size=20, callbacks=callbacks)
    assert steps == {2: [2, 4, 6, 8, 10], 3: [3, 6, 9], None: [2, 3, 4, 5, 6, 8, 9, 10]}
    other = program.compile()
    whole = train.fit(other, (X, Y), epochs=2, batch_size=20)
    assert image(other) == image(compiled) and whole["loss"] == pytest.approx(history["loss"], rel=1e-6)


def test_a_callback_stops_after_its_batch(compiled: Compiled) -> None:
    stop = train.Run.stop
    history = train.fit(compiled, (X, Y), epochs=5, batch_size=10, callbacks=[train.Lambda(7, on_batch_end=stop)])
    assert history.steps == 7 and history.epochs == [] and len(history) == 0
    history = train.fit(compiled, (X, Y), epochs=5, batch_size=10, callbacks=[train.Lambda(on_epoch_end=stop)])
    assert history.steps == 10 and history.epochs == [0]


def test_a_loss_that_is_not_finite_ends_the_run(compiled: Compiled) -> None:
    x = X.copy()
    x[70] = np.nan
    history = train.fit(compiled, (x, Y), epochs=5, batch_size=10, shuffle=False, callbacks=[train.TerminateOnNaN()])
    assert history.steps == 10 and len(history.epochs) == 0


def test_the_learning_rate_follows_a_function(compiled: Compiled) -> None:
    history = train.fit(compiled, (X, Y), epochs=3, callbacks=[train.LearningRate(lambda epoch: 0.5**epoch)])
    assert history["learning_rate"] == [1.0, 0.5, 0.25] and compiled.state["adam/learning_rate"] == 0.25


def test_the_learning_rate_follows_a_plateau(compiled: Compiled) -> None:
    plateau = optim.Plateau(0.02, factor=0.5, patience=0)
    callbacks = [Figures([3, 4, 1, 2]), train.LearningRate(plateau, monitor="figure")]
    history = train.fit(compiled, (X, Y), epochs=4, callbacks=callbacks)
    assert history["learning_rate"] == pytest.approx([0.02, 0.02, 0.01, 0.01])
    assert compiled.state["adam/learning_rate"] == np.float32(0.005)


def test_a_table_of_the_history(compiled: Compiled, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    callbacks = [train.CSVLogger(path), train.LearningRate(lambda epoch: 0.01)]
    history = train.fit(compiled, (X, Y), epochs=3, validation_data=TEST, callbacks=callbacks)
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    assert header == ["epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"]
    for i, row in enumerate(rows):
        assert [int(row[0]), *map(float, row[1:])] == [i, *(history[name][i] for name in header[1:])]


def test_a_history_is_a_mapping_and_a_picture(compiled: Compiled, tmp_path: Path) -> None:
    late = train.Lambda(on_epoch_end=lambda run: run.logs.update(late=1.0) if run.epoch else None)
    history = train.fit(compiled, (X, Y), epochs=2, validation_data=TEST, callbacks=[late])
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "late"] and len(history) == 5
    assert math.isnan(history["late"][0]) and history["late"][1] == 1
    assert "2 epochs" in repr(history)
    figure = history.plot(tmp_path / "curves.png")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "late"]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [history["loss"], history["val_loss"]]
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(errors.StateError, match="did you mean 'val_loss'"):
        history["vall_loss"]
    with pytest.raises(errors.ArgumentError, match="no figures to draw"):
        train.fit(compiled, (X, Y), epochs=0).plot()
    with pytest.raises(errors.ArgumentError, match="can't be written"):
        history.plot(tmp_path / "missing" / "curves.png")


def two_rates() -> Compiled:
    """A program with two optimizers."""
    program = gr.Program("two")
    first, second = nn.Dense(1), nn.Dense(1)

    @program.entry
    def train_step(x: gr.f32["N", 4]):
        for net, optimizer in ((first, optim.SGD(0.1)), (second, optim.Adam(0.1))):
            optimizer.minimize(losses.mean_squared_error(net(x), gr.zeros((x.shape[0], 1))))

    return program.compile()


FAULTS = {
    "figure": (lambda c: [train.EarlyStopping("val_los")], r"no figure 'val_los' .*\n.*did you mean 'val_loss'"),
    "no validation": (lambda c: [train.EarlyStopping()], "there are loss, accuracy"),
    "late figure": (lambda c: [train.EarlyStopping("figure"), Figures([1, 2])], "no figure 'figure'"),
    "plateau": (lambda c: [train.LearningRate(optim.Plateau(0.1), "f1")], "no figure 'f1'"),
    "best": (lambda c: [train.Checkpoint("run", save_best_only=True, monitor="x")], "no figure 'x'"),
    "nan": (lambda c: [train.TerminateOnNaN("lose")], "did you mean 'loss'"),
    "callback": (lambda c: [print], "no train.Callback"),
    "class": (lambda c: [train.EarlyStopping], "no train.Callback"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_mistakes_are_answered_before_they_cost(kind: str, compiled: Compiled, tmp_path: Path) -> None:
    make, message = FAULTS[kind]
    before = image(compiled)
    data = {} if kind in ("no validation", "late figure") else {"validation_data": TEST}
    with pytest.raises(errors.ArgumentError, match=message) as caught:
        train.fit(compiled, (X, Y), epochs=2, callbacks=make(compiled), **data)
    assert caught.value.site.file == __file__
    assert kind == "late figure" or image(compiled) == before


def test_mistakes_in_callbacks_themselves() -> None:
    for make, message in (
        (lambda: train.EarlyStopping(mode="up"), "mode='up'"),
        (lambda: train.Lambda(on_epoch_ends=print), "did you mean 'on_epoch_end'"),
        (lambda: train.Checkpoint("run", keep=0), "keep=0"),
        (lambda: train.EarlyStopping(patience="a"), "patience='a'"),
        (lambda: train.Lambda(on_epoch_end=3), "on_epoch_end is a int"),
        (lambda: train.LearningRate(0.1), "0.1 is neither a function"),
        (lambda: train.fit(two_rates(), X, callbacks=[train.Lambda(0, on_batch_end=print)]), "every=0"),
        (lambda: train.fit(two_rates(), X, callbacks=[train.LearningRate(float)]), "2 learning rates.*sgd.*adam"),
        (lambda: train.fit(two_rates(), X, callbacks=[train.LearningRate(float, variable="x")]), "no variable 'x'"),
        (lambda: train.ModelCheckpoint, r"train.Checkpoint\(folder\)"),
    ):
        with pytest.raises(errors.GraphcError, match=message):
            make()


def test_files_that_cannot_be_written_are_named(compiled: Compiled, tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match=r"missing/run.csv can't be written"):
        train.fit(compiled, (X, Y), callbacks=[train.CSVLogger(tmp_path / "missing" / "run.csv")])
    logged = train.Lambda(on_epoch_end=lambda run: run.logs.update(mine=np.float32(0.5)))
    history = train.fit(compiled, (X, Y), callbacks=[logged, train.Checkpoint(tmp_path / "run")])
    assert history["mine"] == [0.5]
    logged = train.Lambda(on_epoch_end=lambda run: run.logs.update(mine=np.ones(2)))
    with pytest.raises(errors.ArgumentError, match="no JSON value"):
        train.fit(compiled, (X, Y), callbacks=[logged, train.Checkpoint(tmp_path / "run")])
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["checkpoint-000001"]


def test_a_rate_of_one_of_two_optimizers() -> None:
    compiled = two_rates()
    rate = train.LearningRate(lambda epoch: 0.25, variable="sgd/learning_rate")
    train.fit(compiled, X, callbacks=[rate])
    assert compiled.state["sgd/learning_rate"] == 0.25 and compiled.state["adam/learning_rate"] == np.float32(0.1)
