"""Arithmetic without `eval`: a white list over Python's syntax tree, with limits on size."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

from agents.tools.base import ToolFault

Number = int | float

MAX_CHARACTERS = 500
MAX_BITS = 4096
MAX_FACTORIAL = 200


def power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MAX_BITS:
        raise ToolFault("The power is too large.")
    return base**exponent


def factorial(number: Number) -> Number:
    if not float(number).is_integer() or not 0 <= number <= MAX_FACTORIAL:
        raise ToolFault(f"A factorial needs a whole number from 0 to {MAX_FACTORIAL}.")
    return math.factorial(int(number))


def rounded(number: Number, digits: Number = 0) -> Number:
    return round(number, int(digits)) if digits else round(number)


binary: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: power,
}
unary: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
functions: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "factorial": factorial,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": rounded,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
constants: dict[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}


def calculate(expression: str) -> Number:
    """The value of an arithmetic expression. `^` is a power. Raises ToolFault with what is wrong."""
    if len(expression) > MAX_CHARACTERS:
        raise ToolFault(f"The expression is longer than {MAX_CHARACTERS} characters.")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
        return _finite(_value(tree.body))
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ToolFault(f"{expression!r} is not an arithmetic expression.") from error
    except ZeroDivisionError as error:
        raise ToolFault("Division by zero.") from error
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ToolFault(f"The expression cannot be calculated: {error}.") from error


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name) if name in constants:
            return constants[name]
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in binary:
            return _bounded(binary[type(sign)](_value(left), _value(right)))
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in unary:
            return unary[type(sign)](_value(operand))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in functions:
            return _bounded(functions[name](*(_value(argument) for argument in arguments)))
    raise ToolFault(
        f"{ast.unparse(node)!r} is not allowed. Use numbers, + - * / // % ^, parentheses, "
        f"{', '.join(constants)} and the functions {', '.join(functions)}."
    )


def _bounded(number: Number) -> Number:
    if isinstance(number, int) and number.bit_length() > MAX_BITS:
        raise ToolFault("The number is too large.")
    return number


def _finite(number: Number) -> Number:
    if isinstance(number, complex) or not math.isfinite(number):
        raise ToolFault("The result is not a real number.")
    if isinstance(number, float):
        # Fifteen digits are exact in a float: 0.1 + 0.2 is 0.3 for people.
        number = float(f"{number:.15g}")
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return number
