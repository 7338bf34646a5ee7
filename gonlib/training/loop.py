"""One training loop for all models: data resident on the device, no host synchronisation within an epoch, resumable."""

import json
import math
import os
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ..errors import UserError
from ..method.decoders import count_parameters
from ..method.models import build
from ..method.tasks import image, mean_source
from .evaluation import Evaluation, as_float, evaluate
from .forms import choose, compiled_loss, repeatable

SNAPSHOT_IMAGES = 16
SLICE = 32  # steps that are launched on a GPU before the host looks up; two slices may be on their way


class TrainingFailed(Exception):
    """The loss became NaN or infinite; `trained` is the last good state."""

    def __init__(self, message, trained):
        super().__init__(message)
        self.trained = trained


class OutOfTime(Exception):
    """The deadline passed; the checkpoint holds everything done so far."""


@dataclass
class Trained:
    """What training gives: the model, one history row per epoch, final metrics, and snapshots (S, 16, C, H, W) uint8."""

    model: torch.nn.Module
    history: list
    metrics: dict
    snapshots: torch.Tensor | None = None
    snapshot_history: list = field(default_factory=list)

    def weights(self):
        """Tensors of the model on the CPU; the training images' free latents (GLO) are left out."""
        return self.model.stored_state()


class Training:
    """The state of one run: model, optimiser, permutation, random numbers, history. `advance` does some steps.

    `form` says how a step runs (capture.py). On a GPU, a run works on a stream of its own: see `working`.
    """

    def __init__(self, config, data, device="cpu", form="auto"):
        self.config, self.data, self.device = config, data, torch.device(device)
        self.form = choose(form, self.device)
        on_gpu = self.device.type == "cuda"
        self.stream, self.events = torch.cuda.Stream(self.device) if on_gpu else None, []
        if on_gpu:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))  # the data come from there
        with self.working():
            self._begin()

    def working(self):
        """Within, what is launched on a GPU goes to this run's stream, in order."""
        return torch.cuda.stream(self.stream) if self.stream else nullcontext()

    def _begin(self):
        config, data = self.config, self.data
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            try:
                classes = 1 + max(int(labels.max()) for labels in (data.train_labels, data.test_labels))
                self.model = build(config, data.channels, len(data.train), classes).to(self.device)
            except ValueError as error:
                raise UserError(f"this configuration has no model: {error}.") from error
        task = self.model.task
        self.model.mean_image.copy_(data.mean_image if task.source is image else mean_source(task, data.train))
        named = task.classifies
        self.model.generator = self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.batch = min(config.batch_size, len(data.train))
        self.per_epoch = len(data.train) // self.batch
        self.steps = min(config.steps or math.inf, config.epochs * self.per_epoch)
        self.done, self.seconds, self.history = 0, 0.0, []
        self.order = torch.zeros(len(data.train), dtype=torch.int64, device=self.device)
        self.position = torch.zeros((), dtype=torch.int64, device=self.device)
        self.offsets = torch.arange(self.batch, device=self.device)
        self.total = torch.zeros((), device=self.device)
        self.outer_scale = 64 * self.model.inner_scale / config.latent_scale  # as published: mean over the pixels too
        on_gpu = self.stream is not None
        rate = torch.tensor(config.learning_rate, device=self.device) if on_gpu else config.learning_rate
        self.adam = torch.optim.Adam(self.model.parameters(), lr=rate, fused=True, capturable=on_gpu)
        self.loss = compiled_loss(self.model) if "compiled" in self.form else self.model.loss
        self.run_step = repeatable(self.step, self.form, self.tensors, [self.generator])
        self.on_test = Evaluation(self.model, data.test, config, form=self.form,
                                  labels=data.test_labels if named else None)
        some = torch.arange(min(len(data.train), len(data.test)), device=self.device)
        self.on_train = Evaluation(self.model, data.train[: len(some)], config, some, self.form,
                                   data.train_labels[: len(some)] if named else None)
        points = torch.logspace(0, math.log10(self.steps), config.snapshots, dtype=torch.float64).round()
        self.snapshot_steps = sorted({0, *points.long().tolist()}) if config.snapshots else []
        self.snapshots, self.snapshot_history = [], []

    def step(self):
        """One optimiser step on the next batch of the permutation; nothing here waits for the device."""
        index = self.order[self.position * self.batch + self.offsets]
        x = as_float(self.data.train[index])
        labels = self.data.train_labels[index] if self.model.task.classifies else None
        loss = self.loss(x, index, labels).mean()
        (self.outer_scale * loss).backward()
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.model.inference.after_step(index)
        self.position += 1
        self.total += loss.detach()

    def advance(self, until):
        """Steps until number `until`, or for about a quarter of a second; on a GPU, for a slice of steps."""
        start, first = time.perf_counter(), self.done
        until = min(until, first + SLICE) if self.stream else until
        while self.done < until and (self.stream or time.perf_counter() - start < 0.25 or self.done == first):
            self.run_step()
            self.done += 1
        if self.stream:
            self.events.append(self.stream.record_event())
        self.seconds += time.perf_counter() - start

    def wait(self, ahead=1):
        """Wait until the GPU has at most `ahead` slices left to do, so that the clock and a deadline mean something."""
        start = time.perf_counter()
        while len(self.events) > ahead:
            self.events.pop(0).synchronize()
        self.seconds += time.perf_counter() - start

    def go_on(self):
        """Go on a little: through the start of an epoch, some steps, a snapshot; whether an epoch (or all) is done."""
        if self.done % self.per_epoch == 0:
            self.begin_epoch()
        end = min((self.done // self.per_epoch + 1) * self.per_epoch, self.steps)
        self.advance(min([end, *(s for s in self.snapshot_steps if s > self.done)]))
        if self.done in self.snapshot_steps:
            self.wait(0)
            self.snapshot()
        return self.done == end

    def begin_epoch(self):
        """Draw the epoch's permutation and set the weight of the KL term."""
        self.order.copy_(torch.randperm(len(self.order), generator=self.generator, device=self.device))
        self.position.zero_()
        self.total.zero_()
        self.weigh_kl(self.done // self.per_epoch)

    def weigh_kl(self, epoch):
        """Set the weight of the KL term in epoch number `epoch`, from 0."""
        anneal = self.config.kl_anneal
        self.model.kl_weight.fill_(min(epoch / (anneal - 1), 1.0) if anneal > 1 else 1.0)

    def end_epoch(self):
        """Evaluate and append a row to the history; raises `TrainingFailed` if the loss is not finite."""
        self.wait(0)
        epoch = math.ceil(self.done / self.per_epoch)
        loss = float(self.total) / max(int(self.position), 1)
        row = {"epoch": epoch, "step": self.done, "seconds": round(self.seconds, 3), "train_loss": loss}
        if math.isfinite(loss) and self.due(epoch):
            row |= {f"train_{k}": v for k, v in self.on_train().items()}
            start = time.perf_counter()
            row |= {f"test_{k}": v for k, v in self.on_test().items()}
            self.reconstruct_seconds = time.perf_counter() - start
        if not all(math.isfinite(v) for v in row.values()) or not self.finite():
            raise FloatingPointError(f"the loss became NaN or infinite in epoch {epoch} (step {self.done})")
        self.history.append(row)

    def finite(self):
        """Whether the loss so far and the weights are finite numbers: weights may be spoilt a step before the loss."""
        return bool(torch.stack([t.isfinite().all() for t in (self.total, *self.model.parameters())]).all())

    def due(self, epoch):
        """Whether to evaluate: always, but for GLO (an optimisation per image) at five epochs only."""
        last = self.done >= self.steps
        return last or not self.model.inference.costly or epoch % max(self.config.epochs // 5, 1) == 0

    @torch.no_grad()
    def snapshot(self):
        """Keep reconstructions of the first test images, their error, and the seconds trained so far."""
        images = self.data.test[:SNAPSHOT_IMAGES]
        with self.model.evaluating(self.config.evaluation):
            mosaic = (self.model.reconstruct(as_float(images)).clamp(0, 1) * 255).round().byte().cpu()
        some = self.data.test[:512]
        error = evaluate(self.model, some, self.config)["error"]
        constant = float((as_float(some) - self.model.mean_image).square().sum() / len(some))
        self.snapshots.append(mosaic)
        self.snapshot_history.append({"step": self.done, "seconds": round(self.seconds, 3), "test_error": error,
                                      "mean_image_error": constant})

    def result(self):
        """The trained model with its final numbers."""
        if self.stream:
            self.stream.synchronize()  # what others launch from here on does not wait for this run's stream
        last = next((row for row in reversed(self.history) if any(key.startswith("test_") for key in row)), {})
        metrics = {k: v for k, v in last.items() if k.startswith(("train_", "test_"))} | {
            "parameters": count_parameters(self.model), "channels": self.data.channels, "images": len(self.data.train),
            "epochs": len(self.history), "steps": self.done, "seconds": round(self.seconds, 3),
            "reconstruct_seconds": round(getattr(self, "reconstruct_seconds", 0.0), 4),
        }
        if self.model.classifier is not None:
            metrics["classes"] = self.model.classifier.linear.out_features
        stack = torch.stack(self.snapshots) if self.snapshots else None
        return Trained(self.model.ready(), self.history, metrics, stack, self.snapshot_history)

    def state(self):
        """A copy of the model and the history, to go back to."""
        return {k: v.clone() for k, v in self.model.state_dict().items()}, list(self.history)

    def restore(self, state):
        """Go back to `state`."""
        self.model.load_state_dict(state[0])
        self.history = state[1]

    def tensors(self):
        """Everything that a step reads and changes, by name."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for i, state in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
        return tensors | {"order": self.order, "position": self.position, "total": self.total}

    # --- checkpoints: safetensors, written beside and moved into place
    def save(self, path):
        """Write everything that the next step depends on."""
        tensors = self.tensors() | {"generator": self.generator.get_state()}
        if self.snapshots:
            tensors["snapshots"] = torch.stack(self.snapshots)
        meta = {"done": self.done, "seconds": self.seconds, "history": self.history, "snaps": self.snapshot_history}
        fresh = Path(f"{path}.new")
        save_file({k: v.detach().cpu().clone() for k, v in tensors.items()}, fresh, {"state": json.dumps(meta)})
        os.replace(fresh, path)

    def load(self, path):
        """Go on from a checkpoint; raises `UserError` naming the file if it cannot be read."""
        with readable(path), safe_open(path, "pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            self.resume(tensors, json.loads(file.metadata()["state"]))

    def resume(self, tensors, meta):
        """Take over a checkpoint's tensors and its other numbers."""
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
        self.snapshots = list(tensors["snapshots"]) if "snapshots" in tensors else []
        self.done, self.seconds, self.history = meta["done"], meta["seconds"], meta["history"]
        self.snapshot_history = meta["snaps"]
        self.weigh_kl(max(self.done - 1, 0) // self.per_epoch)


@contextmanager
def readable(path):
    """Turns whatever a damaged checkpoint raises into a `UserError` that names it."""
    try:
        yield
    except Exception as error:
        fault = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"checkpoint {path} cannot be read ({fault}); delete it to start this run again.") from error


def reached(path):
    """How far a checkpoint is: steps, seconds, number of training images."""
    with readable(path), safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["state"])
        return {"steps": meta["done"], "seconds": meta["seconds"], "images": file.get_slice("order").get_shape()[0]}


def train(config, data, device="cpu", checkpoint=None, save_every=30.0, deadline=None, progress=None, form="auto",
          turn=None):
    """Train one configuration on a data set; returns `Trained`.

    `checkpoint` is a file to resume from and to write about every `save_every` seconds; a resumed run gives the same
    result as one never stopped (same device and form). When `deadline` (a `time.monotonic` value) passes, the
    checkpoint is written and `OutOfTime` raised. `progress(fraction, text)` is called a few times a second at most.
    `form` says how a step runs (capture.FORMS); `turn` is a lock held while the host works, where runs take turns
    (engines.py). Raises `TrainingFailed` with the last good state if a loss is NaN or infinite.
    """
    torch.backends.cudnn.deterministic = True  # a run's name stands for one result
    turn = turn or nullcontext()
    with turn:
        run = Training(config, data, device, form)
        with run.working():
            if checkpoint and Path(checkpoint).exists():
                run.load(checkpoint)
            elif run.snapshot_steps:
                run.snapshot()
            good, saved = run.state(), time.monotonic()
    while run.done < run.steps:
        with turn, run.working():
            if run.go_on():
                try:
                    run.end_epoch()
                except FloatingPointError as error:
                    run.restore(good)
                    hint = f"try a smaller learning_rate than {config.learning_rate:g}"
                    raise TrainingFailed(f"{error}; {hint}.", run.result()) from None
                good = run.state()
            late = deadline is not None and time.monotonic() > deadline and run.done < run.steps
            if checkpoint and (late or time.monotonic() - saved > save_every) and run.finite():
                run.save(checkpoint)
                saved = time.monotonic()
            if late:
                raise OutOfTime(f"stopped at step {run.done} of {run.steps}")
        run.wait()
        if progress:
            progress(run.done / run.steps, f"step {run.done} of {run.steps}")
    return run.result()
