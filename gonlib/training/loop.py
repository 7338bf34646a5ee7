"""One training loop for all models: data resident on the device, no host synchronisation within an epoch, resumable."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..data import as_float
from ..data.datasets import Dataset
from ..errors import UserError
from ..method.decoders import count_parameters
from ..method.model import Model
from ..method.models import build
from ..method.tasks import image, mean_source
from . import checkpoint as checkpoints
from .config import Config
from .evaluation import Evaluation, is_recorded
from .forms import arithmetic, check_device, choose, compiled_loss, repeatable
from .outcome import OutOfTime, Trained, TrainingFailed
from .snapshots import Snapshots, is_point, next_point

NUMERICS = 1  # raise it with every change to method, data or training that can change a number of a run
SLICE = 32  # steps that are launched on a GPU before the host looks up; two slices may be on their way


def initial_model(config: Config, data: Dataset, device: torch.device, own: Model | None = None) -> Model:
    """The model of a configuration, with the weights that its seed draws, or a model of the caller's own.

    It knows the data set's mean image and has the run's random numbers.
    """
    if own is not None and own.image != data.train.shape[1:]:
        raise UserError(f"the model is for images of shape {own.image}, the data set's are {tuple(data.train.shape[1:])}.")
    if own is None and tuple(data.train.shape[2:]) != (config.size, config.size):
        raise UserError(f"the configuration is for images of {config.size} x {config.size} pixels, the data set's are "
                        f"{' x '.join(map(str, data.train.shape[2:]))}: load it with size={config.size}.")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        try:
            classes = 1 + max(int(labels.max()) for labels in (data.train_labels, data.test_labels))
            model = own.train() if own is not None else build(config, data.channels, len(data.train), classes)
        except ValueError as error:
            raise UserError(f"this configuration has no model: {error}.") from error
    model = model.to(device)
    source = model.task.source
    model.mean_image.copy_(data.mean_image if source is image else mean_source(source, data.train))
    model.generator = torch.Generator(device).manual_seed(config.seed)
    return model


class Training:
    """A run while it trains: its model, optimiser, permutation, random numbers and history; `step` is the algorithm.

    `form` says how a step runs (forms.py). On a GPU, a run works on a stream of its own: see `working`.
    """

    def __init__(self, config: Config, data: Dataset, device: str | torch.device = "cpu", form: str = "auto",
                 model: Model | None = None):
        self.config, self.data, self.device = config, data, torch.device(device)
        on_gpu = self.device.type == "cuda"
        self.stream = torch.cuda.Stream(self.device) if on_gpu else None
        self.launched: list[torch.cuda.Event] = []
        if self.stream:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))  # the data come from there
        with self.working():
            self.model = initial_model(config, data, self.device, model)
            self.generator = cast(torch.Generator, self.model.generator)  # `initial_model` gave it one
            self.batch = min(config.batch_size, len(data.train))
            self.per_epoch = len(data.train) // self.batch
            self.steps = config.end(len(data.train))[1]
            self.form = choose(form, self.device, self.model, self.steps)
            self.order = torch.zeros(len(data.train), dtype=torch.int64, device=self.device)
            self.position = torch.zeros((), dtype=torch.int64, device=self.device)  # batches done of this epoch
            self.offsets = torch.arange(self.batch, device=self.device)
            self.total = torch.zeros((), device=self.device)  # of the losses of this epoch
            # as published, the mean over the batch and, of squared errors, over the pixels
            self.outer_scale = 64 * self.model.published_scale
            rate = torch.tensor(config.learning_rate, device=self.device) if on_gpu else config.learning_rate
            self.adam = torch.optim.Adam(self.model.parameters(), lr=rate, fused=True, capturable=on_gpu)
            self.loss = compiled_loss(self.model) if "compiled" in self.form else self.model.loss
            self.run_step = repeatable(self.step, self.form, self.tensors, [self.generator])
            self.on_train, self.on_test = self._evaluations()
        self.done, self.seconds, self.reconstruct_seconds = 0, 0.0, 0.0
        self.history: list[dict] = []
        self.last: dict = {}  # the newest row, which is none of the history if only the end was measured
        self.good: dict[str, Tensor] | None = {k: v.clone() for k, v in self.model.state_dict().items()}  # at that row
        self.snapshots = Snapshots(self.model, data, config)
        self.keeps_snapshots = config.snapshots

    def _evaluations(self) -> tuple[Evaluation, Evaluation]:
        """Of as many training images as there are test images, and of the test images."""
        config, data, some = self.config, self.data, min(len(self.data.train), len(self.data.test))
        labels = (data.train_labels[:some], data.test_labels) if self.model.classifier is not None else (None, None)
        index = torch.arange(some, device=self.device)
        return (Evaluation(self.model, data.train[:some], config, index, self.form, labels[0]),
                Evaluation(self.model, data.test, config, None, self.form, labels[1]))

    def working(self) -> AbstractContextManager[Any]:
        """Within, what is launched on a GPU goes to this run's stream, in order."""
        return torch.cuda.stream(self.stream) if self.stream else nullcontext()

    # --- the algorithm
    def begin_epoch(self) -> None:
        """Draw the epoch's permutation and set the weight of the KL term."""
        self.order.copy_(torch.randperm(len(self.order), generator=self.generator, device=self.device))
        self.position.zero_()
        self.total.zero_()
        self.weigh_kl(self.done // self.per_epoch)

    def step(self) -> None:
        """One optimiser step on the next batch of the permutation; nothing here waits for the device."""
        index = self.order[self.position * self.batch + self.offsets]
        x = as_float(self.data.train[index])
        labels = self.data.train_labels[index] if self.model.task.classifies else None
        loss = self.loss(x, index, labels).mean()  # infers the latents on the way: Model.loss
        (self.outer_scale * loss).backward()
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.model.inference.after_step(index)
        self.position += 1
        self.total += loss.detach()

    def end_epoch(self) -> None:
        """Evaluate if the history has a row here or this is the end; `FloatingPointError` if something is not finite."""
        self.wait(0)
        epoch, whole = math.ceil(self.done / self.per_epoch), self.done % self.per_epoch == 0
        recorded = whole and is_recorded(epoch, rarely=self.model.inference.costly)
        loss = float(self.total) / max(int(self.position), 1)
        row = {"epoch": epoch, "step": self.done, "seconds": round(self.seconds, 3), "train_loss": loss}
        if math.isfinite(loss) and (recorded or self.done >= self.steps):
            row |= {f"train_{k}": v for k, v in self.on_train().items()}
            start = time.perf_counter()
            row |= {f"test_{k}": v for k, v in self.on_test().items()}
            self.reconstruct_seconds = time.perf_counter() - start
        if not all(math.isfinite(v) for v in row.values()) or not self.finite():
            raise FloatingPointError(f"the loss became NaN or infinite in epoch {epoch} (step {self.done})")
        if recorded:
            self.history.append(row)
        if recorded or self.done >= self.steps:
            self.last, self.good = row, {k: v.clone() for k, v in self.model.state_dict().items()}

    def weigh_kl(self, epoch: int) -> None:
        """Set the weight of the KL term in epoch number `epoch`, from 0."""
        anneal = self.config.kl_anneal
        self.model.kl_weight.fill_(min(epoch / (anneal - 1), 1.0) if anneal > 1 else 1.0)

    # --- some steps at a time
    def go_on(self) -> bool:
        """Go on a little: through the start of an epoch, some steps, a snapshot; whether an epoch (or all) is done."""
        if self.done % self.per_epoch == 0:
            self.begin_epoch()
        end = min((self.done // self.per_epoch + 1) * self.per_epoch, self.steps)
        self.advance(min(end, next_point(self.done)) if self.keeps_snapshots else end)
        if self.keeps_snapshots and is_point(self.done):
            self.wait(0)
            self.snapshots.take(self.done, self.seconds)
        return self.done == end

    def advance(self, until: int) -> None:
        """Steps until number `until`, or for about a quarter of a second; on a GPU, for a slice of steps."""
        start, first = time.perf_counter(), self.done
        until = min(until, first + SLICE) if self.stream else until
        while self.done < until and (self.stream or time.perf_counter() - start < 0.25 or self.done == first):
            self.run_step()
            self.done += 1
        if self.stream:
            self.launched.append(self.stream.record_event())
        self.seconds += time.perf_counter() - start

    def wait(self, ahead: int = 1) -> None:
        """Wait until the GPU has at most `ahead` slices left to do, so that the clock and a deadline mean something."""
        start = time.perf_counter()
        while len(self.launched) > ahead:
            self.launched.pop(0).synchronize()
        self.seconds += time.perf_counter() - start

    def finite(self) -> bool:
        """Whether the loss so far and the weights are finite numbers: weights may be spoilt a step before the loss."""
        return bool(torch.stack([t.isfinite().all() for t in (self.total, *self.model.parameters())]).all())

    # --- what came of it
    def result(self) -> Trained:
        """The run at its newest row."""
        if self.stream:
            self.stream.synchronize()  # what others launch from here on does not wait for this run's stream
        between = self.last.get("step", 0) > (self.history[-1]["step"] if self.history else 0)
        rows = [*self.history, self.last] if between else list(self.history)
        metrics = {k: v for k, v in self.last.items() if k.startswith(("train_", "test_"))} | {
            "parameters": count_parameters(self.model), "channels": self.data.channels, "images": len(self.data.train),
            "epochs": self.last.get("epoch", 0), "steps": self.last.get("step", 0),
            "seconds": self.last.get("seconds", 0.0), "reconstruct_seconds": round(self.reconstruct_seconds, 4),
        }
        if self.model.classifier is not None:
            metrics["classes"] = self.model.classifier.linear.out_features
        shots = self.snapshots
        return Trained(self.model, rows, metrics, self.good, shots.pictures, shots.rows, between)

    # --- checkpoints
    def tensors(self) -> dict[str, Tensor]:
        """Everything that a step reads and changes, by name."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for i, state in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
        return tensors | {"order": self.order, "position": self.position, "total": self.total}

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on."""
        tensors = self.tensors() | {"generator": self.generator.get_state()}
        if self.snapshots.pictures is not None:
            tensors["snapshots"] = self.snapshots.pictures
        checkpoints.write(path, tensors, {
            "done": self.done, "seconds": self.seconds, "history": self.history, "last": self.last,
            "reconstruct_seconds": self.reconstruct_seconds, "snapshots": self.snapshots.rows,
            "device": self.device.type})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; `UserError` naming the file if it is damaged, or of another kind of device."""
        tensors, meta = checkpoints.read(path)
        with checkpoints.readable(path):
            if meta["device"] != self.device.type:
                raise UserError(f"checkpoint {path} was made on {meta['device']}, whose random numbers {self.device.type} "
                                f"does not have: go on there with --device {meta['device']}; it is kept.")
            self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
            state = self.adam.state_dict()
            for name, value in tensors.items():
                if name.startswith("adam."):
                    _, i, key = name.split(".")
                    state["state"].setdefault(int(i), {})[key] = value
            self.adam.load_state_dict(state)
            for name in ("order", "position", "total"):
                getattr(self, name).copy_(tensors[name])
            self.generator.set_state(tensors["generator"])
            self.done, self.seconds, self.history, self.last = (
                meta[key] for key in ("done", "seconds", "history", "last"))
            self.reconstruct_seconds = meta["reconstruct_seconds"]
            self.snapshots.rows, self.snapshots.taken = meta["snapshots"], list(tensors.get("snapshots", ()))
        self.keeps_snapshots = self.keeps_snapshots or bool(self.snapshots.rows)
        here = self.last.get("step", 0) == self.done
        self.good = {k: v.clone() for k, v in self.model.state_dict().items()} if here else None
        self.weigh_kl(max(self.done - 1, 0) // self.per_epoch)


@contextmanager
def begun(config: Config, data: Dataset, device: str | torch.device, form: str, checkpoint: Path | None,
          turn: AbstractContextManager[Any], model: Model | None) -> Iterator[Training]:
    """Within, a `Training` that is ready for its next step, from its checkpoint or from the beginning."""
    with arithmetic():
        with turn:
            run = Training(config, data, device, form, model)
            with run.working():
                if checkpoint and checkpoint.exists():
                    run.load(checkpoint)
                elif run.keeps_snapshots:
                    run.snapshots.take(0, 0.0)
                if run.done == run.steps and run.last.get("step") != run.done:
                    run.end_epoch()
        with arithmetic(run.form):
            yield run


def train(config: Config, data: Dataset, device: str | torch.device = "cpu", form: str = "auto", *,
          model: Model | None = None, checkpoint: Path | None = None, save_every: float = 30.0,
          publish: Callable[[Trained], None] | None = None,
          deadline: float | None = None, progress: Callable[[float, str], None] | None = None,
          turn: AbstractContextManager[Any] | None = None) -> Trained:
    """Train one configuration on a data set.

    Args:
        form: how a step runs, one of forms.FORMS.
        model: a model of your own to train in place of the configuration's, whose schedule it follows.
        checkpoint: a file to go on from; written about every `save_every` seconds and at the end. A training that goes
            on gives the same result as one never stopped (same device and form), and may be asked for more.
        publish: is called after each checkpoint with the run at its newest row.
        deadline: a `time.monotonic` value; when it has passed, the checkpoint is written and `OutOfTime` raised.
        progress: is called with (fraction, text) a few times a second at most.
        turn: a lock held while the host works, where runs take turns (runs/engines.py).

    Raises:
        TrainingFailed: with the last good state, if a loss is NaN or infinite.
    """
    _check(config, data, device, model, checkpoint)
    turn = turn or nullcontext()
    with begun(config, data, device, form, checkpoint and Path(checkpoint), turn, model) as run:
        saved = time.monotonic()
        if publish and run.done >= run.steps:  # an earlier training was stopped just before it could
            publish(run.result())
        while run.done < run.steps:
            with turn, run.working():
                if run.go_on():
                    _end_epoch(run)
                over = run.done >= run.steps
                late = not over and deadline is not None and time.monotonic() > deadline
                if checkpoint and (over or late or time.monotonic() - saved > save_every) and run.finite():
                    run.save(checkpoint)
                    if publish:
                        publish(run.result())
                    saved = time.monotonic()
                if late:
                    raise OutOfTime(f"stopped at step {run.done} of {run.steps}")
            run.wait()
            if progress:
                progress(run.done / run.steps, f"step {run.done} of {run.steps}")
        run.model.ready()
        return run.result()


def _check(config: Config, data: Dataset, device: str | torch.device, model: Model | None, checkpoint: Path | None) -> None:
    """`UserError` before anything is trained for what cannot be, or whose result could not be kept."""
    if not isinstance(config, Config) or not isinstance(data, Dataset) or not isinstance(model, Model | None):
        raise UserError("train takes a Config and a data set, as gonlib.load gives it, not "
                        f"{type(config).__name__} and {type(data).__name__}; a model of your own is a gonlib.Model.")
    check_device(device)
    if checkpoint and not Path(checkpoint).absolute().parent.is_dir():
        raise UserError(f"there is no folder {Path(checkpoint).absolute().parent} to write the checkpoint into.")


def _end_epoch(run: Training) -> None:
    """End an epoch; a run whose loss became NaN or infinite goes back to its last good row."""
    try:
        run.end_epoch()
    except FloatingPointError as error:
        if run.good is not None:
            run.model.load_state_dict(run.good)
        run.model.ready()
        hint = f"try a smaller learning_rate than {run.config.learning_rate:g}"
        raise TrainingFailed(f"{error}; {hint}.", run.result()) from None
