"""scikit-learn's estimators: its own checks, weights, stopping, pickles, searches, networks of one's own."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import graphc as gr
from graphc import errors, nn, optim
from graphc.interop import GraphClassifier, GraphRegressor

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
QUICK: dict[str, Any] = {"hidden": (16,), "epochs": 40, "learning_rate": 0.02, "random_state": 0}


def small(outputs: int) -> nn.Module:
    """A network of one's own."""
    return nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dense(outputs))


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [GraphClassifier(), GraphRegressor()], ids=lambda e: type(e).__name__)
def test_scikit_learn_finds_no_fault(estimator: Any) -> None:
    outcomes = check_estimator(estimator, on_skip=None)
    assert len(outcomes) > 50
    assert sum(outcome["status"] == "skipped" for outcome in outcomes) <= 3  # those that need pandas


@pytest.mark.parametrize(
    "estimator", [GraphClassifier(**QUICK), GraphRegressor(**QUICK)], ids=lambda e: type(e).__name__
)
def test_some_checks_that_need_no_long_training(estimator: Any) -> None:
    from sklearn.utils import estimator_checks as checks

    for check in (
        checks.check_fit_idempotent,
        checks.check_no_attributes_set_in_init,
        checks.check_sample_weight_equivalence_on_dense_data,
    ):
        check(type(estimator).__name__, clone(estimator))


def test_labels_of_any_kind_are_learned() -> None:
    model = GraphClassifier(**QUICK).fit(X, NAMES)
    assert model.score(X, NAMES) > 0.95
    chances = model.predict_proba(X)
    assert chances.shape == (150, 3) and chances.dtype == np.float64
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-12)
    assert (model.classes_[chances.argmax(1)] == model.predict(X)).all()
    assert len(model.history_["loss"]) == 40 and model.history_["loss"][-1] < 0.2


def test_float32_stays_float32() -> None:
    model = GraphClassifier(**QUICK).fit(X.astype(np.float32), Y)
    assert model.predict_proba(X).dtype == np.float32
    assert model.network_.compiled.state["dense/kernel"].dtype == np.float32


def test_a_seed_makes_fits_equal_to_the_bit() -> None:
    settings = {**QUICK, "epochs": 5, "dropout": 0.3, "batch_size": 32}
    first, second = (GraphClassifier(**settings).fit(X, Y).predict_proba(X) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, GraphClassifier(**{**settings, "random_state": 1}).fit(X, Y).predict_proba(X))


def test_rows_of_no_weight_are_no_rows() -> None:
    half = np.arange(150) % 2 == 0
    weighted = GraphClassifier(**QUICK).fit(X, Y, sample_weight=half)
    left_out = GraphClassifier(**QUICK).fit(X[half], Y[half])
    assert np.array_equal(weighted.predict_proba(X), left_out.predict_proba(X))
    with pytest.raises(ValueError, match=r"(?i)sample weights"):
        GraphClassifier(**QUICK).fit(X, Y, sample_weight=np.zeros(150))


def test_stopping_early_keeps_the_best_network() -> None:
    rng = np.random.default_rng(0)
    noise, labels = rng.standard_normal((60, 8)), rng.integers(0, 2, 60)
    settings = {**QUICK, "epochs": 200, "early_stopping": True, "validation_fraction": 0.3, "patience": 5}
    model = GraphClassifier(**settings).fit(noise, labels)
    losses = model.history_["val_loss"]
    assert len(losses) < 200 and len(losses) - 1 - int(np.argmin(losses)) == 5
    with pytest.raises(ValueError, match="holds back validation_fraction"):
        GraphClassifier(early_stopping=True).fit(X[:3], Y[48:51])


def test_pickles_hold_the_state_and_go_on_learning() -> None:
    model = GraphRegressor(**QUICK, network=small).fit(X, Y.astype(float))
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))
    for one in (model, again):
        one.partial_fit(X, Y.astype(float))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert len(again.history_["loss"]) == 41


def test_partial_fit_is_an_epoch() -> None:
    model = GraphClassifier(**QUICK)
    model.partial_fit(X[:50], NAMES[:50], classes=np.unique(NAMES))
    for _ in range(39):
        model.partial_fit(X, NAMES)
    assert model.score(X, NAMES) > 0.9 and len(model.history_["loss"]) == 40
    with pytest.raises(ValueError, match=r"not among the classes: \['rose'\]"):
        model.partial_fit(X[:1], ["rose"])
    whole = GraphClassifier(**QUICK).fit(X, Y)
    parts = GraphClassifier(**QUICK)
    for _ in range(40):
        parts.partial_fit(X, Y)
    assert np.array_equal(whole.predict_proba(X), parts.predict_proba(X))


def test_several_targets_at_once() -> None:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    x, y = StandardScaler().fit_transform(x), (y - y.mean()) / y.std()
    model = GraphRegressor(hidden=(32,), epochs=60, learning_rate=0.005, weight_decay=1e-3, random_state=0)
    both = np.stack([y, -2 * y], axis=1)
    assert model.fit(x, both).predict(x).shape == (442, 2)
    assert model.score(x, both) > 0.5
    with pytest.raises(ValueError, match="y has 1 outputs, the network has 2"):
        model.partial_fit(x, y)
    for loss in ("absolute_error", "huber"):
        assert clone(model).set_params(loss=loss).fit(x, y).score(x, y) > 0.45


def test_pipelines_and_searches() -> None:
    model = make_pipeline(StandardScaler(), GraphClassifier(**QUICK))
    grid = {"graphclassifier__hidden": [(4,), (16,)], "graphclassifier__optimizer": ["adam", optim.Lion]}
    search = GridSearchCV(model, grid, cv=3).fit(X, NAMES)
    assert search.best_score_ > 0.9
    assert cross_val_score(search.best_estimator_, X, NAMES, cv=3).mean() > 0.9


def test_the_program_can_be_built(tmp_path: Path) -> None:
    model = GraphClassifier(**QUICK).fit(X.astype(np.float32), Y)
    library = gr.load(model.network_.compiled.build(tmp_path / "iris.so"))
    assert np.array_equal(library.predict(X.astype(np.float32)), model.predict_proba(X.astype(np.float32)))


def test_settings_that_can_not_be() -> None:
    wrong: list[dict[str, Any]] = [
        {"optimizer": "adamm"}, {"activation": "rel"}, {"hidden": (0,)}, {"batch_size": 0}, {"epochs": 0},
        {"loss": "huber"}, {"hidden": 5}, {"activation": ["relu"]}, {"network": 3}, {"patience": "long"},
        {"dropout": 1.5}, {"validation_fraction": "0.1"}, {"weight_decay": -1.0}, {"learning_rate": "slow"},
    ]  # fmt: skip
    for settings in wrong:
        with pytest.raises(ValueError, match=next(iter(settings))):
            GraphClassifier(**settings).fit(X, Y)
    with pytest.raises(ValueError, match="sample weights below 0"):
        GraphClassifier().fit(X, Y, sample_weight=np.linspace(-1, 1, len(X)))
    with pytest.raises(errors.ArgumentError, match="wanted are 3 outputs a row") as raised:
        GraphClassifier(network=lambda outputs: nn.Dense(7)).fit(X, Y)
    assert raised.value.site is not None and raised.value.site.file == __file__
    with pytest.raises(NotFittedError):
        GraphClassifier().predict(X)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import graphc.interop

    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "graphc.interop.sklearn")
    with pytest.raises(errors.ArgumentError, match=r"graphc\[sklearn\]"):
        _ = graphc.interop.GraphClassifier
