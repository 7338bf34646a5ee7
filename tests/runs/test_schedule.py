"""The schedule: what is wanted once, in its order, and of one trajectory the shorter before the longer."""

from gonlib.runs.engines import one_by_one
from gonlib.runs.schedule import Schedule, Wanted, in_order
from gonlib.runs.store import Store
from gonlib.training.config import Config

TINY = Config(size=8, filters=2, latents=4, train_images=48, test_images=16, batch_size=16)


def test_shorter_runs_of_a_trajectory_come_before_longer_ones_and_the_dearest_last():
    other, long, short, stopped = TINY.replace(seed=1), TINY.replace(epochs=9), TINY.replace(epochs=2), TINY.replace(steps=1)
    configs = [long, other, short, stopped, long]
    ordered = in_order([Wanted("dear", TINY.replace(seed=2), last=True), *(Wanted("", config) for config in configs)])
    assert [one.config for one in ordered] == [stopped, short, long, other, TINY.replace(seed=2)]


def test_a_table_grows_breadth_first_and_each_point_is_looked_at(tmp_path, capsys):
    store, seen = Store(tmp_path), []

    def finish(run, device):
        assert run.has_weights
        seen.append((run.config.seed, run.metrics["epochs"]))

    for epochs in (1, 3):
        wanted = [Wanted(f"seed {seed}", TINY.replace(seed=seed, epochs=epochs), finish=[finish]) for seed in (0, 1)]
        work = Schedule(wanted, [store], one_by_one)
        work.take()
        assert work.report() == 0
    assert seen == [(0, 1), (1, 1), (0, 3), (1, 3)]
    assert len(store.runs()) == 2 and "2 runs trained, 0 were there already, 0 left." in capsys.readouterr().out
    again = Schedule([Wanted("", TINY.replace(epochs=2))], [store], one_by_one)
    again.take()
    assert again.trained == 0 and not again.left
