"""The documents' code: every fenced `python` block runs, the blocks of a file in one namespace, and a `text` block
right after one is what it prints.

    python -m tests.documents           write what the blocks print into the documents

A line of a `text` block that is `...` stands for any lines.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
ANY = "...\n"


@dataclass(frozen=True)
class Block:
    """Code, the line it starts on, and the place and content of the text that shows its output."""

    code: str
    line: int
    shown: str | None
    span: tuple[int, int]


def documents() -> list[Path]:
    """Every document that has code to run."""
    return [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if "```python" in p.read_text()]


def blocks_of(text: str) -> Iterator[Block]:
    """The Python blocks of a document."""
    fences = list(FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence["language"] != "python":
            continue
        line = text.count("\n", 0, fence.start("body")) + 1
        output = following
        if output is not None and (output["language"] != "text" or text[fence.end() : output.start()].strip()):
            output = None
        shown, span = (output["body"], output.span("body")) if output else (None, (0, 0))
        yield Block(fence["body"], line, shown, span)


def run(path: Path) -> Iterator[tuple[Block, str]]:
    """Run a document's blocks in a temporary directory; gives what each prints. Errors name the document's lines."""
    namespace = {"__name__": path.stem}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for block in blocks_of(path.read_text()):
            printed = io.StringIO()
            code = compile("\n" * (block.line - 1) + block.code, str(path), "exec", dont_inherit=True)
            with redirect_stdout(printed):
                exec(code, namespace)
            yield block, printed.getvalue()


def matches(shown: str, printed: str) -> bool:
    """Whether a text block shows what was printed."""
    pattern = "".join(r"(?:.*\n)*" if line == ANY else re.escape(line) for line in shown.splitlines(keepends=True))
    return re.fullmatch(pattern, printed) is not None


def update(path: Path) -> None:
    """Write what the blocks print into the document, until it is still: what they print may name its lines."""
    while rewritten(path):
        print(f"updated {path.relative_to(ROOT)}")


def rewritten(path: Path) -> bool:
    """Write what the blocks print into the document; whether that changed it."""
    text, pieces, end = path.read_text(), [], 0
    for block, printed in run(path):
        if block.shown is not None and (block.shown == ANY or not matches(block.shown, printed)):
            pieces += [text[end : block.span[0]], printed]
            end = block.span[1]
    if pieces:
        path.write_text("".join([*pieces, text[end:]]))
    return bool(pieces)


if __name__ == "__main__":
    os.environ.setdefault("GRAPHC_CACHE", tempfile.mkdtemp(prefix="graphc-documents-"))
    chosen = [Path(p).resolve() for p in sys.argv[1:]]
    for document in chosen or documents():
        update(document)
