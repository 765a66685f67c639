"""Networks on people whose faces are sharp, and blurred, on portraits made of the astronaut's."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from p3mlib import io
from p3mlib.models import build_model
from p3mlib.models.network import MattingOutput
from p3mlib.privacy import faces
from p3mlib.results.people import people, people_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One portrait whose face is found, and a wall."""
    folder = tmp_path_factory.mktemp("people")
    photo = np.float32(astronaut()[:320, 60:420] / 255)
    y, x = np.mgrid[:320, :360]
    skin, person = np.hypot(x - 163, y - 110) < 55, (np.abs(x - 163) < 120) & (y > 20)
    for name, image in (("a1", photo), ("a2", np.full_like(photo, 0.5))):
        io.write_image(folder / "image" / f"{name}.jpg", image)
        io.write_image(folder / "skin" / f"{name}.png", skin)
        io.write_image(folder / "person" / f"{name}.png", person)
    return folder


class Fixed(torch.nn.Module):
    """A network that says the same of every image: person to the left of `share` of the width."""

    def __init__(self, share):
        super().__init__()
        network = build_model("p3mnet_resnet34", width=0.0625)
        self.weight, self.share, self.config = torch.nn.Parameter(torch.zeros(1)), share, {}
        self.mean, self.std, self.resizing, self.input_size = network.mean, network.std, None, network.input_size

    def forward(self, image):
        alpha = torch.zeros_like(image[:, :1])
        alpha[..., : round(self.share * alpha.shape[-1])] = 1
        return MattingOutput(alpha, alpha, alpha, ())


def test_people_are_measured_sharp_and_blurred(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "_cnn", lambda *_: ())
    table = people({"all": Fixed(1), "half": Fixed(0.45), "none": Fixed(0)}, folder, progress=False)
    assert len(table) == 9 and set(table.query("faces == 'blurred'")["name"]) == {"a1"}
    sharp = table.query("name == 'a1' and faces == 'sharp'").set_index("weights")
    assert sharp["skin"].tolist() == pytest.approx([1, 0.5, 0], abs=0.1)
    assert sharp["hole"].tolist() == pytest.approx([0, 0.5, 1], abs=0.15)
    assert 0.55 < sharp["IoU"]["all"] < 0.7 and sharp["IoU"]["none"] == 0
    assert np.isnan(table.query("name == 'a2'")["hole"]).all(), "no face, nothing lost of it"
    monkeypatch.setenv("P3M_HOME", str(tmp_path))
    printed = people_table(table, "smoke")
    assert "2 portraits; the face of 1 was found" in printed.notes[0] and "sharp - blurred" in printed.markdown
    assert (tmp_path / "tables/smoke/people.md").read_text() == f"{printed.markdown}\n"
    assert printed.summary["all", "sharp", "hole"][0] == 0


def test_a_folder_without_portraits_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image/n2\*.jpg in it"):
        people({}, tmp_path, "n2")
