"""Screens: a window with a title and some buttons."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from . import fonts
from .boxes import Box
from .canvas import Canvas
from .palette import Colour, distance, jitter
from .typeset import Face, SetText, smallest

ENGLISH = (
    "Settings", "Search", "Save", "Cancel", "OK", "Delete", "Send", "Back", "Next", "Login", "Home",
    "Help", "File", "Edit", "View", "Close", "Open", "Print", "Copy", "Share", "Start", "Stop",
)  # fmt: skip
CHINESE = (
    "设置", "搜索", "保存", "取消", "确定", "删除", "发送", "返回", "下一步", "登录", "首页",
    "帮助", "文件", "打开", "关闭",
    "打印", "分享", "开始", "停止", "完成",
)  # fmt: skip
TITLES = {
    "en": ("Document", "Pictures", "Orders", "Menu", "Window", "Mail", "Notes"),
    "zh": ("文件", "图片", "订单", "菜单", "邮件", "设置", "地址"),
}
PANES: tuple[Colour, ...] = (
    (238, 240, 246),
    (255, 255, 255),
    (245, 245, 245),
    (40, 42, 54),
    (225, 232, 240),
)
FACES: tuple[Colour, ...] = (
    (60, 90, 200), (220, 222, 228), (30, 150, 80), (200, 60, 60), (70, 70, 80), (255, 255, 255),
)  # fmt: skip


@dataclass(frozen=True)
class Button:
    """A button and what stands on it."""

    label: str
    box: Box


@dataclass
class Screen:
    """The picture of a screen, and what is on it, in reading order."""

    picture: Image.Image
    title: str
    buttons: list[Button]
    texts: list[SetText]


def make_screen(rng: random.Random, canvas: Canvas, face: Face, chinese: bool) -> Screen:
    """A window of up to six buttons in rows."""
    file = face.file
    size = max(int(smallest(file) * canvas.scale * rng.uniform(1.05, 1.5)), 6)
    pane = jitter(rng, rng.choice(PANES), 4)
    picture = Image.new("RGB", (canvas.width, canvas.height), pane)
    pen = ImageDraw.Draw(picture)
    title = rng.choice(TITLES["zh" if chinese else "en"])
    bar = 1.6 * size
    shade = jitter(rng, rng.choice(FACES), 6)
    pen.rectangle((0, 0, canvas.width, bar), fill=shade)
    texts = [SetText(title, 0.5 * size, 0.25 * size, file, size)]
    texts[0].draw(pen, _ink(shade))
    labels = rng.sample(CHINESE if chinese else ENGLISH, rng.randint(2, 6))
    buttons: list[Button] = []
    look, radius = jitter(rng, rng.choice(FACES), 6), rng.choice([0, 0.25, 0.45]) * size
    if distance(look, pane) < 60:
        look = (60, 90, 200)
    x, y = rng.uniform(0.3, 1.2) * size, bar + rng.uniform(0.4, 1.5) * size
    across = rng.random() < 0.6
    for label in labels:
        wide = fonts.width(file, label) * size + 1.1 * size
        if across and x + wide > canvas.width - 0.2 * size:
            x, y = rng.uniform(0.3, 1.0) * size, y + 2.1 * size
        if y + 1.7 * size > canvas.height or x + wide > canvas.width:
            break
        box = Box(x, y, x + wide, y + 1.6 * size)
        pen.rounded_rectangle((x, y, box.right, box.bottom), radius, fill=look)
        texts.append(SetText(label, x + 0.55 * size, y + 0.2 * size, file, size))
        texts[-1].draw(pen, _ink(look))
        buttons.append(Button(label, box))
        if across:
            x += wide + rng.uniform(0.3, 1.5) * size
        else:
            y += rng.uniform(1.9, 2.6) * size
    return Screen(picture, title, buttons, texts)


def _ink(ground: Colour) -> Colour:
    return (20, 20, 25) if sum(ground) > 420 else (250, 250, 250)
