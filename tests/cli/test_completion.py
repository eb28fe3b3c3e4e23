"""What Tab offers, asked as a shell asks."""

from __future__ import annotations

import sys

import pytest
import yaml

from harness.cli import main as cli


@pytest.fixture
def tab(monkeypatch, capsys, tmp_path):
    """Return a function that gives what is offered for the last word of a line."""
    monkeypatch.chdir(tmp_path)
    for name, key in (
        ("mugs", "3fa9aaaaaaaaaaaa"),
        ("mugs", "3fb0aaaaaaaaaaaa"),
        ("ducks", "77aaaaaaaaaaaaaa"),
    ):
        folder = tmp_path / "runs" / name / key
        folder.mkdir(parents=True)
        (folder / "images.json").write_text("{}")
        (folder.parent / "records.jsonl").write_text("")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"name": "own"}))
    monkeypatch.setattr(sys, "argv", ["harness"])

    def asked(line: str) -> list[str]:
        monkeypatch.setenv("_HARNESS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        with pytest.raises(SystemExit):
            cli.main()
        return [each.rstrip() for each in capsys.readouterr().out.split()]

    return asked


def test_commands_and_options(tab):
    assert "sweep" in tab("harness sw") and "--dry-run" in tab("harness sweep --dry")


def test_experiments_are_files_here_and_those_of_the_package(tab):
    assert tab("harness sweep few") == ["fewshot"]
    assert "tuning/search" in tab("harness doctor tun") and tab("harness sweep ow") == ["own.yaml"]


def test_what_was_swept(tab):
    assert tab("harness table m") == ["mugs"] and tab("harness report mugs du") == ["ducks"]


def test_keys_of_trials(tab):
    assert tab("harness show 3f") == ["3fa9aaaaaaaaaaaa", "3fb0aaaaaaaaaaaa"]
    assert tab("harness export 7") == ["77aaaaaaaaaaaaaa"]


def test_methods_and_lists(tab):
    assert tab("harness compare mugs --against dreamb") == ["dreambooth", "dreambooth_lora"]
    assert tab("harness list me") == ["methods"]


def test_a_folder_that_is_not_there_offers_nothing(tab):
    assert tab("harness show 3f --runs nowhere").count("3fa9aaaaaaaaaaaa") == 0
    assert tab("harness sweep nowhere/x") == []
