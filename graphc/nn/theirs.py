"""What networks of other libraries have and do, and how that is done here: the answers to those who try it."""

from __future__ import annotations

CPU = "leave it out: graphc computes on the CPU"
SUPERVISED = 'train.supervised(net, gr.f32["N", 64], gr.i32["N"], loss=…, optimizer=…)'
STATE = "values belong to a compiled program: "

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
