"""Scenes put into words, in English and in Chinese.

`english` and `chinese` give the one wording that the demos and the tests use; the
`loose_*` functions give a wording drawn at random for training, so that the models also
follow plain paraphrases ("big red circle, blue background"), a missing size or background,
and stray unknown words. Needs nothing but `shapes`.
"""

import random

from shapes import Color, Scene, Shape, Size

CHINESE_COLOR: dict[Color, str] = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "purple": "紫色",
    "orange": "橙色",
    "white": "白色",
    "black": "黑色",
}
CHINESE_SHAPE: dict[Shape, str] = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "star": "五角星",
}
CHINESE_SIZE: dict[Size, str] = {"small": "小", "big": "大"}

_LOOSE_SIZE: dict[Size, list[str]] = {
    "small": ["small", "small", "small", "little", "tiny"],
    "big": ["big", "big", "big", "large", "huge"],
}
_LOOSE_CHINESE_SHAPE: dict[Shape, list[str]] = {
    "circle": ["圆形", "圆形", "圆"],
    "square": ["正方形", "正方形", "方形"],
    "triangle": ["三角形"],
    "star": ["五角星", "五角星", "星形", "星星"],
}
_LEADS = ["a picture of ", "a drawing of ", "a photo of ", "an image of ", "one ", "the "]
_CHINESE_LEADS = ["一个", "一张图片，", "一幅画，", "图中有", "请画"]
_UNKNOWN_CHINESE = "的是在和与里这那有中"


def english(scene: Scene) -> str:
    """'a big red circle on a blue background'."""
    return (
        f"a {scene.size} {scene.color} {scene.shape} on {_a(scene.background)} "
        f"{scene.background} background"
    )


def chinese(scene: Scene) -> str:
    """'蓝色背景上的红色大圆形'."""
    return (
        f"{CHINESE_COLOR[scene.background]}背景上的"
        f"{CHINESE_COLOR[scene.color]}{CHINESE_SIZE[scene.size]}{CHINESE_SHAPE[scene.shape]}"
    )


def loose_english(scene: Scene, rng: random.Random) -> str:
    """Half the time the plain wording, else a paraphrase of it."""
    if rng.random() < 0.5:
        return english(scene)
    color, shape, back = scene.color, scene.shape, scene.background
    size = rng.choice(_LOOSE_SIZE[scene.size])
    thing = rng.choice([f"{size} {color} {shape}"] * 5 + [f"{color} {size} {shape}"])
    if rng.random() < 0.1:
        thing = f"{color} {shape}"
    lead = rng.choice(["", "a ", "a ", "a ", rng.choice(_LEADS)])
    if lead.endswith(" of "):
        lead += f"{_a(thing)} "
    place = rng.choice(
        [
            f" on a {back} background",
            f" on {_a(back)} {back} background",
            f" on {back} background",
            f" on {back}",
            f", {back} background",
            f" in front of a {back} background",
            "" if rng.random() < 0.5 else f" on a {back} background",
        ]
    )
    words = f"{lead}{thing}{place}"
    if rng.random() < 0.1:
        stray = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=rng.randint(1, 6)))
        words = rng.choice([f"{stray} {words}", f"{words} {stray}", f"{words}, {stray}"])
    return words


def loose_chinese(scene: Scene, rng: random.Random) -> str:
    """Half the time the plain wording, else a paraphrase of it."""
    if rng.random() < 0.5:
        return chinese(scene)
    color, back = CHINESE_COLOR[scene.color], CHINESE_COLOR[scene.background]
    size, shape = CHINESE_SIZE[scene.size], rng.choice(_LOOSE_CHINESE_SHAPE[scene.shape])
    plain = f"{color}{size}{shape}"
    thing = rng.choice(
        [
            plain,
            plain,
            f"{size}{color}{shape}",
            f"{color}的{size}{shape}",
            f"{size}的{color}{shape}",
        ]
    )
    if rng.random() < 0.1:
        thing = f"{color}{shape}"
    words = rng.choice(
        [
            f"{back}背景上的{thing}",
            f"{back}背景上的一个{thing}",
            f"{back}背景上有一个{thing}",
            f"{back}背景，{thing}",
            f"{thing}，{back}背景",
            f"{thing}在{back}背景上",
            thing if rng.random() < 0.5 else f"{back}背景上的{thing}",
        ]
    )
    if rng.random() < 0.2:
        words = rng.choice(_CHINESE_LEADS) + words
    if rng.random() < 0.1:
        at = rng.randint(0, len(words))
        words = words[:at] + rng.choice(_UNKNOWN_CHINESE) + words[at:]
    return words


def _a(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
