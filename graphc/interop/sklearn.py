"""Estimators of scikit-learn: networks that train and predict in compiled code, inside pipelines and searches.

    from graphc.interop import GraphClassifier

    model = make_pipeline(StandardScaler(), GraphClassifier(hidden=(64, 64), epochs=50, random_state=0))
    model.fit(x, y).score(x_test, y_test)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from graphc import train
from graphc.errors import ArgumentError
from graphc.frontend.numbers import is_count, is_number
from graphc.interop.sklearn_network import OPTIMIZERS, REGRESSION_LOSSES, Network, Plan
from graphc.ir.node import Array
from graphc.nn.weights import ACTIVATIONS
from graphc.optim.schedules import Schedule
from graphc.sites import user_site

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data
except ImportError:
    message = "the estimators need scikit-learn, 1.6 or newer, which is not installed"
    raise ArgumentError(message, site=user_site(), help="pip install 'graphc[sklearn]'") from None

if TYPE_CHECKING:
    from graphc.nn.module import Module
    from graphc.optim.optimizer import Optimizer

#: The largest minibatch that `batch_size="auto"` takes, as in scikit-learn's perceptrons.
AUTO_BATCH = 200
#: Seeds are drawn below this.
SEEDS = 1 << 31


class GraphEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share: settings, training, predictions. The settings are told of in `GraphClassifier`."""

    #: Losses by the names that `loss` takes, the first of which is "auto".
    losses: ClassVar[tuple[str, ...]]

    #: Set by `fit`.
    network_: Network
    history_: dict[str, list[float]]
    n_features_in_: int

    def __init__(
        self,
        hidden: Sequence[int] = (100,),
        activation: str | Callable[..., Any] = "relu",
        *,
        network: Callable[[int], Module] | None = None,
        loss: str = "auto",
        dropout: float = 0.0,
        optimizer: str | Callable[..., Optimizer] = "adam",
        learning_rate: float | Schedule = 1e-3,
        weight_decay: float = 0.0,
        epochs: int = 200,
        batch_size: int | Literal["auto", "full"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.hidden = hidden
        self.activation = activation
        self.network = network
        self.loss = loss
        self.dropout = dropout
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.verbose = verbose

    def _train(self, x: Array, y: Array, sample_weight: Any, outputs: int, epochs: int | None) -> None:
        """Train a new network for all epochs, or the one there is for a few more."""
        self._expect_settings()
        weights = np.asarray(_check_sample_weight(sample_weight, x, dtype=x.dtype))
        if (weights < 0).any():
            raise ValueError("sample weights below 0: they say how much a row counts")
        kept = weights != 0  # rows of no weight are no rows
        if not kept.any():
            raise ValueError("all sample weights are 0: there is nothing to learn from")
        x, y, weights = x[kept], y[kept], weights[kept]
        weights = weights / weights.mean()
        random = check_random_state(self.random_state)
        initial, order = (int(seed) for seed in random.randint(SEEDS, size=2))
        if epochs is None or not hasattr(self, "network_"):
            self.network_, self.history_ = Network(self._plan(x, outputs)), {}
            self.network_.compiled.init(initial)
        done = len(self.history_.get("loss", ()))
        rows: Any = slice(None)
        held, stopping = None, []
        if epochs is None and self.early_stopping:
            rows, back = self._split(len(x), random)
            held = x[back], y[back], weights[back]
            stopping = [train.EarlyStopping(patience=self.patience, restore_best=True)]
        history = train.fit(
            self.network_.compiled,
            (x[rows], y[rows], weights[rows]),
            epochs=done + int(self.epochs if epochs is None else epochs),
            initial_epoch=done,
            batch_size=self._batch(len(x)),
            validation_data=held,
            shuffle=order,
            callbacks=stopping,
            progress=bool(self.verbose),
        )
        self.history_ = {name: [*self.history_.get(name, ()), *values] for name, values in history.items()}

    def _plan(self, x: Array, outputs: int) -> Plan:
        """What a network for these rows is made from."""
        return Plan(
            features=x.shape[1],
            outputs=outputs,
            dtype=x.dtype.name,
            network=self.network,
            hidden=tuple(self.hidden),
            activation=self.activation,
            dropout=self.dropout,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            loss=self.losses[0] if self.loss == "auto" else self.loss,
        )

    def _split(self, rows: int, random: Any) -> tuple[Array, Array]:
        """Rows to train on, and rows to stop by. Raises `ValueError` where there are not enough for both."""
        held = round(rows * self.validation_fraction)
        if not 0 < held < rows:
            raise ValueError(
                f"early_stopping holds back validation_fraction={self.validation_fraction} of {rows} samples, "
                "which leaves none to train on or none to stop by"
            )
        order = random.permutation(rows)
        return order[held:], order[:held]

    def _batch(self, rows: int) -> int:
        """The rows of a minibatch."""
        if self.batch_size == "full":
            return rows
        return min(rows, AUTO_BATCH) if self.batch_size == "auto" else int(self.batch_size)

    def _outputs(self, x: Any) -> Array:
        """What the network predicts for rows."""
        check_is_fitted(self, "network_")
        rows = validate_data(self, x, dtype=self.network_.plan.dtype, order="C", reset=False)
        found: Array = self.network_.compiled.predict.map(rows)
        return found

    def _expect_settings(self) -> None:
        """Raise `ValueError` for settings that can't be."""
        for name, known in (("optimizer", OPTIMIZERS), ("activation", ACTIVATIONS), ("loss", ("auto", *self.losses))):
            value = getattr(self, name)
            named = isinstance(value, str) and value in known
            if not named and (name == "loss" or not callable(value)):
                raise ValueError(f"{name}={value!r}: give one of {', '.join(known)}")
        if self.network is not None and not callable(self.network):
            raise ValueError(f"network={self.network!r}: give a function of the number of outputs, or None")
        if not isinstance(self.hidden, Iterable) or not all(is_count(units, 1) for units in self.hidden):
            raise ValueError(f"hidden={self.hidden!r}: give the units of each hidden layer, as (64, 32)")
        named = self.batch_size in ("auto", "full")
        if not named and not is_count(self.batch_size, 1):
            raise ValueError(f'batch_size={self.batch_size!r}: give a number from 1 on, "auto" or "full"')
        for name in ("epochs", "patience"):
            if not is_count(getattr(self, name), least := int(name == "epochs")):
                raise ValueError(f"{name}={getattr(self, name)!r}: give a whole number from {least} on")
        for name in ("dropout", "validation_fraction"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < 1:
                raise ValueError(f"{name}={value!r}: give a share from 0 to less than 1")
        if not is_number(self.weight_decay) or self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay!r}: give a number from 0 on")
        if not is_number(self.learning_rate) and not isinstance(self.learning_rate, Schedule):
            raise ValueError(f"learning_rate={self.learning_rate!r}: give a number or a schedule of graphc.optim")


class GraphClassifier(ClassifierMixin, GraphEstimator):  # type: ignore[misc]
    """A network that tells classes apart, trained by softmax cross-entropy.

    Parameters
    ----------
    hidden : units of the hidden Dense layers, (100,).
    activation : theirs, by name or a function, "relu".
    network : instead of these a function of the number of outputs that gives an `nn.Module` without softmax:
        `lambda classes: nn.Sequential(nn.Dense(32, "tanh"), nn.Dense(classes))`. Pickling needs a function with a name.
    loss : "cross_entropy", which "auto" means.
    dropout : share of hidden outputs that are dropped in training, 0.
    optimizer : a name in lower case, "adam", or what makes one: `optim.Lion`, or a function of the learning rate.
    learning_rate : a number or a schedule of `graphc.optim`, 1e-3.
    weight_decay : as the optimizer takes it, 0.
    epochs : how often training goes over the rows, 200.
    batch_size : rows of a minibatch; "auto" is all rows up to 200, "full" all rows.
    early_stopping : hold `validation_fraction` (0.1) of the rows back, stop when their loss has not improved for
        `patience` (10) epochs, and keep the best epoch's network. False.
    random_state : seed of initial values, order and dropout: an int makes fits repeatable to the bit. None.
    verbose : print the progress, False.

    Features are computed in float32 where they are given so, else in float64; float32 is twice as fast. They should be
    scaled to about unit variance. Attributes: `classes_`, `n_features_in_`, `history_` (figures of the epochs by name),
    `network_.compiled` (the program: `predict` gives probabilities; `.build("model.so")` writes it for C).
    """

    losses = ("cross_entropy",)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GraphClassifier:
        """Train a new network on rows X with labels y of any kind, each row of weight 1 or of its own."""
        return self._learn(X, y, None, sample_weight, None)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> GraphClassifier:
        """One more epoch on these rows; the first call says which `classes` there are, unless y has them all."""
        return self._learn(X, y, classes, sample_weight, 1)

    def _learn(self, X: Any, y: Any, classes: Any, sample_weight: Any, epochs: int | None) -> GraphClassifier:
        """Train a new network for all epochs (None), or the one there is for a few more."""
        new = epochs is None or not hasattr(self, "network_")
        x, y = validate_data(self, X, y, dtype=(np.float64, np.float32), order="C", reset=new)
        check_classification_targets(y)
        labels = column_or_1d(y, warn=True)
        if new:
            self.classes_ = np.unique(labels if classes is None else classes)
        strangers = np.setdiff1d(labels, self.classes_)
        if strangers.size:
            raise ValueError(f"y has labels that are not among the classes: {strangers.tolist()}")
        if not new:
            x = x.astype(self.network_.plan.dtype, copy=False)
        numbers = np.searchsorted(self.classes_, labels).astype(np.int32)
        self._train(x, numbers, sample_weight, len(self.classes_), epochs)
        return self

    def predict_proba(self, X: Any) -> Array:
        """The chance of each class, [rows, classes], columns in the order of `classes_`."""
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row."""
        likeliest = self._outputs(X).argmax(axis=1)
        found: Array = self.classes_[likeliest]
        return found


class GraphRegressor(RegressorMixin, GraphEstimator):  # type: ignore[misc]
    """A network that predicts numbers, one a row or several, trained by `loss`.

    `loss` is "squared_error", which "auto" means, "absolute_error" or "huber"; the other parameters and attributes are
    those of `GraphClassifier`. Targets should be of about unit size too: `TransformedTargetRegressor` scales them.
    """

    losses = tuple(REGRESSION_LOSSES)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GraphRegressor:
        """Train a new network on rows X with targets y, [rows] or [rows, outputs], each row of weight 1 or its own."""
        return self._learn(X, y, sample_weight, None)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> GraphRegressor:
        """One more epoch on these rows."""
        return self._learn(X, y, sample_weight, 1)

    def _learn(self, X: Any, y: Any, sample_weight: Any, epochs: int | None) -> GraphRegressor:
        """Train a new network for all epochs (None), or the one there is for a few more."""
        new = epochs is None or not hasattr(self, "network_")
        x, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), order="C", reset=new, multi_output=True, y_numeric=True
        )
        dtype = x.dtype if new else np.dtype(self.network_.plan.dtype)
        targets = np.asarray(y, dtype).reshape(len(y), -1)
        if new:
            self._single = np.ndim(y) == 1
        elif targets.shape[1] != self.network_.plan.outputs:
            raise ValueError(f"y has {targets.shape[1]} outputs, the network has {self.network_.plan.outputs}")
        self._train(x.astype(dtype, copy=False), targets, sample_weight, targets.shape[1], epochs)
        return self

    def predict(self, X: Any) -> Array:
        """The predicted targets, of the shape that y had."""
        found = self._outputs(X)
        return found[:, 0] if self._single else found
