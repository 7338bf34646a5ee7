"""How a step runs: the forms, and that a captured step repeats the eager one, on a stand-in for a CUDA graph."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gonlib.data import datasets
from gonlib.errors import UserError
from gonlib.method.origin import OriginGradient
from gonlib.training import forms
from gonlib.training.config import Config
from gonlib.training.evaluation import Evaluation
from gonlib.training.forms import Repeatable, choose, compiled_loss
from gonlib.training.loop import Training, train

SMALL = {"size": 16, "train_images": 70, "test_images": 40, "filters": 2, "latents": 4, "batch_size": 16, "epochs": 2}
SIREN = {"decoder": "siren", "hidden": 8, "layers": 2}
NOISY = {"variational": True, "likelihood": "bernoulli"}
TEN = {"inner_steps": 3, "step_size": 0.1}
RULES = {
    "origin": {}, "origin, cotangents": {"latents": 24}, "siren": SIREN, "several steps": TEN, "detached": {"detach": True},
    "several steps, detached": TEN | {"detach": True}, "no normalisation": {"batchnorm": False},
    "AE": {"inference": "encoder"}, "tied AE": {"inference": "tied_encoder"}, "VAE": NOISY | {"inference": "encoder"},
    "VGON": NOISY | {"kl_anneal": 2}, "GLO": {"inference": "free", "free_steps": 3}, "random origins": {"origin_sd": 0.1},
    "sampled coordinates": SIREN | {"inner_fraction": 0.5, "outer_fraction": 0.25},
    "population": {"evaluation": "population"}, "gaussian": {"likelihood": "gaussian"},
    "categorical": {"likelihood": "categorical"}, "classifier": {"task": "both"}, "edges": {"task": "from_edges"},
}
# On a GPU these wait for the device, or (the last) bring a constant from the host.
SYNCHRONISING = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique", "_unique2", "item", "equal",
                 "lift_fresh"}


class Tape(TorchDispatchMode):
    """A CUDA graph in slow motion: every operation is noted with its tensors and numbers, and replayed on the same
    memory. As in a graph, Python does not run again, and whatever was a number when it was recorded stays so."""

    def __init__(self, generators=()):
        super().__init__()
        self.notes = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = operation(*args, **kwargs)
        self.notes.append((operation, args, kwargs, out))
        return out

    def record(self, work):
        with self:
            work()

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, out in self.notes:
            if operation.is_view or torch.Tag.inplace_view in operation.tags:  # names of memory, no work
                continue
            new = operation(*args, **kwargs)
            if not operation._schema.is_mutable:
                outs, news = ((out, new) if isinstance(out, tuple | list) else ((out,), (new,)))
                for old, fresh in zip(outs, news, strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != fresh.data_ptr():
                        old.detach().copy_(fresh.reshape(old.shape))

    def names(self):
        return {note[0].__name__.split(".")[0] for note in self.notes}

    def host_numbers(self):
        """Selections between a tensor and a Python number, which a GPU fetches from the host."""
        made = {id(note[3]) for note in self.notes}
        return [args for operation, args, *_ in self.notes if operation.__name__.startswith("where")
                and any(not t.dim() and id(t) not in made for t in args)]


def images(config):
    return datasets.load(config.dataset, config.size, config.train_images, config.test_images)


def run_of(config, exact=True, taped=False):
    run = Training(config, images(config))
    if not exact:
        run.model.inference = OriginGradient(config.inner_steps, config.step_size, config.detach, config.origin_sd,
                                             config.add_origin, exact=False)
    if taped:
        run.run_step = Repeatable(run.step, run.tensors, [run.generator], Tape())
    return run


def epochs(run, count):
    for _ in range(count):
        run.begin_epoch()
        end = run.done + run.per_epoch
        while run.done < end:
            run.advance(end)
    return run


def assert_same(run, other, tolerance=0.0):
    mine, theirs = run.tensors(), other.tensors()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
    assert torch.equal(run.generator.get_state(), other.generator.get_state())


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "reference"])
@pytest.mark.parametrize("rule", RULES)
def test_a_captured_step_repeats_the_eager_one_bit_for_bit(rule, exact):
    config = Config(**SMALL | RULES[rule])
    if not exact and (config.inference != "origin" or config.evaluation == "population"):
        pytest.skip("this rule has one form")
    eager, taped = epochs(run_of(config, exact), 2), epochs(run_of(config, exact, taped=True), 2)
    assert_same(taped, eager)
    tape = taped.run_step.graph
    assert len(tape.notes) > 20
    assert not tape.names() & SYNCHRONISING
    assert not tape.host_numbers()


@pytest.mark.parametrize("rule", RULES)
def test_a_captured_evaluation_gives_the_same_numbers(rule):
    config = Config(**SMALL | RULES[rule])
    run = epochs(run_of(config), 1)
    eager = run.on_train
    taped = Evaluation(run.model, eager.images, config, eager.index, labels=eager.labels)
    taped.prepare = Repeatable(taped._share, dict, (), Tape())
    taped.add_batch = Repeatable(lambda: taped._add(taped.offsets), taped._state, (), Tape())
    for _ in range(2):
        drawn = run.generator.get_state()
        assert taped() == eager()
        assert torch.equal(run.generator.get_state(), drawn)  # looking draws nothing from training's numbers
        epochs(run, 1)  # other weights, the same graphs
    assert not taped.add_batch.graph.names() & SYNCHRONISING
    assert not taped.add_batch.graph.host_numbers()


def test_a_captured_run_goes_on_from_a_checkpoint(tmp_path):
    config = Config(**SMALL)
    whole, half = epochs(run_of(config, taped=True), 2), epochs(run_of(config, taped=True), 1)
    half.save(tmp_path / "checkpoint")
    rest = run_of(config, taped=True)
    rest.load(tmp_path / "checkpoint")
    assert_same(epochs(rest, 1), whole)


def test_warming_up_leaves_no_trace():
    """Whatever the warm-up and the recording do to state and generator is undone, in place."""
    state, drawn = {"a": torch.zeros(2)}, torch.Generator().manual_seed(3)
    born = {}

    def work():
        state["a"] += torch.rand(2, generator=drawn)
        born.setdefault("b", torch.zeros(())).add_(1)

    place = state["a"].data_ptr()
    repeat = Repeatable(work, lambda: state | born, [drawn], Tape())
    for _ in range(2):
        repeat()
    again = torch.Generator().manual_seed(3)
    torch.testing.assert_close(state["a"], torch.rand(2, generator=again) + torch.rand(2, generator=again))
    assert (state["a"].data_ptr(), float(born["b"])) == (place, 2.0)


def test_the_stand_in_freezes_numbers_as_a_graph_does():
    place, count, rate = torch.zeros(()), [0], [1.0]

    def work():
        count[0] += 1
        place.add_(rate[0])

    repeat = Repeatable(work, lambda: {"place": place}, (), Tape())
    repeat()
    rate[0] = 5.0
    repeat()
    assert (float(place), count[0]) == (2.0, forms.WARM_UP + 1)


def test_the_form_is_chosen_once_and_never_falls_back(monkeypatch):
    assert (choose("auto", "cpu"), choose("auto", "cuda:1"), choose("eager", "cuda")) == ("eager", "captured", "eager")
    for form in ("captured", "compiled+captured"):
        with pytest.raises(UserError, match="needs a CUDA device"):
            choose(form, "cpu")
    with pytest.raises(UserError, match="unknown form 'capture'; did you mean captured"):
        choose("capture", "cpu")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="C\\+\\+ compiler, and no-such-compiler is not there"):
        choose("compiled", "cpu")
    assert choose("eager", "cpu") == "eager"
    with pytest.raises(UserError, match="needs a CUDA device"):
        train(Config(**SMALL), images(Config(**SMALL)), form="captured")


def test_what_a_run_sets_is_put_back_when_the_last_of_them_ends():
    def now():
        return (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic)

    before, one, other = now(), forms.arithmetic(), forms.arithmetic()
    one.__enter__()
    other.__enter__()
    assert now() == (False, False, True)
    one.__exit__(None, None, None)
    assert now() == (False, False, True)
    other.__exit__(None, None, None)
    assert now() == before
    train(Config(**SMALL), images(Config(**SMALL)))
    assert now() == before


def test_a_long_training_compiles_where_it_can(monkeypatch):
    model = run_of(Config(**SMALL)).model
    assert choose("auto", "cpu", model, forms.LONG) == "eager"
    monkeypatch.setattr(forms.shutil, "which", lambda name: f"/bin/{name}")
    assert choose("auto", "cpu", model, forms.LONG + 1) == "compiled"
    assert choose("auto", "cpu", run_of(Config(**SMALL | RULES["VGON"])).model, forms.LONG + 1) == "eager"
    monkeypatch.setattr(forms.shutil, "which", lambda name: None)
    assert choose("auto", "cpu", model, forms.LONG + 1) == "eager"


@pytest.mark.parametrize("rule", ["several steps", "VGON", "random origins", "sampled coordinates"])
def test_what_differentiates_twice_is_not_compiled(rule):
    with pytest.raises(UserError, match="cannot be compiled|can be compiled"):
        compiled_loss(run_of(Config(**SMALL | RULES[rule])).model)


@pytest.mark.slow
@pytest.mark.traced
@pytest.mark.parametrize("rule", ["origin", "origin, cotangents", "siren", "tied AE", "VAE", "GLO"])
def test_a_loss_is_traced_whole_and_gives_the_same_gradients(rule, monkeypatch):
    """The compiler's front half, which sees the loss as one graph; its back half is left to `make bench`."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend="aot_eager", **options))
    config = Config(**SMALL | RULES[rule])
    eager, compiled = run_of(config), run_of(config)
    compiled.loss = compiled_loss(compiled.model)
    assert_same(epochs(compiled, 1), epochs(eager, 1), 1e-6)
