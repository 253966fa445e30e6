"""Files of weights as torch writes them: read without running code, loaded strictly."""

from __future__ import annotations

import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn._wording import listed

# Where training scripts keep a network's weights, in the order in which they are looked for.
_WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "model_state", "weights"),
    *("params", "module", "model_ema", "ema", "state_dict_ema", "params_ema"),
)
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_TRAINED = ("encoder_q.", "base_encoder.")  # of MoCo, whose other encoder follows this one
_PACKED = 10  # times the size of a file: no weights are packed better
_COUNTER = "num_batches_tracked"  # of batch norms, which old files lack
_SAVE = "Save it with torch.save(network.state_dict(), path)."


# --- what may stand beside the weights -----------------------------------------------------------


class _Aside:
    """Stands for an object that no weights are in; nothing of it is built."""

    def __init__(self, *parts: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Dict:
    """Stands for a kind of dict: what it holds is read as a plain one."""

    def __new__(cls, *parts: Any) -> Any:
        return OrderedDict()


# All classes and functions, beside torch's own, that a file may name, by their modules.
_HARMLESS = {
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "datetime": "datetime timedelta",
    "pathlib pathlib._local": "PosixPath WindowsPath PurePosixPath PureWindowsPath",
    "builtins __builtin__": "int float str bool list dict set range slice",
    "_codecs": "encode",
    "numpy": "ndarray dtype",
    "numpy.core.multiarray numpy._core.multiarray": "_reconstruct scalar",
    "numpy.dtypes": "BoolDType Float16DType Float32DType Float64DType Int8DType Int16DType "
    "Int32DType Int64DType UInt8DType ObjectDType StrDType",
    "collections": "defaultdict",
    "pytorch_lightning.utilities.parsing lightning_fabric.utilities.data "
    "lightning.fabric.utilities.data": "AttributeDict",
}
_SHOWN = {"_reconstruct": "numpy array", "scalar": "numpy number"}


def _harmless() -> Any:
    """A context in which torch reads the objects above; before torch 2.5 there is none."""
    serialization = import_optional("torch", "to read weights").serialization
    if not hasattr(serialization, "safe_globals"):
        return nullcontext()
    kinds = {"defaultdict": _Dict, "AttributeDict": _Dict}
    stand_ins = [
        type(name, (kinds.get(name, _Aside),), {"__module__": module})
        for modules, names in _HARMLESS.items()
        for module in modules.split()
        for name in names.split()
    ]
    return serialization.safe_globals(stand_ins)


# --- reading -------------------------------------------------------------------------------------


def load_state_dict(path: Path, unwrap: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """Read a state dict, or say why a file holds none; nothing that a pickle could run is run.

    `unwrap` takes it out of what the file holds; None looks into the usual wrappers.
    """
    content = read_checkpoint(path)
    try:
        why = _no_state_dict(state := (unwrap or unwrapped)(content))
    except RecursionError:
        why = "holds itself"
    if why:
        raise ValueError(f"weights={str(path)!r} {why}. {_SAVE}")
    return without_prefixes(state)


def _no_state_dict(state: Any) -> str:
    """Why this is no dict of tensors under names; "" if it is one."""
    import torch

    none = "holds no state dict (a dict of tensors)"
    if not isinstance(state, dict):
        return f"{none}: it is a {type(state).__name__}"
    if not state:
        return f"{none}: it is empty"
    strange = [key for key in state if not isinstance(key, str)]
    if strange:
        return f"calls its tensors {listed(strange, 3)}: these are no names of weights"
    others = {key: type(v).__name__ for key, v in state.items() if not torch.is_tensor(v)}
    others = {key: _SHOWN.get(kind, kind) for key, kind in others.items()}
    if len(others) == len(state) > 1:
        return f"{none}: in it are {listed(others.items(), 3, lambda kv: f'{kv[0]!r} ({kv[1]})')}"
    return "".join(f"{none}: its entry {key!r} is a {others[key]}" for key in list(others)[:1])


def read_checkpoint(path: Path) -> Any:
    """What a file of weights holds; nothing that a pickle could run is run."""
    import torch

    try:
        refuse_other_content(path)
        if path.suffix.lower() == ".safetensors":
            purpose = f"to read {path}"
            return import_optional("safetensors.torch", purpose).load_file(path)
        n_bytes = _refuse_foreign(path)
        with _harmless():
            content = torch.load(path, map_location="cpu", weights_only=True)
        _check_stored(content, n_bytes)
        return content
    except ImportError:
        raise
    except Exception as error:  # each format has errors of its own
        raise ValueError(
            f"weights={str(path)!r} can't be read as a checkpoint of tensors ({reason(error)})."
            f"{'' if type(error) is ValueError else f' {_SAVE}'}"
        ) from error


def _check_stored(content: Any, n_bytes: int, depth: int = 4) -> None:
    """Refuse tensors that are declared larger than what is stored: older torch reads on behind."""
    import torch

    for name, part in content.items() if isinstance(content, dict) and depth else ():
        if isinstance(part, dict):
            _check_stored(part, n_bytes, depth - 1)
        elif torch.is_tensor(part) and part.layout is torch.strided and part.numel():
            steps = zip(part.shape, part.stride(), strict=True)
            last = part.storage_offset() + sum((n - 1) * step for n, step in steps)
            stored = min(part.untyped_storage().nbytes(), n_bytes)
            if part.device.type == "cpu" and (last + 1) * part.element_size() > stored:
                raise ValueError(f"its tensor {name!r} is declared larger than what is stored")


def reason(error: Exception) -> str:
    """What keeps a file from being read, in one sentence; torch advises to run what is in it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    named = re.search(r"(?:GLOBAL|[Uu]nsupported class) ([\w.]+)", text)
    if named:
        return f"it holds an object of {named[1]}, and nothing that a file could run is run"
    told = text.partition("WeightsUnpickler error: ")[2] or text
    first = re.split(r"\n|\. ", told)[0].rstrip(".")
    return first if type(error) is ValueError else f"{type(error).__name__}: {first}"


def refuse_other_content(path: Path) -> None:
    """Refuse, by its name, what often lies under the name of a file of weights, and is none."""
    if not path.is_file():
        raise ValueError("it is no regular file")
    with path.open("rb") as file:
        head = file.read(512).lstrip()
    if not head:
        raise ValueError("it is empty")
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(
            "it is a git-lfs pointer, which only names the file: fetch the file itself with "
            "'git lfs pull'"
        )
    if re.match(rb"<(!doctype html|html|head|body|\?xml)", head, re.IGNORECASE):
        raise ValueError(
            "it is a web page, not the file that the page offers: download it again, by the "
            "page's own link for downloads"
        )


def _refuse_foreign(path: Path) -> int:
    """What torch's readers of pickles would stumble over; else the bytes held, unpacked."""
    size = path.stat().st_size
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            head = file.read(512)
        if not (head.startswith((b"PK", b"\x80")) or head[257:262] == b"ustar"):
            raise ValueError(f"it begins with {head[:8]!r}, as no file does that torch writes")
        return size
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
        code = any(name.endswith("/constants.pkl") for name in archive.namelist())
    if declared > _PACKED * size + 2**20:  # numbers that are not there would fill the memory
        raise ValueError(f"it declares {declared} bytes and has {size}")
    if code:
        raise ValueError(
            "it is a TorchScript archive, which holds code: where you trust it, "
            "torch.jit.load(path) gives the network"
        )
    return declared


# --- names ---------------------------------------------------------------------------------------


def unwrapped(content: Any) -> Any:
    """The state dict inside a training script's dict, however deep; one may hold itself."""
    met: set[int] = set()
    while isinstance(content, dict):
        if id(content) in met:
            raise RecursionError
        met.add(id(content))
        inner = [k for k in _WRAPPERS if isinstance(content.get(k), dict)]
        if not inner:
            break
        content = content[next((k for k in inner if _has_tensors(content[k])), inner[0])]
    return content


def _has_tensors(content: dict[Any, Any], depth: int = 3) -> bool:
    """Whether there are tensors in a dict, or in dicts that it holds."""
    import torch

    return any(
        torch.is_tensor(part)
        or (isinstance(part, dict) and depth and _has_tensors(part, depth - 1))
        for part in content.values()
    )


def without_prefixes(state: dict[str, Any]) -> dict[str, Any]:
    """Keys as the network itself calls them, where all stand behind a wrapper's name."""
    for prefix in _PREFIXES * 2:
        if state and all(str(key).startswith(prefix) for key in state):
            state = {str(key).removeprefix(prefix): value for key, value in state.items()}
    for prefix in _TRAINED:
        found = {k[len(prefix) :]: v for k, v in state.items() if str(k).startswith(prefix)}
        if found:
            return found
    return state


def fitting(state: dict[str, Any], own: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The part of a state dict that a network's keys stand in, behind one name, all of them.

    Lightning calls a network what its module calls it (``"model."``), and `AveragedModel`
    counts beside it; what else such a file holds belongs to the training.
    """
    needed = [key for key in own if not key.endswith(_COUNTER)]
    if not needed or all(key in state for key in needed):
        return state
    ends = f".{needed[0]}"
    prefixes = [key[: 1 - len(ends)] for key in state if key.endswith(ends)]
    whole = [prefix for prefix in prefixes if all(prefix + key in state for key in needed)]
    if len(whole) > 1:
        raise ValueError(
            f"weights={str(path)!r} holds these weights {len(whole)} times, under names that "
            f"begin with {listed(whole, 3)}. Say which are meant: weights=WeightsFile("
            f"path, keys={{{whole[0]!r}: ''{''.join(f', {p!r}: None' for p in whole[1:])}}})."
        )
    for prefix in whole:
        return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    return state


def by_order(state: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tensors under the names of a network's own at the same places; None where they differ.

    Counters of batch norms do not count where only one of the two has them.
    """
    theirs, names = list(state), list(own)
    if len(theirs) != len(names):
        theirs, names = ([k for k in keys if not k.endswith(_COUNTER)] for keys in (theirs, names))
    shapes = [
        [tuple(held[k].shape) for k in keys] for held, keys in ((state, theirs), (own, names))
    ]
    if not names or shapes[0] != shapes[1]:
        return None
    return {name: state[key] for name, key in zip(names, theirs, strict=True)}


# --- loading -------------------------------------------------------------------------------------


def _strange_numbers(tensor: Any, own: Any) -> str:
    """What keeps numbers of a file from standing for a network's own; "" if nothing does."""
    import torch

    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return "no values"
    if tensor.layout is not torch.strided:
        return "sparse"
    if kind.startswith(("q", "float8", "float4")):
        return f"{kind}, without the scale that belongs to it"
    if not (own.is_floating_point() or own.is_complex()):  # counts and places are whole
        same = not tensor.is_complex() and tensor.to(own.dtype).to(tensor.dtype) == tensor
        return "" if torch.is_tensor(same) and bool(same.all()) else kind
    if not (tensor.is_floating_point() or own.is_complex()):
        return kind
    if (torch.isnan(tensor) & ~torch.isnan(own)).any():
        return "NaN among them"
    lost = torch.isfinite(own) & ~torch.isfinite(tensor.to(own.dtype))  # masks hold infinities
    if (lost & torch.isinf(tensor)).any():
        return "infinity among them"
    return f"{kind}, too large for {own.dtype}" if lost.any() else ""


def strict_load(network: Any, state: dict[str, Any], path: Path, name: str) -> None:
    """Load a state dict that must fit exactly; modules may still translate names of old."""
    own = network.state_dict()
    shapes = [
        f"{key}: file {tuple(state[key].shape)}, network {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    missing = [key for key in own if key not in state]
    surplus = [key for key in state if key not in own]
    if not shapes:
        # They would be converted in silence, or make every feature NaN.
        pairs = ((key, _strange_numbers(state[key], own[key])) for key in own if key in state)
        strange = [f"{key} ({what})" for key, what in pairs if what]
        if strange:
            raise ValueError(
                f"weights={str(path)!r} holds numbers that are no weights of this network: "
                f"{listed(strange, 3, str)}."
            )
        try:
            missing, surplus = network.load_state_dict(state, strict=False)
        except (RuntimeError, KeyError) as error:  # what a translation runs into
            shapes = [str(error).splitlines()[-1].strip()]
    if missing or surplus or shapes:
        found = [
            f"{len(items)} {what} ({listed(items, 3, str)})"
            for what, items in (("missing", missing), ("surplus", surplus), ("misshapen", shapes))
            if items
        ]
        raise ValueError(
            f"weights={str(path)!r} does not fit {name}: {'; '.join(found)}. "
            f"{_advice(state, own, [] if missing or surplus else shapes)}"
        )


def _advice(state: dict[str, Any], own: Mapping[str, Any], shapes: Iterable[str]) -> str:
    """Whether the weights may be the right ones under other names, or but for a head."""
    modules = {shape.partition(": file")[0].rpartition(".")[0] for shape in shapes}
    if modules == {list(own)[-1].rpartition(".")[0]}:
        return (
            f"Only the head, {modules.pop()}, differs: build the network with as many outputs as "
            "were trained, load the file into it, and pass that network as the model."
        )
    renamed = by_order(state, own)
    if renamed is None:
        return "It was saved from another architecture."
    theirs = {id(tensor): key for key, tensor in state.items()}
    pairs = (f"{theirs[id(tensor)]} for {key}" for key, tensor in renamed.items())
    return (
        f"Its {len(renamed)} tensors have the same shapes in the same order as the network's, "
        f"under other names ({listed(pairs, 2, str)}). If it is the same architecture, "
        "weights=skdnn.models.WeightsFile(path, by_order=True) takes them by their places."
    )
