"""Draws the figures of the three generators for the documentation: python scripts/draw_generators.py."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot, rcParams
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
DATA, NETWORK, JUDGE = "#e8eef7", "#d5ead8", "#f7e3d4"
#: Per figure: boxes (text, x, y, colour) and arrows (from, to, label); a back arrow bends below.
Box = tuple[str, float, float, str]
Arrow = tuple[int, int, str]
FIGURES: dict[str, tuple[list[Box], list[Arrow]]] = {
    "social": (
        [
            ("actions of each\nperson so far", 0, 1, DATA),
            ("encoder\n(LSTM a person)", 1, 1, NETWORK),
            ("pooling\nover people", 2, 1, NETWORK),
            ("decoder\n+ noise", 3, 1, NETWORK),
            ("next action\nof everyone", 4, 1, DATA),
            ("stream D:\neach person", 5, 1.55, JUDGE),
            ("joint D:\nthe group", 5, 0.45, JUDGE),
        ],
        [(0, 1, ""), (1, 2, ""), (2, 3, ""), (3, 4, ""), (4, 5, ""), (4, 6, ""), (4, 3, "one tick later")],
    ),
    "suhmo": (
        [
            ("68 landmarks\nso far", 0, 1, DATA),
            ("frame of the\nfirst pose", 1, 1, NETWORK),
            ("LSTM or\ntransformer", 2, 1, NETWORK),
            ("velocity", 3, 1, DATA),
            ("next pose", 4, 1, DATA),
            ("window Ds,\nframe D", 5, 1.55, JUDGE),
            ("pair D", 5, 0.45, JUDGE),
        ],
        [(0, 1, ""), (1, 2, ""), (2, 3, ""), (3, 4, ""), (4, 5, ""), (4, 6, ""), (4, 2, "one tick later")],
    ),
    "ms_sync": (
        [
            ("sound\n(26 features)", 0, 1.55, DATA),
            ("pyramid of\n4 time scales", 1, 1.55, NETWORK),
            ("poses so far\n(LSTM)", 1, 0.45, NETWORK),
            ("a branch\na scale", 2, 1, NETWORK),
            ("soft mask\na landmark", 3, 1, NETWORK),
            ("next pose", 4, 1, DATA),
            ("syncers,\n4 scales", 5, 1.55, JUDGE),
            ("Ds as\nin SUHMo", 5, 0.45, JUDGE),
        ],
        [
            (0, 1, ""),
            (1, 3, ""),
            (2, 3, ""),
            (3, 4, ""),
            (4, 5, ""),
            (5, 6, ""),
            (5, 7, ""),
            (5, 2, "one tick later"),
        ],
    ),
}
_WIDE, _HIGH, _APART = 1.3, 0.62, 1.75


def draw(name: str, boxes: list[Box], arrows: list[Arrow]) -> None:
    """Write one figure."""
    figure, axes = pyplot.subplots(figsize=(9.2, 2.6))
    axes.set_axis_off()
    axes.set_xlim(-0.8, 5 * _APART + 0.8)
    axes.set_ylim(-0.45, 2.05)
    for text, x, y, colour in boxes:
        corner = (x * _APART - _WIDE / 2, y - _HIGH / 2)
        patch = FancyBboxPatch(
            corner, _WIDE, _HIGH, boxstyle="round,pad=0.02,rounding_size=0.08", fc=colour, ec="#444444"
        )
        axes.add_patch(patch)
        axes.text(x * _APART, y, text, ha="center", va="center", fontsize=9, color="#111111")
    for start, end, label in arrows:
        back = boxes[end][1] <= boxes[start][1]
        # Boxes are joined side by side; what goes back leaves and enters below.
        begin = _side(boxes[start], 0.0 if back else 1.0, -1.0 if back else 0.0)
        finish = _side(boxes[end], 0.0 if back else -1.0, -1.0 if back else 0.0)
        style = "arc3,rad=-0.28" if back else "arc3"
        arrow = FancyArrowPatch(
            begin, finish, connectionstyle=style, arrowstyle="-|>", mutation_scale=11, color="#777777"
        )
        axes.add_patch(arrow)
        if label:
            axes.text(
                (begin[0] + finish[0]) / 2,
                -0.12 if boxes[end][2] == boxes[start][2] else -0.42,
                label,
                ha="center",
                fontsize=8,
                color="#777777",
            )
    figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def _side(box: Box, right: float, up: float) -> tuple[float, float]:
    return box[1] * _APART + right * (_WIDE / 2 + 0.04), box[2] + up * (_HIGH / 2 + 0.04)


if __name__ == "__main__":
    # The same file every time.
    rcParams["svg.hashsalt"] = "hmgen_ros"
    rcParams["svg.fonttype"] = "none"
    for title, (shapes, lines) in FIGURES.items():
        draw(title, shapes, lines)
