"""Vision models of Hugging Face: from a repository of the hub, or a folder of one's own."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skdnn._file_digests import digest_of, file_digest
from skdnn._identity._provenance import platform_identity
from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.models._hugging_face_processors import local_folder, processor_in
from skdnn.models._model_spec import Checkpoint, ModelSpec
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._weights_choice import Weights, other_weights

PREFIX = "hf/"
_PURPOSE = "for networks of Hugging Face"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in parts: with an index beside
_DESCRIBED = ("config.json", "preprocessor_config.json", "processor_config.json")
_NO_SETTINGS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def names() -> list[str]:
    """None: the hub has too many to list."""
    return []


def is_here(name: str) -> bool:
    """Nobody asks, as there are no names."""
    return False


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a network of Hugging Face; of its files only the settings are read.

    Parameters
    ----------
    name : str
        A repository of the hub (``"facebook/dinov2-base"``) or a folder.
    weights : "default", path or None
        Those of the repository, a file (a state dict of the network), or random ones.
    seed : int
    preprocess : "default", dict or callable
        ``"default"`` is what the processor of the repository does.

    Raises
    ------
    ImportError
        If transformers is not installed.
    OSError
        If the repository's settings are not on this machine and can't be downloaded.
    ValueError
        If it is no vision model, or there is no processor.
    """
    import_optional("torchvision", _PURPOSE)  # torch's parts before any tensorflow
    import_optional("transformers", _PURPOSE)
    repo = Repository(name)
    is_default = isinstance(weights, str) and weights == "default"
    chosen = (
        repo.weights()
        if is_default
        else other_weights(weights, PREFIX + name, seed, "transformers", ["default"])
    )
    build = Builder(repo)
    version = platform_identity("transformers")["transformers"]
    more: dict[str, Any] = {"load": build.from_files} if is_default else {}
    return chosen.spec(
        PREFIX + name,
        build.from_settings,
        seed,
        preprocess=_preparation(repo, preprocess),
        forward=build.forward,
        key=("hf", name, digest_of(repo.settings), *chosen.key),
        identify=lambda _: [PREFIX, repo.settings, version, *chosen.identify()],
        packages=("transformers",),
        **more,
    )


def _preparation(repo: Repository, preprocess: Any) -> Any:
    if not (isinstance(preprocess, str) and preprocess == "default"):
        return as_preprocessing(preprocess, Preprocessing())
    found = processor_in(repo.folder)
    if found is None:
        raise ValueError(
            f"{repo.told} has no preprocessor_config.json in {repo.folder}: say "
            "how images are prepared, e.g. preprocess={'resize': 256, 'crop': 224}."
        )
    return found


class Repository:
    """Files of a network: in a folder, or in the hub's cache on this machine.

    Nothing is asked for over the network where the files are there.

    Parameters
    ----------
    name : str
        A folder, or ``"owner/name"``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def folder(self) -> Path:
        """Where its files are; its settings are downloaded where need be."""
        found = local_folder(self.name)
        if found is None:
            found = self._download(_DESCRIBED[0]).parent
            for file in _DESCRIBED[1:]:
                with suppress(OSError):  # one of the two is enough
                    self._download(file, found.name)
        return found

    @property
    def told(self) -> str:
        """How messages call it."""
        return f"model={PREFIX + self.name!r}"

    @property
    def is_folder(self) -> bool:
        return Path(self.name).expanduser().is_dir()

    def _download(self, file: str, revision: str | None = None) -> Path:
        """A file of the repository, through the hub's own client."""
        hub = import_optional("huggingface_hub", _PURPOSE)
        if self.is_folder or self.name.startswith(("/", ".", "~")) or self.name.count("/") > 1:
            raise OSError(
                f"{self.told}: there is no {file} in the folder {self.name}. "
                "network.save_pretrained(folder) and processor.save_pretrained(folder) write "
                "what is needed."
            )
        try:
            return Path(hub.hf_hub_download(self.name, file, revision=revision))
        except Exception as error:  # the hub, its client and the network have many
            first = str(error).strip().partition("\n")[0]
            raise OSError(
                f"{self.told}: {file} of https://huggingface.co/{self.name} is "
                f"not on this machine and can't be downloaded ({first}). Run 'hf download "
                f"{self.name}' on a machine with a network, and copy its folder here: "
                f"model='hf/path/of/the/folder'; or the cache (HF_HOME, ~/.cache/huggingface)."
            ) from error

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What is in ``config.json``, but for names, versions and precision."""
        held = json.loads((self.folder / _DESCRIBED[0]).read_text(encoding="utf-8"))
        if not isinstance(held, dict) or "model_type" not in held:
            raise ValueError(
                f"{self.told}: {self.folder / _DESCRIBED[0]} is no configuration "
                "of a network of transformers: it names no model_type."
            )
        return {key: value for key, value in held.items() if key not in _NO_SETTINGS}

    def files(self, download: bool = True) -> list[Path]:
        """Its files of weights, in parts or whole; fewer where some are not here."""
        for name in _WEIGHTS:
            if (self.folder / name).is_file():
                return [self.folder / name]
            index = self.folder / f"{name}.index.json"
            if index.is_file():
                parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
                missing = [part for part in parts if not (self.folder / part).is_file()]
                for part in missing if download else ():
                    self._download(part, self.folder.name)
                return [self.folder / part for part in parts if part not in missing or download]
        return self._fetched() if download else []

    def _fetched(self) -> list[Path]:
        """Of the same revision as the settings."""
        for file in (_WEIGHTS[0], f"{_WEIGHTS[0]}.index.json", _WEIGHTS[1]):
            try:
                self._download(file, self.folder.name)
                return self.files()
            except OSError as error:  # there may be another one; without a network none
                if not type(error.__cause__).__name__.endswith("EntryNotFoundError"):
                    raise
                if "Local" in type(error.__cause__).__name__:
                    raise
        raise OSError(
            f"{self.told}: https://huggingface.co/{self.name} has no weights for "
            f"torch ({', '.join(_WEIGHTS)})."
        )

    def path(self) -> Path:
        """The first of its files of weights; all are downloaded where need be."""
        return self.files()[0]

    def checkpoint(self) -> Checkpoint:
        """What is known of its weights; nothing is downloaded."""
        address = None if self.is_folder else f"https://huggingface.co/{self.name}"
        files = self.files(download=False)
        return Checkpoint(address, file_digest(files[0]) if len(files) == 1 else None)

    def weights(self) -> Weights:
        """Told apart by what is in the files, whatever the repository is called."""
        stats = [(file, file.stat()) for file in self.files(download=False)]
        revision = self.folder.name[:12] if self.folder.parent.name == "snapshots" else "default"
        return Weights(
            str(self.folder) if self.is_folder else revision,
            tuple((str(file), stat.st_mtime_ns, stat.st_size) for file, stat in stats),
            lambda: ["sha256", *map(file_digest, self.files())],
            self,
            "file" if self.is_folder else "published",
        )


@dataclass(frozen=True)
class Builder:
    """The part of a network that sees images, as transformers builds it."""

    repo: Repository

    def _class(self) -> tuple[Any, Any]:
        """Class and configuration; of networks for images and words, those of the images."""
        transformers = import_optional("transformers", _PURPOSE)
        try:
            config = transformers.AutoConfig.from_pretrained(
                str(self.repo.folder), local_files_only=True
            )
            whole = config
            config = getattr(whole, "vision_config", whole)
            if whole.model_type == "clip":
                config.projection_dim = whole.projection_dim
                return transformers.CLIPVisionModelWithProjection, config
            if hasattr(config, "mask_ratio"):
                config.mask_ratio = 0.0  # else a random part of each image is hidden
            return transformers.AutoModel, config
        except (ValueError, KeyError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"{self.repo.told} can't be built by transformers "
                f"{transformers.__version__}: {first}"
            ) from error

    def from_settings(self) -> Any:
        """The network with random weights."""
        import torch

        auto, config = self._class()
        make = auto.from_config if hasattr(auto, "from_config") else auto._from_config
        return self._checked(make(config, dtype=torch.float32, **self._options(config)))

    def from_files(self) -> Any:
        """The network with the weights of its files, all of them from there.

        Raises
        ------
        ValueError
            If the files lack some: they would be random, others in every process.
        """
        torch = import_optional("torch", "to build networks")
        self.repo.path()  # downloaded before anything big is built
        auto, config = self._class()
        network, told = auto.from_pretrained(
            str(self.repo.folder),
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **self._options(config),
        )
        missing = sorted(told["missing_keys"]) + sorted(map(str, told.get("mismatched_keys", ())))
        if missing:
            raise ValueError(
                f"{self.repo.told}: the files of weights lack {len(missing)} of the "
                f"network's ({listed(missing, 3, str)}), which would be random."
            )
        return self._checked(network)

    def _has_pooler(self) -> bool:
        """Whether the weights have a pooler: without, transformers would make up a random one."""
        files = self.repo.files(download=False)
        if not files or any(file.suffix != ".safetensors" for file in files):
            return not files or self.repo.settings.get("architectures", [""])[0].endswith("Model")
        safetensors = import_optional("safetensors", _PURPOSE)
        keys: list[str] = []
        for file in files:
            with safetensors.safe_open(str(file), "pt") as held:
                keys += held.keys()
        return any(".pooler." in f".{key}" for key in keys)

    def _options(self, config: Any) -> dict[str, Any]:
        transformers = import_optional("transformers", _PURPOSE)
        kind = transformers.MODEL_MAPPING.get(type(config), None)
        takes = kind and "add_pooling_layer" in inspect.signature(kind).parameters
        return {"add_pooling_layer": False} if takes and not self._has_pooler() else {}

    def _checked(self, network: Any) -> Any:
        if getattr(network, "main_input_name", "") != "pixel_values":
            raise ValueError(
                f"{self.repo.told} is a {type(network).__name__}, which takes "
                f"{network.main_input_name!r}, not images."
            )
        return network.eval()

    @property
    def forward(self) -> Callable[[Any, Any], Any]:
        """How it is called with a batch of images."""
        return in_order if self.repo.settings["model_type"] == "vit_mae" else with_pixels


def with_pixels(network: Any, batch: Any) -> Any:
    """Call a network of transformers."""
    return network(pixel_values=batch)


def in_order(network: Any, batch: Any) -> Any:
    """Call a masked autoencoder that hides nothing: its patches stay in their order."""
    import torch

    patch = network.config.patch_size
    n_patches = (batch.shape[-2] // patch) * (batch.shape[-1] // patch)
    noise = torch.arange(n_patches, device=batch.device, dtype=torch.float32)
    return network(pixel_values=batch, noise=noise.expand(len(batch), -1))
