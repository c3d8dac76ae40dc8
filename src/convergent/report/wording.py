"""How numbers read in figures and on the page."""

import math

NONE = "\N{EN DASH}"


def score(value: float, *, digits: int = 2) -> str:
    """A correlation, without its leading zero; a dash where it is not defined.

    Example:
        >>> score(0.706), score(-0.049), score(1.0), score(float("nan"))
        ('.71', '−.05', '1.00', '–')
    """
    if math.isnan(value):
        return NONE
    text = f"{abs(value):.{digits}f}"
    sign = "\N{MINUS SIGN}" if value < 0 and float(text) else ""
    return sign + text.removeprefix("0")


def plus_minus(half: float) -> str:
    """Half the width of an interval; nothing where it is not defined.

    Example:
        >>> plus_minus(0.031), plus_minus(0.0021), plus_minus(float("nan"))
        ('±.03', '±.002', '')
    """
    return "" if math.isnan(half) else f"±{score(half, digits=2 if half >= 0.005 else 3)}"


def interval(low: float, high: float, *, digits: int = 2) -> str:
    """Both ends of an interval; a dash where they are not known.

    Example:
        >>> interval(0.25, 0.5), interval(float("nan"), 0.5)
        ('.25 to .50', '–')
    """
    if math.isnan(low) or math.isnan(high):
        return NONE
    return f"{score(low, digits=digits)} to {score(high, digits=digits)}"


def percent(share: float) -> str:
    """A share in [0, 1] in whole per cent.

    Example:
        >>> percent(0.166), percent(float("nan"))
        ('17 %', '–')
    """
    return NONE if math.isnan(share) else f"{100 * share:.0f} %"


def count(number: int) -> str:
    """A count, with thin spaces between thousands from five digits on.

    Example:
        >>> count(4000), count(62378344)
        ('4000', '62\u202f378\u202f344')
    """
    return f"{number:,}".replace(",", "\u202f") if number >= 10_000 else str(number)


def plural(number: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "unit"), plural(3, "unit")
        ('1 unit', '3 units')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"
