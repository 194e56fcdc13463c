"""Words of texts that put no spaces between them, for searching by words.

PostgreSQL takes a Chinese sentence for one word. Pairs of neighbouring characters are indexed in its place, and each
run's last character, so that one character alone is found as the beginning of a pair or by itself.
"""

from __future__ import annotations

import re

_RANGES = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
CJK = f"[{_RANGES}]"
"""Chinese characters, kana and hangul, as a character class of Python and of PostgreSQL."""
_NOT_CJK = f"[^{_RANGES}]"
# Where the locale is C, PostgreSQL would take these for letters.
MARKS = "[\u2010-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]"
CJK_RUN = re.compile(f"{CJK}+")
WORD = re.compile(rf"{CJK}+|[^\W_]+", re.UNICODE)


def pairs(run: str) -> list[str]:
    """The pairs of neighbouring characters of a run; none of a single one."""
    return [run[place : place + 2] for place in range(len(run) - 1)]


def pairs_sql(column: str) -> str:
    """An SQL expression: the text of `column`, with runs of characters as pairs with spaces between them."""
    return f"""CASE WHEN {column} ~ '{CJK}' THEN (
            SELECT string_agg(
                CASE WHEN part[1] ~ '{CJK}' THEN (
                    SELECT string_agg(letter || COALESCE(following, ''), ' ' ORDER BY place) FROM (
                        SELECT letter, place, lead(letter) OVER (ORDER BY place) AS following
                        FROM unnest(string_to_array(part[1], NULL)) WITH ORDINALITY AS letters (letter, place)
                    ) AS pairs
                ) ELSE part[1] END, ' ' ORDER BY number
            )
            FROM regexp_matches({column}, '{CJK}+|{_NOT_CJK}+', 'g') WITH ORDINALITY AS parts (part, number)
        ) ELSE {column} END"""  # noqa: S608 - made of constants
