"""Writes progressive.jpg: ten scans that refine one another, as libjpeg orders them, with restart markers.

usage: python3 make_progressive.py   (with Pillow; made with 13.0.0)
"""
from pathlib import Path

from PIL import Image

width, height = 50, 35
picture = Image.new("RGB", (width, height))
for y in range(height):
    for x in range(width):
        inside = (x - 25) ** 2 + (2 * (y - 17)) ** 2 < 400
        picture.putpixel((x, y), (40 + 3 * x, 20, 60 + y) if inside else (230 - y, 220 - x % 7 * 9, 240))
path = Path(__file__).with_name("progressive.jpg")
picture.save(path, quality=80, progressive=True, subsampling="4:2:0", restart_marker_blocks=5)
