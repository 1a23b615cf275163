#!/usr/bin/env python3
"""Draws the digits 0 to 9 in twenty fonts: digits.png, a row of ten cells of 64 x 64 pixels per font, black on white.

Needs Pillow, and the fonts from Debian's packages fonts-dejavu-core, fonts-dejavu-extra, fonts-freefont-ttf, fonts-lato,
fonts-liberation, fonts-comic-neue and fonts-humor-sans. The fonts were chosen before any was tried: plain, bold, italic,
light, narrow, serif, monospaced, and two that imitate handwriting.
"""

import pathlib

from PIL import Image, ImageDraw, ImageFont

FONTS = [
    "truetype/dejavu/DejaVuSans.ttf",
    "truetype/dejavu/DejaVuSans-Bold.ttf",
    "truetype/dejavu/DejaVuSansMono.ttf",
    "truetype/dejavu/DejaVuSerif.ttf",
    "truetype/dejavu/DejaVuSerifCondensed-Italic.ttf",
    "truetype/freefont/FreeSans.ttf",
    "truetype/freefont/FreeSerif.ttf",
    "truetype/freefont/FreeSerifItalic.ttf",
    "truetype/freefont/FreeMono.ttf",
    "truetype/humor-sans/Humor-Sans.ttf",
    "truetype/lato/Lato-Light.ttf",
    "truetype/lato/Lato-Regular.ttf",
    "truetype/lato/Lato-BoldItalic.ttf",
    "truetype/liberation/LiberationSans-Regular.ttf",
    "truetype/liberation/LiberationSansNarrow-Regular.ttf",
    "truetype/liberation/LiberationSerif-Regular.ttf",
    "truetype/liberation/LiberationMono-Regular.ttf",
    "opentype/comic-neue/ComicNeue-Light.otf",
    "opentype/comic-neue/ComicNeue-Regular.otf",
    "opentype/comic-neue/ComicNeue-BoldItalic.otf",
]
CELL, SIZE = 64, 48

sheet = Image.new("L", (10 * CELL, len(FONTS) * CELL), 255)
draw = ImageDraw.Draw(sheet)
for row, name in enumerate(FONTS):
    font = ImageFont.truetype(str(pathlib.Path("/usr/share/fonts") / name), SIZE)
    for digit in range(10):
        centre = (digit * CELL + CELL / 2, row * CELL + CELL / 2)
        draw.text(centre, str(digit), fill=0, font=font, anchor="mm")
sheet.save(pathlib.Path(__file__).with_name("digits.png"), optimize=True)
