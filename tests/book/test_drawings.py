"""What single chapters draw."""

from matplotlib import pyplot as plt

from gonlib.book import drawings


def test_activations_are_drawn_with_their_second_derivatives():
    fig = drawings.plot_activations(["relu", "elu"])
    relu, elu = ([line.get_ydata() for line in axis.lines] for axis in fig.axes[:2])
    assert abs(relu[2]).max() == 0
    assert elu[2].max() > 0.9
    plt.close(fig)
