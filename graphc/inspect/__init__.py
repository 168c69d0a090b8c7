"""Looking into networks and their training: what layers give, how gradients flow, what weights and steps look like.

    report = inspect.layers(digits.train_step, x, y)       # an entry of a compiled program, on a batch
    print(report)                                          # figures of each layer, and what is wrong with it
    report.plot("layers.png")                              # histograms

Pictures need matplotlib: `pip install 'graphc[plots]'`.
"""

from graphc.inspect.layers import layers
from graphc.inspect.report import LayerFigures, LayerReport, ParameterFigures
from graphc.inspect.surfaces import SURFACES, Surface
from graphc.inspect.tiles import tiles
from graphc.inspect.trajectories import Trajectories, trajectories

__all__ = [
    "SURFACES", "LayerFigures", "LayerReport", "ParameterFigures", "Surface", "Trajectories", "layers", "tiles",
    "trajectories",
]  # fmt: skip
