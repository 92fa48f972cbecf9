import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxdiff.errors import InputError
from jaxdiff.interop.dit import STEM, read_dit, write_dit
from jaxdiff.nets import DiT
from tests.helpers.nets import randomized

DIFFUSERS = {"num_classes": 5, "shift": 1, "epsilons": (1e-6, 1e-5), "base": 4}
SMALL = {"depth": 2, "width": 16, "heads": 2}
TWO = [
    {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "in_channels": 3, "out_channels": 6},
    {"num_attention_heads": 3, "attention_head_dim": 4, "num_layers": 1, "in_channels": 4, "patch_size": 4},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a small network, written here."""
    net = DiT(**SMALL, **DIFFUSERS)
    params = randomized(net, jnp.zeros((1, 8, 8, 3)), jnp.zeros(1))["params"]
    return write_dit(tmp_path_factory.mktemp("dit"), net, params, 8, 3), net, params


@pytest.mark.system
@pytest.mark.parametrize("scan", [False, True])
def test_what_was_written_is_read_bit_for_bit(folder, scan, tmp_path):
    path, net, params = folder
    back, read = read_dit(path, scan)
    assert back == net.clone(scan=scan)
    write_dit(tmp_path, back, read, 8, 3)
    once, again = (load_file(place / f"{STEM}.safetensors") for place in (path, tmp_path))
    assert once.keys() == again.keys()
    for name in once:
        np.testing.assert_array_equal(once[name], again[name])
    if not scan:
        jax.tree.map(np.testing.assert_array_equal, read, jax.tree.map(np.asarray, params))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("proj_out_1.bias"), "lacks the tensor 'proj_out_1.bias'"),
        (lambda t: t.update(more=np.zeros(2, "f")), r"holds 1 tensor\(s\) that this network has no place for, 'more'"),
        (
            lambda t: t.update(
                {"transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight": np.ones((6, 16), "f")}
            ),
            "'transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight' differs from that of block 0",
        ),
    ],
    ids=["few", "many", "copies"],
)
def test_every_tensor_is_used_and_all_copies_of_the_embedder_are_equal(folder, tmp_path, change, message):
    path, *_ = folder
    tensors = load_file(path / f"{STEM}.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / f"{STEM}.safetensors")
    (tmp_path / "config.json").write_text((path / "config.json").read_text())
    with pytest.raises(InputError, match=message):
        read_dit(tmp_path)


def test_a_folder_of_something_else_and_a_network_that_diffusers_lacks_are_refused(folder, tmp_path):
    _, net, params = folder
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(InputError, match="holds a UNet2DModel, not a DiTTransformer2DModel"):
        read_dit(tmp_path)
    for changes, message in (({"norm": "rms"}, "net.norm=rms: .* has layer"), ({"shift": 0}, "net.shift=0: .* has 1")):
        with pytest.raises(InputError, match=message):
            write_dit(tmp_path, net.clone(**changes), params, 8, 3)


def test_a_configuration_that_lacks_a_field_is_refused_with_its_file(folder, tmp_path):
    config = json.loads((folder[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "num_layers"}))
    with pytest.raises(InputError, match="config.json': no network can be built of these fields: 'num_layers'"):
        read_dit(tmp_path)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", TWO, ids=["2x8", "3x4"])
def test_diffusers_gives_the_same_outputs_and_gradients_and_reads_what_is_written(options, tmp_path):
    """Every tensor perturbed; outputs to 1e-5 of their size, gradients to 1e-4, folders bit for bit.

    At early times: diffusers' frequencies are rounded to float32, which at t = 999 is an angle of 1e-4.
    """
    import torch
    from diffusers import DiTTransformer2DModel

    torch.manual_seed(0)
    theirs = DiTTransformer2DModel(**options, sample_size=8, num_embeds_ada_norm=5).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.05 * torch.randn_like(p))
        for block in theirs.transformer_blocks[1:]:
            block.norm1.emb.load_state_dict(theirs.transformer_blocks[0].norm1.emb.state_dict())
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=True)
    for block in theirs.transformer_blocks[1:]:
        block.norm1.emb = theirs.transformer_blocks[0].norm1.emb  # so that gradients add up, as here
    rng, channels = np.random.default_rng(0), options["in_channels"]
    x, t = rng.normal(size=(3, 8, 8, channels)).astype("f"), np.array([0.0, 3.0, 40.0], "f")
    out = theirs(torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(t), torch.tensor([0, 4, 5])).sample
    probe = rng.normal(size=out.shape).astype("f")
    (out * torch.tensor(probe)).sum().backward()
    expected = out.detach().numpy().transpose(0, 2, 3, 1)

    net, params = read_dit(tmp_path / "theirs")
    label = jnp.array([0, 4, -1])  # the last row of the table is the missing class
    ours = lambda params: net.apply({"params": params}, x, t, {"label": label})
    np.testing.assert_allclose(ours(params), expected, atol=1e-5 * expected.std())

    grads = jax.grad(lambda params: jnp.sum(ours(params) * probe.transpose(0, 2, 3, 1)))(params)
    write_dit(tmp_path / "grads", net, grads, 8, channels)
    there = dict(theirs.named_parameters(remove_duplicate=False))
    rounding = 1e-3 * max(float(p.grad.abs().max()) for p in there.values())  # of what is 0, as a key's bias has
    for name, grad in load_file(tmp_path / "grads" / f"{STEM}.safetensors").items():
        want = there[name].grad
        np.testing.assert_allclose(grad, want, atol=1e-4 * (float(want.std()) + rounding), err_msg=name)

    back = DiTTransformer2DModel.from_pretrained(write_dit(tmp_path / "ours", net, params, 8, channels))
    assert all(torch.equal(a, b) for a, b in zip(theirs.state_dict().values(), back.state_dict().values(), strict=True))
