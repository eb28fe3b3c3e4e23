"""A sheet of words and numbers → Markdown or LaTeX. Knows how tables look, not what they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

EMPTY = "–"


@dataclass(frozen=True)
class Text:
    """What stands in one place of a table; ``bold`` marks it as among the best."""

    words: str
    bold: bool = False


@dataclass(frozen=True)
class Section:
    """Rows under a label of their own (None: no label)."""

    label: str | None
    rows: tuple[tuple[Text, ...], ...]


@dataclass(frozen=True)
class Block:
    """One table: a line above it, its headings, its sections. Every row is as long as the headings."""

    caption: str
    headings: tuple[str, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Sheet:
    """Lines that stand first, tables, lines that stand last."""

    opening: tuple[str, ...]
    blocks: tuple[Block, ...]
    footnotes: tuple[str, ...]


def decimals(means: Iterable[float]) -> int | None:
    """Choose the decimals of a column: three significant digits of its largest mean; None: scientific."""
    largest = max((abs(mean) for mean in means), default=0.0)
    if largest == 0:
        return 3
    magnitude = math.floor(math.log10(largest))
    return None if magnitude < -4 or magnitude > 5 else max(0, 2 - magnitude)


def number(value: float, places: int | None) -> str:
    """Write a number with so many decimals (None: scientific), a true minus, and no minus before zero."""
    text = f"{value:.2e}" if places is None else f"{value:.{places}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def spread(mean: float, error: float | None, places: int | None, *, finer: bool = True) -> str:
    """Write mean ± error; numbers far below the column's largest still show two digits of the larger one.

    Unless ``finer`` is off: among times of seconds, microseconds are nothing.
    """
    largest = max(abs(mean), error or 0.0)
    if finer and places is not None and largest:
        places = max(places, min(7, 1 - math.floor(math.log10(largest))))
    return " ± ".join(number(value, places) for value in (mean, error) if value is not None)


def markdown(sheet: Sheet) -> str:
    """Render a sheet as Markdown, columns padded so that it reads well on a terminal too."""
    parts = [
        *(_inert(line) for line in sheet.opening),
        *(f"{_inert(block.caption)}\n\n{_markdown_block(block)}" for block in sheet.blocks),
        "\n".join(f"- {_inert(_flat(line))}" for line in sheet.footnotes),
    ]
    return _shown("\n\n".join(part for part in parts if part)) + "\n"


def _markdown_block(block: Block) -> str:
    lines = [[_pipe(heading) for heading in block.headings]]
    for section in block.sections:
        if section.label is not None:
            lines.append([f"*{_pipe(section.label)}*", *[""] * (len(block.headings) - 1)])
        lines += [[_bold_markdown(text) for text in row] for row in section.rows]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(block.headings))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_markdown_line(line, widths) for line in (lines[0], rule, *lines[1:]))


def _markdown_line(words: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        word.ljust(width) if i == 0 else word.rjust(width)
        for i, (word, width) in enumerate(zip(words, widths, strict=True))
    )
    return "| " + " | ".join([first, *others]) + " |"


def _bold_markdown(text: Text) -> str:
    return f"**{_pipe(text.words)}**" if text.bold else _pipe(text.words)


def _pipe(words: str) -> str:
    """Write words so that they stay in their cell."""
    return _inert(re.sub(r"(\\*)\|", r"\1\1\\|", _flat(words)))


def _inert(text: str) -> str:
    """Write text so that no name in it begins a tag or a link."""
    return re.sub(r"<(?=[A-Za-z/!?])|\](?=\()", r"\\\g<0>", text)


def _flat(words: str) -> str:
    return words.replace("\n", " ")


def _shown(text: str) -> str:
    """Take out of a text what a terminal would obey: control characters but for the ends of lines."""
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", " ", text)


def tex(sheet: Sheet) -> str:
    """Render a sheet as LaTeX for the packages booktabs and amsmath: one ``table`` for each of its tables."""
    opening = [f"% {_flat(line)}" for line in sheet.opening]
    lines = ["% \\usepackage{booktabs,amsmath}", *opening]
    for number, block in enumerate(sheet.blocks):
        last = number == len(sheet.blocks) - 1
        lines += _tex_block(block, notes=(*sheet.opening, *sheet.footnotes) if last else ())
    if not sheet.blocks:
        lines += [f"% {_flat(line)}" for line in sheet.footnotes]
    return _shown("\n".join(lines)) + "\n"


def _tex_block(block: Block, *, notes: Sequence[str]) -> list[str]:
    width = len(block.headings)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(block.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        _tex_line(escape(heading) for heading in block.headings),
    ]
    for section in block.sections:
        lines.append(r"\midrule")
        if section.label is not None:
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape(section.label)}}}}} \\")
        lines += [_tex_line(_bold_tex(text) for text in row) for row in section.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += [r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize"]
        lines += [rf"{escape(note)}\par" for note in notes]
        lines += [r"\end{minipage}"]
    return [*lines, r"\end{table}"]


def _tex_line(words: object) -> str:
    return " & ".join(words) + r" \\"  # type: ignore[arg-type]


def _bold_tex(text: Text) -> str:
    words = escape(text.words)
    return rf"\textbf{{\boldmath {words}}}" if text.bold else words


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": "", "*": r"$\ast$",
    "±": r"$\pm$", "×": r"$\times$", "−": "$-$", "–": "--", "·": r"$\cdot$", "…": r"\dots{}", "≤": r"$\le$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", "√": r"$\surd$", "‖": r"$\Vert$",
    "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "λ": r"$\lambda$", "α": r"$\alpha$", "ε": r"$\epsilon$",
    "θ": r"$\theta$", "|": r"$\vert$", "<": "$<$", ">": "$>$", "₀": "$_0$", "₂": "$_2$", "²": "$^2$",
}  # fmt: skip


def escape(words: str) -> str:
    """Write plain words as LaTeX: special characters escaped, symbols in mathematics."""
    text = "".join(_TEX.get(letter, letter) for letter in _flat(words))
    return re.sub(r"(?<!\\)\$\$", "", text)


RENDERERS: dict[str, Callable[[Sheet], str]] = {"markdown": markdown, "tex": tex}
