"""Plug-ins: a package in an environment of its own brings a method, a data set and an encoder."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METHOD = (ROOT / "baselines" / "frozen.py").read_text().replace("Frozen", "Mine")
DATASET = """
from harness.datasets.base import DatasetEntry


def opened(spec, cache):
    return "an album"


DATASET = DatasetEntry("album", "photos of mine", opened)
"""
ENCODER = """
from harness.metrics.encoders.base import EncoderEntry


def load(spec, device, revision):
    return spec.model, device, revision


ENCODER = EncoderEntry("dino", load)
"""


def install(site, name, files, points, version="1.0"):
    """Lay a package and its metadata into an environment, as an installer would."""
    (site / name).mkdir(exist_ok=True)
    for file, text in {"__init__.py": "", **files}.items():
        (site / name / file).write_text(text)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[{group}]\n{point}\n" for group, point in points]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def site(tmp_path):
    """The folder of packages of a new environment that also sees those of this one."""
    venv.create(tmp_path / "env", with_pip=False)
    (folder,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    seen = [str(ROOT), *(path for path in sys.path if path.endswith("-packages"))]
    (folder / "these.pth").write_text("\n".join(dict.fromkeys([*seen, sysconfig.get_path("purelib")])))
    files = {"method.py": METHOD, "album.py": DATASET, "eye.py": ENCODER}
    points = [
        ("harness.methods", "mine = my_package.method"),
        ("harness.datasets", "album = my_package.album"),
        ("harness.encoders", "eye = my_package.eye"),
    ]
    install(folder, "my_package", files, points)
    return folder


def run(site, program):
    """Run Python in the environment; what it printed, as lines."""
    python = site.parents[2] / "bin" / "python"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, cwd=site.parents[3])
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


LISTED = """
import sys
sys.argv = ["harness", "list", "{what}"]
from harness.cli.main import main
try:
    main()
finally:
    assert "torch" not in sys.modules
"""
REFUSED = """
from harness import methods
from harness.errors import HarnessError
for name in {names}:
    try:
        print(methods.load(name).title)
    except HarnessError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        ("methods", "mine", "Mine"),
        ("datasets", "album", "photos of mine"),
        ("encoders", "eye", "dino encoder"),
    ],
)
def test_the_lists_say_where_each_comes_from_and_load_no_torch(site, what, name, words):
    lines = run(site, LISTED.format(what=what))
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    assert "my_package 1.0" in line and words in line
    assert sum("built in" in line for line in lines) >= 3


def test_data_sets_and_encoders_of_a_package_are_opened_by_name(site):
    program = """
from harness.datasets.registry import load_dataset
from harness.metrics.encoders.registry import family_of, load_encoder, revision
from harness.specs import EncoderSpec
print(load_dataset("album"))
print(load_encoder(EncoderSpec(model="eye:large"), device="cpu", kind="dino"))
print(family_of(EncoderSpec(model="vit_small_patch14_dinov2.lvd142m")))
"""
    revision = "my_package 1.0:hub:eye:large"
    assert run(site, program) == ["an album", str(("eye:large", "cpu", revision)), "dino"]


FIT_KEY = """
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.sweep.catalog import Installed
from harness.sweep.worklist import _Fingerprinter
from harness.sweep.grid import trials
data = {"name": "x", "methods": ["mine", "frozen"], "subjects": ["mossy-mug"]}
experiment = strict_yaml.check(Experiment, data, source="x.yaml")
catalog = Installed(experiment)
known = _Fingerprinter(experiment, catalog)
print(*(known.keys(trial).fit for trial in trials(experiment, catalog)))
print(catalog.method_source("mine") is not None, catalog.method_source("frozen"))
"""


def test_a_changed_plug_in_is_fitted_again_and_nothing_else_is(site):
    first, sources = run(site, FIT_KEY)
    assert sources == "True None"
    assert run(site, FIT_KEY)[0] == first
    (site / "my_package" / "method.py").write_text(METHOD + "\n")
    changed = run(site, FIT_KEY)[0].split()
    assert changed[0] != first.split()[0] and changed[1] == first.split()[1]


def test_a_name_that_is_taken_twice_is_refused_with_both_sources(site):
    points = [("harness.methods", "mine = other.method\nreal = other.method")]
    install(site, "other", {"method.py": METHOD}, points, "2.1")
    assert run(site, REFUSED.format(names=["mine", "real", "frozen"])) == [
        "'mine' is taken twice: my_package 1.0 (my_package.method) and other 2.1 (other.method); "
        "rename or uninstall one",
        "'real' is taken twice: built in (baselines.real) and other 2.1 (other.method); "
        "rename or uninstall one",
        "Frozen",
    ]


def test_a_plug_in_that_cannot_be_imported_costs_one_line_and_nothing_else(site):
    points = [
        ("harness.methods", "lost = broken.nowhere\nneedy = broken.method\nodd = broken.method:Mine"),
        ("harness.datasets", "heap = broken.data"),
        ("harness.encoders", "blind = broken.data"),
    ]
    needy = METHOD.replace("from dataclasses", "import no_such_package\nfrom dataclasses", 1)
    install(site, "broken", {"method.py": needy, "data.py": "import no_such_package\n"}, points, "0.1")
    lost, needs, odd, *fine = run(site, REFUSED.format(names=["lost", "needy", "odd", "mine", "real"]))
    assert lost == "plug-in 'lost' of broken 0.1: no module 'broken.nowhere' with a source text"
    assert needs.startswith("method 'needy (broken 0.1)': cannot be loaded: ModuleNotFoundError: ")
    assert "its entry point must name a module alone, got 'broken.method:Mine'" in odd
    assert fine == ["Mine", "Real photos"]
    for what, name, other in (("datasets", "heap", "toybox"), ("encoders", "blind", "toybox-clip")):
        lines = run(site, LISTED.format(what=what))
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        column = lines[0].index("what it is")
        folded = " ".join(each[column:].strip() for each in lines)
        assert "of broken 0.1 cannot be imported: ModuleNotFoundError: No module named" in folded
        assert any(line.startswith(f"{other} ") for line in lines), line


HOSTILE = {
    "raises": ("raise RuntimeError('out of\\nsorts')", "RuntimeError: out of sorts"),
    "leaves": ("import sys\nsys.exit('bye')", "it calls sys.exit('bye')"),
    "ends": ("import sys\nsys.exit()", "it calls sys.exit(None)"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("group", ["methods", "datasets", "encoders"])
def test_a_plug_in_that_raises_or_exits_costs_one_line_with_its_file(site, group, what):
    text, said = HOSTILE[what]
    install(site, "hostile", {"module.py": text}, [(f"harness.{group}", "foe = hostile.module")], "0.1")
    python = str(site.parents[2] / "bin" / "python")
    (site.parents[3] / "x.yaml").write_text(USES[group])
    program = "from harness.cli.main import main; import sys; sys.argv = ['harness', *sys.argv[1:]]; main()"
    command = [python, "-c", program, "sweep", "x.yaml", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=site.parents[3])
    assert done.returncode in (1, 2) and done.stdout == ""
    (line,) = done.stderr.splitlines()
    place = "foe (hostile 0.1)" if group == "methods" else site / "hostile" / "module.py"
    assert line.startswith("harness: ") and said in line and f"{place}:" in line


USES = {
    "methods": "methods: [foe]\nsubjects: [mossy-mug]\n",
    "datasets": "dataset: foe\nmethods: [frozen]\nsubjects: [a]\nshots: 1\n",
    "encoders": "encoders: {dino: foe}\nmethods: [frozen]\nsubjects: [mossy-mug]\n",
}


def test_what_a_plug_in_prints_at_import_does_not_get_into_the_result(site):
    loud = "print('look at me')\n"
    points = [
        ("harness.methods", "loud = loud.method"),
        ("harness.datasets", "loud = loud.album"),
        ("harness.encoders", "loud = loud.eye"),
    ]
    files = {
        "method.py": loud + METHOD,
        "album.py": loud + DATASET.replace('"album"', '"loud"'),
        "eye.py": loud + ENCODER,
    }
    install(site, "loud", files, points, "0.1")
    for what in ("methods", "datasets", "encoders"):
        lines = run(site, LISTED.format(what=what))
        assert any(line.startswith("loud ") for line in lines)
        assert not any("look at me" in line for line in lines)
