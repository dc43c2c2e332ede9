"""Image sizes as options take them."""


def parsed_size(text: str) -> tuple[int, int]:
    """``256x384`` -> (256, 384), height first; ``256`` is a square. ValueError where it is neither."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise ValueError(f"--size is height x width in pixels, as 256x384 or 256; got {text!r}")
    return int(sides[0]), int(sides[-1])
