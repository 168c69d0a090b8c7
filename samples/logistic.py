"""Logistic regression: is a tumour malignant, from thirty measures of its cells? And how sure is one of that?

Five-fold cross-validation on scikit-learn's breast cancer set (569 patients; `pip install 'graphc[samples]'`): one
compiled program, five states of it. The figure is the area under the ROC curve: how often a malignant tumour gets a
higher score than a benign one.

    python samples/logistic.py
"""

from __future__ import annotations

import numpy as np
from pictures import draw

import graphc as gr
from graphc import losses, metrics, nn, optim

FOLDS, STEPS, DECAY = 5, 300, 2e-3

line = nn.Dense(1, kernel_initializer="zeros", name="line")
descent = optim.Nesterov(learning_rate=0.1, momentum=0.9)
program = gr.Program("logistic")


def score(x):
    """The log of the odds that each tumour is malignant, f32[N]."""
    return line(x)[:, 0]


@program.entry
def train_step(x: gr.f32["N", 30], y: gr.f32["N"]):
    """One step on all patients at once."""
    loss = losses.sigmoid_cross_entropy(score(x), y) + DECAY * gr.sum(line.kernel**2)
    descent.minimize(loss)
    return loss


@program.entry
def evaluate(x: gr.f32["N", 30], y: gr.f32["N"]):
    """Probabilities, and how good they are."""
    z = score(x)
    return {
        "probability": nn.sigmoid(z),
        "auc": metrics.auc(z, y),
        "accuracy": metrics.binary_accuracy(nn.sigmoid(z), y),
    }


def roc(probability: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve: of the benign and of the malignant, the share above each threshold."""
    malignant = y[np.argsort(-probability, kind="stable")]
    return np.cumsum(1 - malignant) / np.sum(1 - malignant), np.cumsum(malignant) / np.sum(malignant)


def main() -> None:
    """Train on four fifths of the patients, judge on the fifth, five times."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    x = data.data.astype(np.float32)
    y = (data.target == list(data.target_names).index("malignant")).astype(np.float32)
    fold = np.random.default_rng(0).permutation(len(x)) % FOLDS
    compiled = program.compile()
    probability, weights = np.empty_like(y), []
    for k in range(FOLDS):
        test, model = fold == k, compiled.new_state()
        scaled = (x - x[~test].mean(axis=0)) / x[~test].std(axis=0)
        model.train_step.repeat(STEPS, scaled[~test], y[~test])
        result = model.evaluate(scaled[test], y[test])
        probability[test] = result["probability"]
        weights.append(model.state["line/kernel"][:, 0])
        print(f"fold {k + 1}: AUC {result['auc']:.4f}, accuracy {result['accuracy']:.1%}")

    mean, spread = np.mean(weights, axis=0), np.std(weights, axis=0)
    print("\nwhat weighs most, for or against malignancy (± over the folds)")
    for i in np.argsort(-np.abs(mean))[:6]:
        print(f"  {data.feature_names[i]:24}{mean[i]:+.2f} ± {spread[i]:.2f}")
    missed, alarms = np.sum((probability < 0.5) & (y == 1)), np.sum((probability >= 0.5) & (y == 0))
    print(f"\nof {y.sum():.0f} malignant tumours {missed} missed; {alarms} false alarms among {(1 - y).sum():.0f}")
    area = np.trapezoid(*roc(probability, y)[::-1])
    print(f"AUC over all patients {area:.4f}")

    def paint(curve, histogram):
        curve.plot(*roc(probability, y), color="tab:blue")
        curve.plot([0, 1], [0, 1], ":", color="grey")
        curve.set(xlabel="false alarms", ylabel="malignant tumours found", title=f"ROC, area {area:.4f}")
        for value, name in ((0, "benign"), (1, "malignant")):
            histogram.hist(probability[y == value], bins=20, range=(0, 1), alpha=0.6, label=name)
        histogram.set(xlabel="predicted probability of malignancy", ylabel="patients", yscale="log")
        histogram.legend()

    draw("logistic.png", paint, columns=2)


if __name__ == "__main__":
    main()
