"""Checkpoints as training scripts leave them, and weights under other names."""

from __future__ import annotations

import argparse
import collections
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torchvision.models import resnet50, squeezenet1_1

from skdnn import DNNFeatureExtractor
from skdnn.models import WeightsFile
from skdnn.models._registry import resolve_model

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(3)
    return squeezenet1_1(weights=None).state_dict()


def behind(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def load(path: Any, name: str = "squeezenet1_1") -> State:
    return resolve_model(name, weights=path).load().state_dict()


def same(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[key], expected[key]) for key in expected
    )


@pytest.fixture
def written(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    def write(content: Any, name: str = "own.pth") -> pathlib.Path:
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        return path

    return write


# --- found without help --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        *(
            lambda s, key=key: {"epoch": 2, key: s}
            for key in ("net", "network", "model_state", "weights", "params", "ema", "model_ema")
        ),
        lambda s: {"ema": {"module": behind("module.", s)}, "params": {"lr": 0.1}},
        lambda s: {"net": {"lr": 0.1}, "weights": s},
        lambda s: {"state_dict": {**behind("model.", s), "criterion.weight": torch.ones(3)}},
        lambda s: {"state_dict": behind("lit.backbone.", s)},
        lambda s: {**behind("module.", s), "n_averaged": torch.tensor(3)},
        lambda s: {
            **behind("module.encoder_q.", s),
            **behind("module.encoder_k.", {k: v + 1 for k, v in s.items()}),
            "module.queue": torch.ones(2, 5),
        },
        lambda s: {**behind("momentum_encoder.", {}), **behind("base_encoder.", s)},
    ],
)
def test_wrappers_and_prefixes(wrap, state, written):
    assert same(load(written(wrap(state), "own.CKPT")), state)


def test_moco_without_its_projection(written):
    network = resnet50(weights=None)
    state = network.state_dict()
    path = written({"state_dict": behind("module.encoder_q.", state)})
    trunk = {key: value for key, value in state.items() if not key.startswith("fc.")}
    assert same(load(path, "mocov2-rn50"), trunk)


def test_two_that_fit_are_not_chosen_between(state, written):
    other = {key: value + 1 for key, value in state.items()}
    path = written({"state_dict": {**behind("student.", state), **behind("teacher.", other)}})
    with pytest.raises(ValueError, match=r"2 times.*'student\.', 'teacher\.'.*WeightsFile"):
        load(path)
    assert same(load(WeightsFile(path, keys={"student.": None, "teacher.": ""})), other)


needs_context = pytest.mark.skipif(
    not hasattr(torch.serialization, "safe_globals"), reason="torch before 2.5 names the object"
)


@needs_context
@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1, out=pathlib.Path("runs")),
        collections.defaultdict(list, losses=[0.5]),
        np.arange(3.0),
        np.array(["a", None], dtype=object),
        np.float32(0.5),
        np.random.default_rng(0).bit_generator.state,
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_beside_the_weights(beside, state, written):
    assert same(load(written({"args": beside, "model": state})), state)


@needs_context
def test_weights_in_a_dict_of_another_kind(state, written):
    assert same(load(written(collections.defaultdict(None, model=state))), state)


class Noted:
    """Its building would be seen."""

    built = False

    def __setstate__(self, parts: Any) -> None:
        type(self).built = True

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


def test_unknown_objects_are_named_and_not_built(state, written):
    path = written({"state_dict": state, "config": Noted()})
    with pytest.raises(
        ValueError, match=r"own\.pth' .* an object of \S*test_own_checkpoints"
    ) as e:
        load(path)
    assert not Noted.built
    assert "weights_only" not in str(e.value)
    assert "\x1b" not in str(e.value)


# --- what is no checkpoint -----------------------------------------------------------------------


OTHERS = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer"),
    (b"\n<!DOCTYPE html>\n<html><title>Sign in", "a web page"),
    (b"<?xml version='1.0'?><Error>AccessDenied", "a web page"),
]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *OTHERS,
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "begins with b'.x89HDF"),
        (b"not weights at all", "begins with b'not weig'"),
    ],
)
def test_other_files_are_named_as_what_they_are(content, reason, written):
    with pytest.raises(ValueError, match=reason) as error:
        load(written(content))
    assert "weights_only" not in str(error.value)


def test_the_same_for_keras(written):
    pytest.importorskip("tensorflow")
    for content, reason in OTHERS:
        with pytest.raises(ValueError, match=reason):
            resolve_model("MobileNet", weights=written(content, "own.h5")).load()


def test_torchscript(written, tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 3), torch.ones(1, 2)), tmp_path / "own.pt")
    with pytest.raises(ValueError, match="TorchScript archive, which holds code"):
        load(tmp_path / "own.pt")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"epoch": 3, "optimizer": {}}, r"'epoch' \(int\), 'optimizer' \(dict\)"),
        pytest.param(
            {"a": np.ones(2), "b": np.ones(3)}, r"'a' \(numpy array\)", marks=needs_context
        ),
    ],
)
def test_what_was_found_is_told(content, found, written):
    with pytest.raises(ValueError, match=f"holds no state dict.*{found}"):
        load(written(content))


def test_a_state_dict_is_no_path(state):
    with pytest.raises(TypeError, match=r"got OrderedDict.*A state dict goes into a network") as e:
        resolve_model("squeezenet1_1", weights=state)
    assert len(str(e.value)) < 500


# --- other names ---------------------------------------------------------------------------------


def test_the_same_shapes_in_the_same_order_are_said_and_never_taken_silently(state, written):
    path = written({f"layer{n}": value for n, value in enumerate(state.values())})
    with pytest.raises(ValueError, match=rf"{len(state)} tensors have the same shapes.*by_order"):
        load(path)
    assert same(load(WeightsFile(path, by_order=True)), state)


def test_by_order_refuses_other_shapes(state, written):
    turned = dict(reversed(list(state.items())))
    path = written({f"layer{n}": value for n, value in enumerate(turned.values())})
    with pytest.raises(ValueError, match="another architecture"):
        load(WeightsFile(path, by_order=True))


def test_counters_of_batch_norms_may_be_missing_in_the_order(written):
    state = resnet50(weights=None).state_dict()
    kept = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
    path = written({str(n): value for n, value in enumerate(kept)})
    assert same(load(WeightsFile(path, by_order=True), "resnet50"), state)


def test_another_head_is_said(written):
    path = written(resnet50(weights=None, num_classes=7).state_dict())
    with pytest.raises(ValueError, match="Only the head, fc, differs"):
        load(path, "resnet50")


@pytest.mark.parametrize(
    "keys",
    [
        {"x.first.": "features.0.", "x.": "", "extra": None},
        lambda name: {"extra": None}.get(
            name, name.replace("x.first.", "features.0.").removeprefix("x.")
        ),
    ],
)
def test_a_map_of_names(keys, state, written):
    changed = {f"x.{k}".replace("x.features.0.", "x.first."): v for k, v in state.items()}
    path = written({**changed, "extra": torch.ones(2)})
    assert same(load(WeightsFile(path, keys=keys)), state)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"featurs.0.weight": "x"}, r"the file has no 'featurs\.0\.weight'. Nearest: .*features"),
        (lambda name: "one", "a name of its own; got 'one'"),
        (lambda name: 3, "a name of its own; got 3"),
    ],
)
def test_maps_that_do_not_fit(keys, reason, state, written):
    with pytest.raises(ValueError, match=reason):
        load(WeightsFile(written(state), keys=keys))


def test_an_entry_by_its_name(state, written):
    other = {key: value + 1 for key, value in state.items()}
    path = written({"model": state, "averaged": {"state_dict": other}})
    assert same(load(path), state)
    assert same(load(WeightsFile(path, entry="averaged")), other)
    with pytest.raises(ValueError, match=r"no such entry in the file\. There are: 'averaged'"):
        load(WeightsFile(path, entry="averagd"))


def test_as_a_parameter(state, written):
    path = written(behind("a.", state))
    given = WeightsFile(path, keys={"a.": ""})
    extractor = DNNFeatureExtractor("squeezenet1_1", "features.2", weights=given)
    assert clone(extractor).weights == given
    assert pickle.loads(pickle.dumps(given)) == given
    assert given != WeightsFile(path)
    assert repr(given) == f"WeightsFile({str(path)!r}, keys={{'a.': ''}})"
    with pytest.raises(TypeError, match="path must be the path of a file, got int"):
        WeightsFile(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="keys must be a dict or a function, got int"):
        WeightsFile(path, keys=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no such file"):
        resolve_model("squeezenet1_1", weights=WeightsFile("default"))


def test_the_key_of_a_cache_is_what_the_names_become(state, written, tmp_path):
    path = written(state)
    plain = resolve_model("squeezenet1_1", weights=path).fingerprint()

    def of(**options: Any) -> str:
        return resolve_model("squeezenet1_1", weights=WeightsFile(path, **options)).fingerprint()

    def swap(name: str) -> str:
        first, second = "features.3.expand1x1.bias", "features.3.expand3x3.bias"
        return {first: second, second: first}.get(name, name)

    assert of() == plain
    assert of(keys=swap) == of(keys=lambda name: swap(name))  # what it gives, not how
    different = [plain, of(keys=swap), of(by_order=True), of(keys={"features.3.": "features.4."})]
    assert len(set(different)) == 4


def test_not_for_keras(written):
    pytest.importorskip("tensorflow")
    with pytest.raises(TypeError, match="files for torch only"):
        resolve_model("MobileNet", weights=WeightsFile(written({}, "own.h5")))
