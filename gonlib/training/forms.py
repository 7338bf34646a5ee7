"""How a training step runs: line by line, with its loss compiled, or as one captured CUDA graph.

The form is chosen when a run starts and is no part of its name: it changes the time of a step, and its numbers only in
the rounding that compiled code does in another order.
"""

import gc
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, unknown
from ..method.model import Model

FORMS = ("auto", "eager", "compiled", "captured", "compiled+captured")
WARM_UP = 3
LONG = 5000  # steps from which on compiling, which takes about half a minute, pays on a CPU
PRECISION = "float32, TF32 off"


def check_device(device: str | torch.device) -> str:
    """`device` if it is cpu, cuda or cuda:N and there; otherwise `UserError`: never a fallback."""
    kind, _, number = str(device).partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdigit())):
        raise UserError(f"unknown device {str(device)!r}; known: cpu, cuda, cuda:N.")
    count = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if kind == "cuda" and not count:
        raise UserError("no CUDA device is available; nothing falls back to the CPU: use --device cpu to run there.")
    if kind == "cuda" and int(number or 0) >= count:
        raise UserError(f"no CUDA device number {number}; there are {count}, counted from 0.")
    return str(device)


def choose(form: str, device: str | torch.device, model: Model | None = None, steps: int = 0) -> str:
    """The form that `form` stands for on a torch device; `UserError` for one that cannot run here: nothing falls back.

    `auto` captures on a GPU. On the CPU it compiles a training of `model` that has more than `LONG` steps to go, if
    there is a compiler and the model can be compiled; otherwise it is eager.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    on_gpu = torch.device(device).type == "cuda"
    if form == "auto" and on_gpu:
        return "captured"
    if form == "auto":
        pays = model is not None and steps > LONG and not not_compiled(model) and shutil.which(compiler())
        return "compiled" if pays else "eager"
    if "captured" in form and not on_gpu:
        raise UserError(f"the form {form} needs a CUDA device; the CPU runs eager and compiled.")
    if "compiled" in form and not shutil.which(compiler()):
        raise UserError(f"the form {form} needs a C++ compiler, and {compiler()} is not there; use eager.")
    return form


def compiler() -> str:
    """The name of the C++ compiler that torch would call."""
    return os.environ.get("CXX", "g++")


def not_compiled(model: Model) -> str:
    """Why the loss of a model cannot be compiled, as a sentence; empty if it can."""
    rule = model.inference
    if model.fractions != (1.0, 1.0):
        return "a loss at sampled coordinates cannot be compiled; use the form eager or captured."
    if not hasattr(model.decoder, "linearise") and rule.shares_origin(model):
        return "of the fast forms only those of gonlib's own decoders can be compiled; use the form eager or captured."
    if rule.differentiates_twice(model):
        return ("of the origin gradients only the exact single step without noise can be compiled, because the "
                "others differentiate twice; use the form eager or captured.")
    return ""


def compiled_loss(model: Model) -> Callable[..., Tensor]:
    """`model.loss` as compiled code, forward and backward; `UserError` where a step differentiates twice.

    Random numbers are drawn outside of it, in the order of the eager form.
    """
    if fault := not_compiled(model):
        raise UserError(fault)
    rule = model.inference
    options: dict[str, Any] = {"fullgraph": True, "dynamic": False}
    if rule.shares_origin(model):
        return torch.compile(model.loss, **options)
    infer, loss_at = torch.compile(rule, **options) if rule.compiles else rule, model.loss_at
    loss_at = torch.compile(loss_at, **options)

    def loss(x, index=None, labels=None):
        z = infer(model, x, index)
        return loss_at(x, z, model.noise(z) if model.noisy else None)

    return loss


_held: dict[tuple[int, str], list] = {}  # what `arithmetic` set -> how many runs hold it, and its value before
_holding = threading.Lock()


@contextmanager
def arithmetic(form: str = "eager") -> Iterator[None]:
    """Within, torch computes as every run does: float32 without TF32, by deterministic kernels; put back afterwards.

    A run's name stands for one result, and the gradient at the origin passes through 1/sqrt(eps) = 316, so that the
    ten bits of TF32 would show. Several runs of one process may be within at a time.
    """
    switches: list[tuple[Any, str, Any]] = [
        (torch.backends.cuda.matmul, "allow_tf32", False), (torch.backends.cudnn, "allow_tf32", False),
        (torch.backends.cudnn, "deterministic", True)]
    if "compiled" in form:
        import torch._dynamo.config as dynamo  # here: it takes a while to load, and only this form needs it

        # Dynamo keeps eight versions of a function and then gives up; here every run is a version of its own.
        switches += [(dynamo, "recompile_limit", 1 << 20), (dynamo, "accumulated_recompile_limit", 1 << 20)]
    with _holding:
        for owner, name, value in switches:
            _held.setdefault((id(owner), name), [0, getattr(owner, name)])[0] += 1
            setattr(owner, name, value)
    try:
        yield
    finally:
        with _holding:
            for owner, name, _ in switches:
                held = _held[id(owner), name]
                held[0] -= 1
                if not held[0]:
                    setattr(owner, name, _held.pop((id(owner), name))[1])


class Repeatable:
    """A piece of work that, from its second call on, is done by replaying a graph of its first.

    `work` takes and gives nothing: it reads and writes tensors that stay where they are, draws from `generators`
    alone, and never waits for the device. `state()` names the tensors that it changes: before it is recorded it runs a
    few times to warm up, and the state is put back afterwards; a tensor that only the warm-up made (Adam's) starts
    at zero. `graph` has `record(work)` and `replay()`.
    """

    def __init__(self, work: Callable[[], None], state: Callable[[], dict[str, Tensor]],
                 generators: Sequence[torch.Generator] = (), graph: Any = None):
        self.work, self.state, self.generators = work, state, generators
        self.graph, self.recorded = graph or CudaGraph(generators), False

    def __call__(self) -> None:
        """Do the work once."""
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

    def __init__(self, generators: Sequence[torch.Generator] = ()):
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:  # else a replay would draw the same numbers again
            self.graph.register_generator_state(generator)

    def record(self, work: Callable[[], None]) -> None:
        """Capture what `work` launches, without running it."""
        gc.collect()  # graphs of runs that are over hold memory, and must not be freed during a capture
        with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            work()

    def replay(self) -> None:
        """Launch it all at once."""
        self.graph.replay()


def repeatable(work: Callable[[], None], form: str, state: Callable[[], dict[str, Tensor]],
               generators: Sequence[torch.Generator] = ()) -> Callable[[], None]:
    """`work` in the given form: itself, or captured."""
    return Repeatable(work, state, generators) if "captured" in form else work
