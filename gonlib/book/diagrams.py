"""Figure 1: four models as diagrams, with the tensor shapes and parameter counts of the models themselves."""

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from ..method.decoders import count_parameters
from ..method.models import MODELS, build
from .svg import INK

TITLES = {"VAE": "(a) VAE: two networks", "GON": "(b) GON: one network, used twice",
          "implicit GON": "(c) implicit GON: F over coordinates", "VGON": "(d) variational GON"}
TENSOR, NETWORK, LOSS, GRADIENT = "#8899aa28", "#0072b238", "#d55e0038", "#d55e00"
TOP, BOTTOM = 2.3, 0.4  # height of the two rows of a diagram: the pass at the origin, the pass at the latent


@dataclass
class Node:
    """A box of a diagram: `kind` is tensor, wide (a decoder), narrow (an encoder) or loss; the centre is (x, y)."""

    kind: str
    text: str
    x: float
    y: float
    below: str = ""  # shape, or number of parameters

    width = property(lambda self: {"tensor": 1.05, "loss": 0.5}.get(self.kind, 0.76))


def figure_1(config, channels=1, names=tuple(TITLES)):
    """Draw the VAE, GON, implicit GON and variational GON of a configuration, or those named; returns the figure.

    Solid arrows are forward passes; dashed ones carry gradients, which are the latents.
    """
    side = math.ceil(len(names) ** 0.5)
    fig, axes = plt.subplots(side, side, figsize=(4.3 * side, 2.6 * side), layout="constrained", squeeze=False)
    for axis, name in zip(axes.flat, names, strict=True):
        changes = dict(MODELS[name])
        if name != "implicit GON":  # a convolutional decoder reaches powers of two
            changes |= {"decoder": "conv", "size": 2 ** math.ceil(math.log2(config.size))}
        nodes, arrows = (_vae if name == "VAE" else _gon)(config.replace(**changes), channels)
        _draw(axis, nodes, arrows)
        axis.set_title(TITLES[name], loc="left")
    return fig


def shapes(config, channels):
    """Shapes of a configuration's tensors and sizes of its networks, as texts."""
    model = build(config, channels)
    n, size = config.batch_size, config.size
    found = {"x": f"{n}×{channels}×{size}×{size}", "z": f"{n}×{config.latents}",
             "F": f"{count_parameters(model.decoder):,}"}
    if hasattr(model.decoder, "coordinates"):
        found["c"] = f"{size**2}×2"
    if model.stochastic is not None:
        found["stochastic"] = f"{count_parameters(model.stochastic):,}"
    if config.inference == "encoder":
        found["E"] = f"{count_parameters(model.inference):,}"
    return found


def _vae(config, channels):
    text = shapes(config, channels)
    nodes = {
        "x": Node("tensor", r"$\mathbf{x}$", 0.5, TOP, text["x"]),
        "E": Node("narrow", "$E$", 1.75, TOP, text["E"]),
        "mu": Node("tensor", r"$\mu,\ \sigma$", 3.0, TOP, "2 × " + text["z"]),
        "z": Node("tensor", r"$\mathbf{z} = \mu + \sigma\epsilon$", 3.0, BOTTOM, text["z"]),
        "D": Node("wide", "$D$", 4.25, BOTTOM, text["F"]),
        "y": Node("tensor", r"$\hat{\mathbf{x}}$", 5.5, BOTTOM, text["x"]),
        "L": Node("loss", "ℒ", 5.5, TOP),
    }
    return nodes, [("x", "E"), ("E", "mu"), ("mu", "z"), ("z", "D"), ("D", "y"), ("y", "L"), ("mu", "L")]


def _gon(config, channels):
    text = shapes(config, channels)
    implicit, variational = "c" in text, "stochastic" in text
    nodes = {"z0": Node("tensor", r"$\mathbf{z}_0 = \mathbf{0}$", 0.5, TOP, text["z"]),
             "z": Node("tensor", r"$\mathbf{z} = -\nabla_{\mathbf{z}_0}$ℒ", 0.5, BOTTOM, text["z"]),
             "y": Node("tensor", r"$F(\mathbf{z})$", 4.6, BOTTOM, text["x"])}
    arrows, start = [], {"z0": "z0", "z": "z"}
    if implicit:
        nodes["c"] = Node("tensor", r"$\mathbf{c}$", 1.75, (TOP + BOTTOM) / 2, text["c"])
        for name, y in (("z0", TOP), ("z", BOTTOM)):
            nodes["+" + name] = Node("loss", r"$\oplus$", 1.75, y)
            arrows += [(name, "+" + name), ("c", "+" + name)]
            start[name] = "+" + name
    if variational:
        for name, y in (("z0", TOP), ("z", BOTTOM)):
            nodes["s" + name] = Node("narrow", r"$\mu + \sigma\epsilon$", 1.85, y, text["stochastic"])
            arrows.append((name, "s" + name))
            start[name] = "s" + name
    for name, y in (("z0", TOP), ("z", BOTTOM)):
        nodes["F" + name] = Node("wide", "$F$", 3.2 if implicit or variational else 2.5, y, text["F"])
        arrows.append((start[name], "F" + name))
    nodes["y0"] = Node("tensor", r"$F(\mathbf{z}_0)$", 4.6, TOP, text["x"])
    nodes["x"] = Node("tensor", r"$\mathbf{x}$", 5.9, (TOP + BOTTOM) / 2, text["x"])
    nodes["L0"] = Node("loss", "ℒ", 5.9, TOP)
    nodes["L"] = Node("loss", "ℒ", 5.9, BOTTOM)
    arrows += [("Fz0", "y0"), ("Fz", "y"), ("y0", "L0"), ("y", "L"), ("x", "L0"), ("x", "L"), ("L0", "z0", "back"),
               ("z0", "z", "down")]
    return nodes, arrows


def _draw(axis, nodes, arrows):
    for node in nodes.values():
        _box(axis, node)
    for start, end, *kind in arrows:
        _arrow(axis, nodes[start], nodes[end], kind[0] if kind else "forward")
    axis.set(xlim=(-0.1, 6.5), ylim=(-0.15, 3.3), aspect="equal")
    axis.set_axis_off()


def _box(axis, node):
    w, h = node.width, 0.5
    left, right, low = node.x - w / 2, node.x + w / 2, node.y - h / 2
    options = {"linewidth": 0.8, "edgecolor": INK, "zorder": 3}
    if node.kind in ("wide", "narrow"):
        ends = (0.32, 1.0) if node.kind == "wide" else (1.0, 0.32) if node.text == "$E$" else (0.8, 0.8)
        a, b = (h / 2 * end for end in ends)
        corners = [(left, node.y - a), (left, node.y + a), (right, node.y + b), (right, node.y - b)]
        axis.add_patch(Polygon(corners, facecolor=NETWORK, **options))
    elif node.kind == "loss":
        axis.add_patch(plt.Circle((node.x, node.y), 0.2, facecolor=LOSS if "ℒ" in node.text else "none", **options))
    else:
        style = "round,pad=0,rounding_size=0.1"
        axis.add_patch(FancyBboxPatch((left, low), w, h, boxstyle=style, facecolor=TENSOR, **options))
    axis.text(node.x, node.y, node.text, ha="center", va="center", fontsize=9, color=INK, zorder=4)
    axis.text(node.x, low - 0.04, node.below, ha="center", va="top", fontsize=8.5, color=INK, alpha=0.7, zorder=4)


def _arrow(axis, start, end, kind):
    options = {"arrowstyle": "-|>", "mutation_scale": 9, "linewidth": 1.0, "color": INK, "shrinkA": 0, "shrinkB": 0}
    if kind == "back":  # the gradient, through F, over the top of the row
        options |= {"color": GRADIENT, "linestyle": (0, (3, 2)), "connectionstyle": "arc3,rad=0.22"}
        a, b = (start.x - 0.05, start.y + 0.22), (end.x + 0.05, end.y + 0.27)
    elif kind == "down":
        options |= {"color": GRADIENT, "linestyle": (0, (3, 2))}
        a, b = (start.x, start.y - 0.48), (end.x, end.y + 0.27)
    elif abs(start.y - end.y) < 0.1:
        reach = 0.2 if end.kind == "loss" else end.width / 2
        a = (start.x + (0.2 if start.kind == "loss" else start.width / 2), start.y)
        b = (end.x - reach, end.y)
    else:
        up = 1 if end.y > start.y else -1
        a = (start.x, start.y + up * (0.27 if up > 0 else 0.48))
        b = (end.x, end.y - up * (0.2 if end.kind == "loss" else 0.27 if up < 0 else 0.48))
    axis.add_patch(FancyArrowPatch(a, b, zorder=2, **options))
