"""What layers of other libraries take and do, and how that is said here: the answers to those who try it."""

from __future__ import annotations

INPUTS = "leave it out: the size of inputs is that of the first x"
CPU = "leave it out: graphc computes on the CPU"
SUPERVISED = 'train.supervised(net, gr.f32["N", 64], gr.i32["N"], loss=…, optimizer=…)'
STATE = "values belong to a compiled program: "

#: Keyword arguments of constructors.
ARGUMENTS = {
    **dict.fromkeys(
        ("in_features", "in_channels", "input_size", "input_dim", "input_shape", "num_features", "normalized_shape"),
        INPUTS,
    ),
    **dict.fromkeys(("out_features", "hidden_size", "hidden_dim"), "units="),
    "out_channels": "filters=",
    "bias": "use_bias=",
    "stride": "strides=",
    "dilation_rate": "dilation=",
    "pool_size": "window=",
    "p": "rate=",
    "epsilon": "eps=",
    "num_heads": "heads=",
    "embed_dim": INPUTS,
    **dict.fromkeys(("dim_feedforward", "ffn_dim", "intermediate_dim"), "hidden="),
    **dict.fromkeys(("num_embeddings", "vocab_size"), "count="),
    **dict.fromkeys(("embedding_dim", "output_dim"), "features="),
    "batch_first": "leave it out: sequences are [batch, time, features]",
    "data_format": "leave it out: images are [batch, height, width, channels]",
    "return_sequences": "layer(x) gives (ys, state); in a Sequential ys go on, of nn.Last(layer) the last",
    "return_state": "layer(x) gives (ys, state)",
    "stateful": "nn.Stateful(layer, batch) keeps the state between calls",
    "num_layers": "nn.Stack(nn.LSTM(64), nn.LSTM(64)) puts layers on one another",
    "bidirectional": "nn.Bidirectional(layer)",
    "go_backwards": "reverse=True",
    "track_running_stats": "leave it out: training=False goes by the running averages, training=True by the batch",
    "elementwise_affine": "use_scale= and use_bias=",
    "affine": "use_scale= and use_bias=",
    "center": "use_bias=",
    "scale": "use_scale=",
    "dtype": "leave it out: parameters have the dtype of the first x",
    "device": CPU,
    "inplace": "leave it out: tensors never change",
    "trainable": "set it afterwards: layer.trainable = False",
}

#: Methods and attributes.
ATTRIBUTES = {
    "compile": f"{SUPERVISED} makes a program, which program.compile() compiles",
    "fit": f"train.fit(compiled, (x, y)), for compiled = {SUPERVISED}.compile()",
    "evaluate": f"train.evaluate(compiled, (x, y)), for compiled = {SUPERVISED}.compile()",
    "predict": f"compiled.predict(x), for compiled = {SUPERVISED}.compile()",
    "train": "net(x, training=True), where the loss is computed",
    "eval": "net(x, training=False)",
    **dict.fromkeys(("forward", "call"), "net(x), in an entry or in gr.jit; layers of your own define __call__"),
    **dict.fromkeys(("state_dict", "weights", "get_weights"), f"{STATE}compiled.state is a mapping of names to arrays"),
    **dict.fromkeys(
        ("load_state_dict", "set_weights"),
        f"{STATE}compiled.state.update(arrays by name); interop.load_torch(net, state_dict) for PyTorch's",
    ),
    **dict.fromkeys(("save", "save_weights"), f"{STATE}compiled.save(path)"),
    "load_weights": f"{STATE}compiled.restore(path)",
    **dict.fromkeys(("trainable_variables", "trainable_weights", "named_parameters"), "net.parameters()"),
    "non_trainable_variables": "net.variables(), those whose trainable is False",
    "count_params": "print(net.summary(type of x))",
    **dict.fromkeys(("children", "named_modules", "named_children"), "net.modules()"),
    **dict.fromkeys(("add", "append", "pop"), "give all layers at once: nn.Sequential(*layers)"),
    **dict.fromkeys(("to", "cuda", "cpu"), CPU),
    "requires_grad_": "net.trainable = False",
    "zero_grad": "leave it out: gradients are values, which nothing collects",
}
