"""The notebook of the documentation runs from its first cell to its last, in an empty folder."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each code cell showed, by media type; its own kernel, folder and cache."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.delenv("HARNESS_RUNS", raising=False)
        nbclient.NotebookClient(
            notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        {kind: data for each in cell.outputs for kind, data in each.get("data", {}).items()} for cell in cells
    ]


def test_numbers_table_and_plot_are_shown(outputs):
    _, frame, table, plot, *_ = outputs
    assert "DreamBooth" in frame["text/html"] and "noise_l2" in frame["text/html"]
    assert table["text/markdown"].count("\n|") >= 5 and "image/png" in plot


def test_a_trial_shows_its_contact_sheet(outputs):
    *_, sheet, picture = outputs
    image = Image.open(io.BytesIO(base64.b64decode(sheet["image/png"])))
    assert image.width > 256 and "image/png" in picture
