"""What the parameters of an extractor stand for: network, store, layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skdnn._extraction import Plan, Source, Work, layers_for, make_plan
from skdnn._images import ImageInputs
from skdnn._layers import LayerInfo
from skdnn._store import ActivationStore
from skdnn.models._registry import fixed_seed


class Setting:
    """From parameters to what does the work; the parameters are the extractor's."""

    _validate_params: Callable[[], None]
    model: Any
    backend: str
    device: str
    weights: Any
    preprocess: Any
    pooling: str
    batch_size: int
    precision: str
    cache: Any
    prefetch: Any
    n_jobs: int | None
    random_state: Any
    verbose: int
    compile: bool
    version: str | None

    def _source(self, seed: int | None = None) -> Source:
        return Source(
            self.model,
            self.backend,
            self.weights,
            self.preprocess,
            fixed_seed(self.random_state) if seed is None else seed,
            self.device,
            self.precision,
            self.compile,
            self.version,
        )

    def _store(self) -> ActivationStore | None:
        if self.cache is None or isinstance(self.cache, ActivationStore):
            return self.cache
        return ActivationStore(self.cache)

    def _prepare(
        self, inputs: ImageInputs, wanted: Any
    ) -> tuple[Source, ActivationStore | None, Plan, Plan]:
        """The network, the store, the layers wanted, and these with those to be kept as well."""
        source, store = self._source(), self._store()
        layers = layers_for(source, inputs, store)
        return source, store, *self._plans(source, wanted, layers)

    def _plans(
        self, source: Source, wanted: Any, layers: Sequence[LayerInfo]
    ) -> tuple[Plan, Plan]:
        """The layers wanted, and these with those to be kept as well."""
        plan = make_plan(wanted, layers, self.pooling, source.spec)
        if self.prefetch is None:
            return plan, plan
        if self.cache is None:
            raise ValueError(
                f"prefetch={self.prefetch!r} needs a cache to keep these layers in: give "
                "cache='a/folder', or prefetch=None."
            )
        more = make_plan(self.prefetch, layers, self.pooling, source.spec)
        return plan, plan.joined(more)

    def _work(self, source: Source, plan: Plan, full_plan: Plan) -> Work:
        return Work(
            source,
            self._store(),
            plan,
            full_plan,
            batch_size=self.batch_size,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
