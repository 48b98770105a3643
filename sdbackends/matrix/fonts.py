"""The fonts of a contact sheet: Pillow's own for Latin text, one of the machine's for Chinese.

Pillow's font has no Chinese characters and would draw boxes, which tell nobody anything. Where
the machine has no font with them, a caller writes something else: ask `readable` first.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: What captions use of Pillow's font beyond ASCII.
_BEYOND_ASCII = "·…"
#: Where Linux, macOS and Windows keep a font with Chinese characters; fontconfig is asked first.
_CHINESE_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)


def font(text: str, size: int) -> Font:
    """Choose the font to draw `text` with, `size` pixels high."""
    other = None if _is_latin(text) else chinese_font()
    return _loaded(other, size)


def readable(text: str) -> bool:
    """Tell whether this machine has a font for `text`."""
    return _is_latin(text) or chinese_font() is not None


@cache
def chinese_font() -> Path | None:
    """Find a font file with Chinese characters on this machine."""
    if shutil.which("fc-list"):
        asked = ["fc-list", ":lang=zh-cn", "file"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        paths = sorted(Path(line.rstrip(": ")) for line in found.splitlines())
        outlines = [path for path in paths if path.suffix.lower() in (".ttf", ".ttc", ".otf")]
        if outlines:
            return outlines[0]
    return next((path for path in map(Path, _CHINESE_FONTS) if path.is_file()), None)


@cache
def _loaded(path: Path | None, size: int) -> Font:
    return ImageFont.truetype(str(path), size) if path else ImageFont.load_default(size)


def _is_latin(text: str) -> bool:
    return all(one.isascii() or one in _BEYOND_ASCII for one in text)
