"""Training: `supervised` makes a program, `fit` trains it, callbacks look on.

    program = train.supervised(net, gr.f32["N", 64], gr.i32["N"], loss=losses.sparse_softmax_cross_entropy,
                               optimizer=optim.Adam(1e-3), metrics={"accuracy": metrics.accuracy})
    digits = program.compile()
    history = train.fit(digits, (x, y), epochs=20, validation_data=(xt, yt), callbacks=[train.EarlyStopping()])
"""

from __future__ import annotations

from graphc.suggest import refusing
from graphc.train.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    Lambda,
    LearningRate,
    Monitor,
    TerminateOnNaN,
)
from graphc.train.checkpoint import Checkpoint
from graphc.train.history import History
from graphc.train.loop import evaluate, fit
from graphc.train.run import Run
from graphc.train.supervised import supervised
from graphc.train.tensorboard import TensorBoard

__all__ = [
    "CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "History", "Lambda", "LearningRate", "Monitor", "Run",
    "TensorBoard", "TerminateOnNaN", "evaluate", "fit", "supervised",
]  # fmt: skip

#: Names of other libraries, and what does their work here.
ALTERNATIVES = {
    **dict.fromkeys(("Model", "Trainer", "compile"), "train.supervised(net, x, y, loss=…, optimizer=…), and train.fit"),
    "ModelCheckpoint": "train.Checkpoint(folder)",
    **dict.fromkeys(("LearningRateScheduler", "LRScheduler"), "train.LearningRate(function of the epoch)"),
    "ReduceLROnPlateau": "train.LearningRate(optim.Plateau(rate))",
    "LambdaCallback": "train.Lambda(on_epoch_end=function)",
    "BackupAndRestore": "train.Checkpoint(folder), and fit(..., resume=True)",
    **dict.fromkeys(("ProgbarLogger", "ProgressBar", "tqdm"), "fit(..., progress=True)"),
    **dict.fromkeys(("DataLoader", "Dataset"), "a tuple of arrays, or any iterable of batches, for fit"),
}

__getattr__ = refusing("train", __all__, ALTERNATIVES)
