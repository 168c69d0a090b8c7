"""Metrics: figures of predictions against targets, as functions of tensors and over many batches.

    right = metrics.accuracy(net(x), y)

A streaming metric keeps its sums in the state of the program: `update` them in one entry, read the `result` in another.

    seen = metrics.Accuracy(name="validation_accuracy")

    @program.entry
    def validate(x: gr.f32["N", 64], y: gr.i32["N"]):
        seen.update(net(x), y)

    @program.entry
    def validation_accuracy():
        return seen.result()
"""

from graphc.metrics.functions import (
    Average,
    accuracy,
    auc,
    binary_accuracy,
    confusion_matrix,
    f1_score,
    perplexity,
    precision,
    r2_score,
    recall,
    top_k_accuracy,
)
from graphc.metrics.streaming import AUC, F1, R2, Accuracy, Confusion, Mean, Perplexity, Precision, Recall, TopK
from graphc.suggest import refusing

__all__ = [
    "AUC", "F1", "R2", "Accuracy", "Average", "Confusion", "Mean", "Perplexity", "Precision", "Recall", "TopK",
    "accuracy", "auc", "binary_accuracy", "confusion_matrix", "f1_score", "perplexity", "precision", "r2_score",
    "recall", "top_k_accuracy",
]  # fmt: skip

__getattr__ = refusing("metrics", __all__, {"roc_auc_score": "metrics.auc(scores, labels)"})
