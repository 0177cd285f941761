"""Bodies: neck, torso, arms in a pose and legs. The head is 1 unit in radius around (0, 0), feet at 4.6."""

from Utils.demo_booru.canvas import Pen, Point, shade
from Utils.demo_booru.scenes import Figure
from Utils.demo_booru.vocabulary import CLOTH, SKIN, WHITE, Color

# Right arm (x > 0) from shoulder to hand; the left one is its mirror image.
_DOWN = [(0.72, 1.5), (0.98, 2.0), (1.0, 2.62)]
_UP = [(0.72, 1.5), (1.32, 1.05), (1.48, -0.15)]
_HIP = [(0.72, 1.5), (1.4, 1.95), (0.82, 2.42)]
_OUT = [(0.72, 1.5), (1.35, 1.55), (2.05, 1.35)]
_HOLD = [(0.72, 1.5), (1.15, 2.05), (1.3, 1.72)]
_FOLDED = [(0.72, 1.5), (0.95, 2.05), (0.2, 1.95)]
_BACK = [(0.72, 1.5), (1.02, 2.0), (0.6, 2.45)]
# (right arm, left arm)
POSES = {
    "down": (_DOWN, _DOWN),
    "arms_up": (_UP, _UP),
    "waving": (_UP, _DOWN),
    "hand_on_hip": (_HIP, _DOWN),
    "outstretched_arms": (_OUT, _OUT),
    "holding": (_HOLD, _DOWN),
    "crossed_arms": (_FOLDED, _FOLDED),
    "arms_behind_back": (_BACK, _BACK),
}
LONG_SLEEVES = ("serafuku", "sweater", "hoodie", "jacket", "kimono", "robe", "coat", "armor", "vest")
SHOES = (60, 50, 80)
_BOOT = (52, 66, 104)


def hand(figure: Figure) -> Point:
    """Return the place of the hand that holds things."""
    return POSES["holding"][0][-1] if figure.pose == "holding" else POSES[figure.pose][0][-1]


def draw_legs(pen: Pen, figure: Figure) -> None:
    """Draw legs with what is worn on them, and shoes."""
    skin = SKIN[figure.skin]
    for side in (-1, 1):
        x = 0.34 * side
        pen.limb([(x, 2.55), (x * 1.05, 4.4)], skin, 0.4, curved=False)
        if figure.legwear == "kneehighs":
            cloth = CLOTH["white" if figure.second == "black" else "black"]
            pen.limb([(x * 1.03, 3.6), (x * 1.05, 4.4)], cloth, 0.42, curved=False)
        elif figure.legwear == "pantyhose":
            pen.limb([(x, 2.55), (x * 1.05, 4.4)], CLOTH["black"], 0.41, curved=False)
        if figure.bottom == "pants":
            pen.limb([(x, 2.5), (x * 1.08, 4.3)], CLOTH[figure.second], 0.56, curved=False)
        toe = 0.12 * side if figure.view != "side" else -0.14
        if figure.legwear == "boots":
            pen.limb([(x * 1.06, 3.75), (x * 1.06, 4.45)], _BOOT, 0.5, curved=False)
            pen.ellipse(x * 1.06 + toe, 4.55, 0.36, 0.18, _BOOT)
        else:
            pen.ellipse(x * 1.06 + toe, 4.55, 0.31, 0.16, SHOES)


def torso(figure: Figure, grow: float = 0.0) -> list[Point]:
    """Return the outline of the trunk from the collar to the hips, ``grow`` wider."""
    wide, waist = (0.95, 0.72) if figure.boy else (0.8, 0.56)
    if figure.view == "side":
        wide, waist = wide * 0.72, waist * 0.85
    wide, waist = wide + grow, waist + grow
    return [(-0.36, 1.12), (-wide + 0.08, 1.27), (-wide, 1.55), (-waist - 0.06, 2.0), (-waist, 2.3),
            (-waist - 0.1, 2.7),
            (waist + 0.1, 2.7), (waist, 2.3), (waist + 0.06, 2.0), (wide, 1.55), (wide - 0.08, 1.27),
            (0.36, 1.12)]  # fmt: skip


def draw_neck(pen: Pen, figure: Figure) -> None:
    """Draw the neck."""
    pen.limb([(0, 0.8), (0, 1.3)], shade(SKIN[figure.skin], 0.94), 0.42, curved=False)


def draw_arms(pen: Pen, figure: Figure, before: bool) -> None:
    """Draw the arms that are before the trunk (``before``), or those that are behind it."""
    for side, arm in zip((1, -1), POSES[figure.pose], strict=True):
        if (arm is not _BACK) != before:
            continue
        if figure.view == "side":
            arm = [(x * 0.45 - (0.15 if side > 0 else 0), y) for x, y in arm]
            if side < 0 and arm[-1][1] > 2:
                continue
        _arm(pen.at(mirror=side < 0), figure, arm)


def _arm(pen: Pen, figure: Figure, arm: list[Point]) -> None:
    skin = SKIN[figure.skin]
    if figure.boy and figure.view != "side":
        arm = [(arm[0][0] + 0.1, arm[0][1]), *arm[1:]]
    sleeve = _sleeve_color(figure)
    width = 0.36 if figure.boy else 0.32
    palm = CLOTH["white" if figure.color != "white" else "black"] if figure.gloves else skin
    pen.limb(arm, skin, width)
    pen.ellipse(*arm[2], 0.21, 0.22, palm)
    if figure.top in LONG_SLEEVES:
        wrist = _between(arm[1], arm[2], 0.72)
        wide = 0.62 if figure.top in ("kimono", "robe") else 0.44
        pen.limb([arm[0], arm[1], wrist], sleeve, wide)
        if figure.top == "serafuku":
            pen.limb([_between(arm[1], arm[2], 0.62), wrist], CLOTH[figure.second], wide, curved=False)
    elif figure.top in ("shirt", "overalls", "maid"):
        pen.limb([arm[0], _between(arm[0], arm[1], 0.62)], sleeve, 0.5, curved=False)
    if figure.gloves:
        pen.limb([_between(arm[1], arm[2], 0.72), arm[2]], palm, width + 0.06, curved=False)


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _sleeve_color(figure: Figure) -> Color:
    if figure.top == "overalls" or figure.top == "vest":
        return WHITE
    return CLOTH[figure.color]
