"""What the documents say is true: their code runs and prints what they show, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import ROOT, documents, matches, run

LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#]+)")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))


@pytest.mark.parametrize("document", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_code_runs_and_prints_what_is_shown(document: Path) -> None:
    for block, printed in run(document):
        if block.shown is not None:
            assert matches(block.shown, printed), f"line {block.line} prints\n{printed}\nand shows\n{block.shown}"


@pytest.mark.parametrize("shown, same", [("1 ...", True), ("... 3", True), ("1 3", False), ("1 2 3", True)])
def test_dots_stand_for_any_lines(shown: str, same: bool) -> None:
    assert matches(shown.replace(" ", "\n") + "\n", "1\n2\n3\n") is same


def test_links_lead_to_files() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for link in LINK.finditer(document.read_text()):
            assert (document.parent / link["target"]).exists(), f"{document.name} links to {link['target']}"


def test_the_first_two_shell_blocks_are_the_two_commands() -> None:
    first, second = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[:2]
    assert "samples/digits.py" in first
    assert "pytest" in second
