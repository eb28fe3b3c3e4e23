"""A YAML that was made to do harm: refused in one line, before it costs memory or time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.config import experiment as config
from harness.config import strict_yaml
from harness.errors import ConfigError
from harness.toy.experiment import is_toy

FROZEN = "methods: [frozen]\n"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
)
MERGED = "a: &a {k: x}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 10)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi")
)


def refused(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ").removeprefix(str(path))


def test_a_file_of_100_mb_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.write(FROZEN.encode())
        file.truncate(100 << 20)  # a hole: nothing is on the disk
    for read in (config.load, is_toy):
        with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}: over 4 MB: too large"):
            read(path)


@pytest.mark.parametrize("bomb", [LAUGHS, MERGED])
def test_aliases_that_stand_for_billions_of_values_are_refused_before_they_are_unfolded(tmp_path, bomb):
    assert re.fullmatch(
        r":\d+: not valid YAML: aliases stand for over 1000000 values", refused(tmp_path / "x.yaml", bomb)
    )


def test_an_alias_of_itself_is_refused(tmp_path):
    assert "aliases stand for over" in refused(tmp_path / "x.yaml", FROZEN + "question: &a [*a]\n")


def test_aliases_that_stand_for_little_are_what_they_ever_were(tmp_path):
    text = (
        "methods: [frozen, {name: tuned, params: &p {lr: 0.1}}, {name: tuned, params: {<<: *p, steps: 3}}]\n"
    )
    (tmp_path / "x.yaml").write_text(text)
    assert strict_yaml.read(tmp_path / "x.yaml") == yaml.safe_load(text)


def test_a_file_nested_a_thousand_deep_is_refused(tmp_path):
    deep = "[" * 5000 + "]" * 5000
    assert refused(tmp_path / "x.yaml", f"methods: {deep}\n") == "not valid YAML: nested too deeply"
    with pytest.raises(ConfigError, match="the value is not valid YAML"):
        strict_yaml.amend({}, [f"methods={deep}"])


HOSTILE = {
    "an escape sequence": r"\e[31mred",
    "a bell": r"\a",
    "a line": r"one\ntwo",
    "a return": r"safe\rsorry",
    "a separator of lines": r"one\u2028two",
    "a mark that turns the text": r"\u202egpj.exe",
    "half a character": r"\ud800",
    "nothing": r"\0",
}
PLACES = {
    "methods[0].label": 'methods: [{name: frozen, label: "%s"}]\n',
    "subjects[0]": FROZEN + 'subjects: ["%s"]\n',
    "sampling.prompts[1]": FROZEN + 'sampling: {prompts: ["a {} here", "a {} %s"]}\n',
    "name": FROZEN + 'name: "%s"\n',
    "dataset.name": FROZEN + 'dataset: {name: "%s"}\n',
    "a key": FROZEN + '"%s": 1\n',
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", HOSTILE)
def test_control_characters_are_refused_with_their_place_and_never_shown(tmp_path, place, what):
    said = refused(tmp_path / "x.yaml", PLACES[place] % HOSTILE[what])
    assert said.startswith(f"{place}: must hold no control characters, got '") and said.isprintable()


def test_control_characters_in_a_setting_of_the_command_line_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_text(FROZEN)
    with pytest.raises(ConfigError, match=r"x\.yaml: methods\[0\].label: must hold no control characters"):
        config.load(tmp_path / "x.yaml", [r'methods=[{name: frozen, label: "\e[2J"}]'])


def test_a_question_has_as_many_lines_as_it_wants_and_words_may_be_of_any_script(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        'methods: [{name: frozen, label: "Ελλ 日本 👩‍🔬 | <b>&amp;</b> $x_1$ 100 %"}]\n'
        "question: |\n  One?\n  Two?\n"
    )
    loaded = config.load(path)
    assert loaded.question == "One?\nTwo?\n"
    assert loaded.methods[0].label == "Ελλ 日本 👩‍🔬 | <b>&amp;</b> $x_1$ 100 %"


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/b", "..", ".hidden", "a\\\\b", "C:x", "x\\n", "", "a" * 81]
)
def test_an_experiment_names_no_folder_but_its_own(tmp_path, name):
    (tmp_path / "x.yaml").write_text(FROZEN + f'name: "{name}"\n')
    with pytest.raises(ConfigError, match=r"x\.yaml: name: "):
        config.load(tmp_path / "x.yaml")
