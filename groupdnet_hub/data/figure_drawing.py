"""People drawn by code, with their label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from groupdnet_hub.data.figure_textures import (
    BACKGROUND,
    BOTTOM,
    FACE,
    HAIR,
    SHOES,
    SKIN,
    SOCKS,
    TOP,
    paint,
    warp,
)

Crop = Literal["full", "upper"]
Point = tuple[float, float]

# Outlines are drawn larger by this factor and then subsampled.
_OVERSAMPLING = 4


@dataclass(frozen=True)
class _Outfit:
    """Clothes of a figure. Lengths are heights on the body: 0 is the top of the head, 1 the soles."""

    hem: float  # of the top
    sleeve: float  # fraction of the arm
    looseness: float
    neckline: float
    bottom: Literal["trousers", "skirt", "none"]
    bottom_hem: float
    socks: bool
    boots: bool


def draw_figure(
    seed: int, size: tuple[int, int] = (256, 256), *, crop: Crop = "full"
) -> tuple[Image.Image, np.ndarray]:
    """Draw a standing person on a plain backdrop.

    Args:
        seed: seed of body, pose, outfit and textures.
        size: (height, width) in pixels.
        crop: ``full``, from head to feet, or ``upper``, from head to hip.

    Returns:
        (RGB picture, uint8 [H, W] of class ids); the classes are those of ``FIGURE_LABELS``.

    Raises:
        ValueError: for an unknown crop or a side under 8 pixels.
    """
    if crop not in ("full", "upper"):
        raise ValueError(f"crop is {crop!r}; it must be 'full' or 'upper'")
    if min(size) < 8:
        raise ValueError(f"size is {size}; both sides must be at least 8 pixels")
    random = np.random.Generator(np.random.PCG64(seed))
    label = warp(_draw_outlines(random, size, crop), random)
    return paint(label, random), label


def _draw_outlines(random: np.random.Generator, size: tuple[int, int], crop: Crop) -> np.ndarray:
    height, width = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
    body = height * (random.uniform(0.88, 0.94) if crop == "full" else random.uniform(1.62, 1.8))
    pen = _Pen(width, height, body, (width * (0.5 + random.uniform(-0.05, 0.05)), height * 0.045))
    outfit, build = _choose_outfit(random), random.uniform(0.92, 1.12)
    hair = random.choice(["short", "long", "bun"])
    tilt = random.uniform(-0.012, 0.012)

    if hair == "long":
        length = random.uniform(0.2, 0.3)
        pen.limb(HAIR, [(tilt - 0.03, 0.07), (tilt - 0.042, length)], [0.03, 0.022])
        pen.limb(HAIR, [(tilt + 0.03, 0.07), (tilt + 0.042, length)], [0.03, 0.022])
    _draw_legs(pen, random, outfit, build)
    _draw_torso(pen, outfit, build)
    _draw_arms(pen, random, outfit, build)
    pen.limb(SKIN, [(tilt * 0.5, 0.12), (0, 0.165)], [0.024, 0.03])
    if outfit.neckline > 0:
        pen.polygon(SKIN, [(-0.03, 0.155), (0.03, 0.155), (0, 0.165 + outfit.neckline)])
    if hair == "bun":
        pen.ellipse(HAIR, (tilt, 0.0), 0.022, 0.022)
    pen.ellipse(HAIR, (tilt, 0.058), 0.05, 0.058)
    pen.ellipse(FACE, (tilt, 0.078), 0.037, 0.054)
    fringe = random.uniform(0.028, 0.044)
    pen.polygon(HAIR, [(tilt - 0.04, 0.06), (tilt - 0.03, 0.02), (tilt + 0.03, 0.02), (tilt + 0.04, fringe)])
    return pen.label[_OVERSAMPLING // 2 :: _OVERSAMPLING, _OVERSAMPLING // 2 :: _OVERSAMPLING]


def _choose_outfit(random: np.random.Generator) -> _Outfit:
    kind = random.choice(["trousers", "shorts", "skirt", "dress", "coat"], p=[0.35, 0.12, 0.2, 0.18, 0.15])
    sleeve = float(random.choice([0.0, 0.3, 0.6, 0.92], p=[0.15, 0.35, 0.1, 0.4]))
    loose, neckline = random.uniform(0.0, 0.022), float(random.choice([0.0, 0.03, 0.06]))
    socks, boots = bool(random.random() < 0.3), bool(random.random() < 0.3)
    hem = random.uniform(0.43, 0.5)
    if kind == "dress":
        return _Outfit(random.uniform(0.6, 0.8), sleeve, loose, neckline, "none", 0, socks, boots)
    if kind == "coat":
        hem_coat = random.uniform(0.56, 0.68)
        return _Outfit(
            hem_coat, 0.92, loose + 0.02, neckline, "trousers", random.uniform(0.9, 0.95), False, boots
        )
    if kind == "skirt":
        return _Outfit(hem, sleeve, loose, neckline, "skirt", random.uniform(0.6, 0.85), socks, boots)
    trouser_hem = random.uniform(0.6, 0.68) if kind == "shorts" else random.uniform(0.88, 0.95)
    return _Outfit(hem, sleeve, loose, neckline, "trousers", trouser_hem, socks, boots)


def _draw_legs(pen: _Pen, random: np.random.Generator, outfit: _Outfit, build: float) -> None:
    stance = random.uniform(0.03, 0.07)
    for side in (-1, 1):
        hip, foot = side * 0.045 * build, side * stance + random.uniform(-0.015, 0.015)
        leg = [(hip, 0.5), ((hip + foot) / 2 + side * 0.004, 0.72), (foot, 0.94)]
        radii = [0.044 * build, 0.03 * build, 0.017]
        pen.limb(SKIN, leg, radii)
        if outfit.socks:
            pen.limb(SOCKS, _part(leg, random.uniform(0.78, 0.86), 0.94), [0.026, 0.02])
        if outfit.bottom == "trousers":
            wide = [r + 0.008 + outfit.looseness / 2 for r in radii]
            pen.limb(BOTTOM, _part(leg, 0.5, outfit.bottom_hem), [wide[0], wide[1], wide[2] + 0.004])
        toe = foot + side * random.uniform(0.005, 0.022)
        pen.limb(SHOES, [(foot, 0.945), (toe, 0.98)], [0.02, 0.021])
        if outfit.boots:
            pen.limb(SHOES, _part(leg, 0.85, 0.95), [0.027, 0.022])
    if outfit.bottom != "none":
        waist = 0.4
        pen.polygon(
            BOTTOM,
            [(-0.07 * build, waist), (0.07 * build, waist), (0.09 * build, 0.53), (-0.09 * build, 0.53)],
        )
    if outfit.bottom == "skirt":
        flare = random.uniform(0.085, 0.14) * build
        hem = outfit.bottom_hem
        pen.polygon(
            BOTTOM,
            [(-0.085 * build, 0.5), (0.085 * build, 0.5), (flare, hem), (0, hem + 0.012), (-flare, hem)],
        )


def _draw_torso(pen: _Pen, outfit: _Outfit, build: float) -> None:
    loose, hem = outfit.looseness, outfit.hem
    half = [
        (0.03, 0.15),
        (0.075 * build, 0.163),
        (0.1 * build + loose / 2, 0.185),
        (0.088 * build + loose, 0.3),
        (0.073 * build + loose, 0.4),
        (0.085 * build + loose, min(hem, 0.48)),
        ((0.085 + 0.12 * max(0.0, hem - 0.48)) * build + loose, hem),
    ]
    pen.polygon(TOP, half + [(0, hem + 0.006)] + [(-x, y) for x, y in reversed(half)])


def _draw_arms(pen: _Pen, random: np.random.Generator, outfit: _Outfit, build: float) -> None:
    for side in (-1, 1):
        shoulder = (side * 0.083 * build, 0.195)
        if random.random() < 0.2:  # hand on the hip
            elbow, wrist = (side * 0.18, 0.35), (side * 0.095, 0.45)
        else:
            out = random.uniform(0.0, 0.03)
            elbow, wrist = (side * (0.125 + out), 0.345), (side * (0.128 + 1.5 * out), 0.485)
        hand = (wrist[0] + side * 0.002, wrist[1] + 0.035)
        pen.limb(SKIN, [shoulder, elbow, wrist, hand], [0.022, 0.018, 0.013, 0.014])
        if outfit.sleeve:
            end = shoulder[1] + (wrist[1] - shoulder[1]) * outfit.sleeve
            extra = 0.004 + outfit.looseness / 3
            pen.limb(
                TOP,
                _part([shoulder, elbow, wrist], shoulder[1], end),
                [0.023 + extra, 0.021 + extra, 0.016 + extra],
            )


def _part(line: Sequence[Point], top: float, bottom: float) -> list[Point]:
    """Return the part of a falling line between two heights."""
    xs, ys = [x for x, _ in line], [y for _, y in line]
    inner = [(x, y) for x, y in line if top < y < bottom]
    ends = [(float(np.interp(y, ys, xs)), y) for y in (top, bottom)]
    return [ends[0], *inner, ends[1]]


class _Pen:
    """Draws shapes in body coordinates (x from the middle, y from the top of the head) as class ids."""

    def __init__(self, width: int, height: int, body: float, origin: Point) -> None:
        self._picture = Image.new("L", (width, height), BACKGROUND)
        self._draw = ImageDraw.Draw(self._picture)
        self._body, self._origin = body, origin

    @property
    def label(self) -> np.ndarray:
        """Label map drawn so far, uint8 [H, W]."""
        return np.array(self._picture)

    def _pixel(self, point: Point) -> Point:
        return self._origin[0] + point[0] * self._body, self._origin[1] + point[1] * self._body

    def polygon(self, class_id: int, points: Sequence[Point]) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._pixel(point) for point in points], fill=class_id)

    def ellipse(self, class_id: int, centre: Point, rx: float, ry: float) -> None:
        """Fill an ellipse with the radii ``rx`` and ``ry``."""
        x, y = self._pixel(centre)
        rx, ry = rx * self._body, ry * self._body
        self._draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=class_id)

    def limb(self, class_id: int, line: Sequence[Point], radii: Sequence[float]) -> None:
        """Draw a rounded stroke along a line, with the radius interpolated evenly between ``radii``."""
        steps = np.linspace(0, len(line) - 1, 24 * (len(line) - 1) + 1)
        at = np.arange(len(line))
        xs, ys = np.interp(steps, at, [x for x, _ in line]), np.interp(steps, at, [y for _, y in line])
        rs = np.interp(np.linspace(0, len(radii) - 1, len(steps)), np.arange(len(radii)), radii)
        for x, y, r in zip(xs, ys, rs, strict=True):
            self.ellipse(class_id, (float(x), float(y)), float(r), float(r))
