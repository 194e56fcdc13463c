"""Units of measurement and their factors."""

from __future__ import annotations

from agents.tools.base import ToolFault

# Each unit in terms of its kind's first one.
units_by_kind: dict[str, dict[str, float]] = {
    "length": {
        "m": 1,
        "mm": 1e-3,
        "cm": 1e-2,
        "km": 1e3,
        "in": 0.0254,
        "ft": 0.3048,
        "yd": 0.9144,
        "mi": 1609.344,
    },
    "mass": {"kg": 1, "mg": 1e-6, "g": 1e-3, "t": 1e3, "oz": 0.028349523125, "lb": 0.45359237},
    "time": {"s": 1, "ms": 1e-3, "min": 60, "h": 3600, "d": 86400, "week": 604800},
    "volume": {"l": 1, "ml": 1e-3, "m3": 1e3, "gal": 3.785411784, "pt": 0.473176473},
    "area": {"m2": 1, "km2": 1e6, "ha": 1e4, "acre": 4046.8564224, "ft2": 0.09290304},
    "speed": {"m/s": 1, "km/h": 1 / 3.6, "mph": 0.44704, "kn": 1852 / 3600},
    "data": {
        "b": 1,
        "kb": 1e3,
        "mb": 1e6,
        "gb": 1e9,
        "tb": 1e12,
        "kib": 2**10,
        "mib": 2**20,
        "gib": 2**30,
        "tib": 2**40,
    },
    "temperature": {"c": 1, "f": 5 / 9, "k": 1},
}
# What is added after the factor; only temperatures start from different points.
OFFSETS = {"c": 0.0, "f": -32 * 5 / 9, "k": -273.15}
ALIASES = {
    "meter": "m", "metre": "m", "kilometer": "km", "kilometre": "km", "centimeter": "cm", "millimeter": "mm",
    "inch": "in", "inche": "in", "foot": "ft", "feet": "ft", "yard": "yd", "mile": "mi",
    "kilogram": "kg", "gram": "g", "milligram": "mg", "tonne": "t", "ton": "t", "ounce": "oz", "pound": "lb",
    "second": "s", "sec": "s", "minute": "min", "hour": "h", "hr": "h", "day": "d",
    "liter": "l", "litre": "l", "milliliter": "ml", "gallon": "gal", "pint": "pt",
    "hectare": "ha", "kmh": "km/h", "kph": "km/h", "knot": "kn",
    "byte": "b", "kilobyte": "kb", "megabyte": "mb", "gigabyte": "gb", "terabyte": "tb",
    "celsius": "c", "fahrenheit": "f", "kelvin": "k",
}  # fmt: skip


def convert(value: float, source: str, target: str) -> float:
    """`value` of the unit `source` in the unit `target`. Raises ToolFault for unknown or unlike units."""
    kind, old = _find(source)
    other, new = _find(target)
    if kind != other:
        raise ToolFault(
            f"{source!r} is a unit of {kind} and {target!r} one of {other}; they cannot be converted."
        )
    factors = units_by_kind[kind]
    result = (value * factors[old] + OFFSETS.get(old, 0.0) - OFFSETS.get(new, 0.0)) / factors[new]
    return float(f"{result:.12g}")


def _find(name: str) -> tuple[str, str]:
    """(kind, unit), whatever the case and the number: "Miles" is mi."""
    plain = name.strip().lower().removeprefix("°").replace("²", "2").replace("³", "3")
    for unit in (plain, ALIASES.get(plain), plain.removesuffix("s"), ALIASES.get(plain.removesuffix("s"))):
        for kind, units in units_by_kind.items():
            if unit in units:
                return kind, str(unit)
    known = "; ".join(f"{kind}: {', '.join(units)}" for kind, units in units_by_kind.items())
    raise ToolFault(f"There is no unit {name!r}. Known are {known}.")
