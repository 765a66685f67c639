"""ONNX: the same outputs in another runtime, at sizes that the export never saw."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from p3mlib.__main__ import main
from p3mlib.models import build_model, save_pretrained


@pytest.mark.parametrize("name", ["p3mnet_resnet34", "p3mnet_swin_t", "p3mnet_vitae_s", "p3mnet_lite0"])
def test_onnx_gives_the_same(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "p3mlib.models.p3mnet.swin_mp.DEPTHS", (1, 2, 1, 1)
    )  # every kind of block, exported in a fraction of the time
    monkeypatch.setattr("p3mlib.models.p3mnet.vitae.DEPTHS", (1, 1, 1, 1))
    monkeypatch.setattr("p3mlib.models.p3mnet.resnet_mp.BLOCKS", (1, 1, 1, 1))
    torch.manual_seed(0)
    model = build_model(name, width=0.0625)
    model.train()(2 * torch.randn(2, 3, 64, 64) + 1)  # batch norms that do something
    save_pretrained(model.eval(), tmp_path / "weights")
    assert main(["export", str(tmp_path / "weights"), "-o", str(tmp_path / "out" / "model.onnx")]) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    for size in ((64, 64), (224, 96), (320, 416)):
        image = torch.randn(1, 3, *size)
        theirs = session.run(["segmentation", "detail", "alpha"], {"image": image.numpy()})
        with torch.inference_mode():
            ours = model(image)
        for one, other in zip(ours[:2], theirs[:2], strict=True):
            assert np.abs(one.numpy() - other).max() < 1e-4
        assert (np.abs(ours.alpha.numpy() - theirs[2]) > 1e-4).mean() < 2e-3  # an argmax may be tied


def test_a_network_without_weights_is_not_exported(tmp_path, capsys):
    assert main(["export", "p3mnet_swin_t", "-o", str(tmp_path / "a.onnx")]) == 1
    assert "p3mnet_swin_t has no weights of its own" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "a.onnx")]) == 1
    assert "model.safetensors: no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_networks_with_a_trimap_and_files_that_do_not_work_are_refused(tmp_path, monkeypatch, capsys):
    save_pretrained(build_model("dim", width=0.0625).eval(), tmp_path / "dim")
    assert main(["export", str(tmp_path / "dim"), "-o", str(tmp_path / "out.onnx")]) == 1
    assert "dim is given a trimap and is not exported" in capsys.readouterr().err

    class Empty:
        def save(self, path):
            """A graph that gives its input at any size."""
            image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, None, None])
            names = ("segmentation", "detail", "alpha")
            ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
            nodes = [onnx.helper.make_node("Identity", ["image"], [name]) for name in names]
            graph = onnx.helper.make_graph(nodes, "nothing", [image], ends)
            onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)

    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: Empty())
    save_pretrained(build_model("modnet", width=0.0625).eval(), tmp_path / "modnet")
    assert main(["export", str(tmp_path / "modnet"), "-o", str(tmp_path / "out.onnx")]) == 1
    assert "of its ONNX file differs at 128 x 224, so it is not written" in capsys.readouterr().err

    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: 1 / 0)
    assert main(["export", str(tmp_path / "modnet"), "-o", str(tmp_path / "out.onnx")]) == 1
    assert "modnet cannot be written as ONNX: division by zero" in capsys.readouterr().err
    assert not list(tmp_path.glob("*onnx*"))
