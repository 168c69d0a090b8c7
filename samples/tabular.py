"""Small tables: irises, wines and diabetes, with networks as estimators of scikit-learn.

`GraphClassifier` and `GraphRegressor` go wherever scikit-learn's own go: here behind a scaler, in ten-fold
cross-validation beside its linear models, and in a search for settings. They train in compiled code, and the one that
is found leaves as a shared object that needs neither Python nor scikit-learn. (`pip install 'graphc[samples]'`)

    python samples/tabular.py
"""

from __future__ import annotations

import numpy as np
from pictures import BUILD
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import graphc as gr
from graphc.interop import GraphClassifier, GraphRegressor

network = GraphClassifier((16,), "tanh", learning_rate=0.02, weight_decay=1e-3, epochs=100, random_state=0)
surface = GraphRegressor((16,), "tanh", learning_rate=0.01, weight_decay=0.03, epochs=100, random_state=0)


def scaled(model):
    """A model behind a scaler."""
    return make_pipeline(StandardScaler(), model)


def compare() -> None:
    """Accuracy on flowers and wines, R² on diabetes, whose targets are scaled for the network."""
    stratified, plain = (kind(10, shuffle=True, random_state=0) for kind in (StratifiedKFold, KFold))
    regressor = TransformedTargetRegressor(surface, transformer=StandardScaler())
    print("ten-fold cross-validation   network        linear model")
    for name, load, model, linear, folds in (
        ("iris", load_iris, network, LogisticRegression(), stratified),
        ("wine", load_wine, network, LogisticRegression(), stratified),
        ("diabetes", load_diabetes, regressor, Ridge(20.0), plain),
    ):
        x, y = load(return_X_y=True)
        scores = [cross_val_score(scaled(m), x.astype(np.float32), y, cv=folds) for m in (model, linear)]
        print(f"{name:26}  {'  '.join(f'{s.mean():.3f} ± {s.std():.3f}' for s in scores)}")


def search() -> None:
    """The settings that do best on three quarters of the wines, judged by the rest."""
    x, y = load_wine(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x.astype(np.float32), y, stratify=y, random_state=0)
    grid = {"graphclassifier__hidden": [(), (8,), (32, 32)], "graphclassifier__weight_decay": [0.0, 1e-2]}
    found = GridSearchCV(scaled(network), grid, cv=3).fit(x, y)
    print(f"\nwine, best of {len(found.cv_results_['params'])}: {found.best_params_}")
    print(f"wine, test accuracy {found.score(x_test, y_test):.3f}")

    scaler, best = (step for _, step in found.best_estimator_.steps)
    library = best.network_.compiled.build(BUILD / "wine.so")
    alone = gr.load(library).predict(scaler.transform(x_test))
    assert np.array_equal(alone.argmax(axis=1), best.predict(scaler.transform(x_test)))
    print(f"{library.name} says the same of the {len(x_test)} wines of the test")


def main() -> None:
    """Compare, then search."""
    compare()
    search()


if __name__ == "__main__":
    main()
