"""How a training step runs: line by line, with its loss compiled, or as one captured CUDA graph.

The form is chosen when a run starts and is no part of its name: it changes the time of a step, and its numbers only in
the rounding that compiled code does in another order.
"""

import gc
import os
import shutil

import torch

from ..errors import UserError, unknown

FORMS = ("auto", "eager", "compiled", "captured", "compiled+captured")
WARM_UP = 3


def choose(form, device):
    """The form that `form` stands for on a torch device: `auto` captures on a GPU and is eager on the CPU.

    Raises `UserError` for a form that cannot run here; nothing falls back.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    on_gpu = torch.device(device).type == "cuda"
    if form == "auto":
        return "captured" if on_gpu else "eager"
    if "captured" in form and not on_gpu:
        raise UserError(f"the form {form} needs a CUDA device; the CPU runs eager and compiled.")
    compiler = os.environ.get("CXX", "g++")
    if "compiled" in form and not shutil.which(compiler):
        raise UserError(f"the form {form} needs a C++ compiler, and {compiler} is not there; use eager.")
    return form


def compiled_loss(model):
    """`model.loss` as compiled code, forward and backward; `UserError` where a step differentiates twice.

    Random numbers are drawn outside of it, in the order of the eager form.
    """
    rule = model.inference
    if model.fractions != (1.0, 1.0):
        raise UserError("a loss at sampled coordinates cannot be compiled; use the form eager or captured.")
    if rule.differentiates_twice(model):
        raise UserError("of the origin gradients only the exact single step without noise can be compiled, because the "
                        "others differentiate twice; use the form eager or captured.")
    import torch._dynamo  # here: it takes a while to load, and only this form needs it

    # Dynamo keeps eight versions of a function and then gives up; here every run is a version of its own.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1 << 20
    options = {"fullgraph": True, "dynamic": False}
    if rule.shares_origin(model):
        return torch.compile(model.loss, **options)
    infer, loss_at = torch.compile(rule, **options) if rule.compiles else rule, model.loss_at
    loss_at = torch.compile(loss_at, **options)

    def loss(x, index=None, labels=None):
        z = infer(model, x, index)
        return loss_at(x, z, model.noise(z) if model.noisy else None)

    return loss


class Repeatable:
    """A piece of work that, from its second call on, is done by replaying a graph of its first.

    `work` takes and gives nothing: it reads and writes tensors that stay where they are, draws from `generators`
    alone, and never waits for the device. `state()` names the tensors that it changes: before it is recorded it runs a
    few times to warm up, and the state is put back afterwards; a tensor that only the warm-up made (Adam's) starts
    at zero. `graph` has `record(work)` and `replay()`.
    """

    def __init__(self, work, state, generators=(), graph=None):
        self.work, self.state, self.generators = work, state, generators
        self.graph, self.recorded = graph or CudaGraph(generators), False

    def __call__(self):
        if not self.recorded:
            self._record()
        self.graph.replay()

    def _record(self):
        before = {name: tensor.clone() for name, tensor in self.state().items()}
        drawn = [generator.get_state() for generator in self.generators]
        for _ in range(WARM_UP):
            self.work()
            self._restore(before, drawn)
        self.graph.record(self.work)
        self._restore(before, drawn)
        self.recorded = True

    @torch.no_grad()
    def _restore(self, before, drawn):
        for name, tensor in self.state().items():
            if name in before:
                tensor.copy_(before[name])
            else:
                tensor.zero_()
        for generator, state in zip(self.generators, drawn, strict=True):
            generator.set_state(state)


class CudaGraph:
    """A CUDA graph of what is launched on the current stream, which must not be the default one."""

    def __init__(self, generators=()):
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:  # else a replay would draw the same numbers again
            self.graph.register_generator_state(generator)

    def record(self, work):
        """Capture what `work` launches, without running it."""
        gc.collect()  # graphs of runs that are over hold memory, and must not be freed during a capture
        with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            work()

    def replay(self):
        """Launch it all at once."""
        self.graph.replay()


def repeatable(work, form, state, generators=()):
    """`work` in the given form: itself, or captured."""
    return Repeatable(work, state, generators) if "captured" in form else work
