#!/usr/bin/env bash
# Guessed: building one network changes nothing of others; a library that trains or loads networks
#          leaves torch's own classes as they were.
# True:    when transformers initialises a network it gives torch.nn.Module itself a method,
#          smart_apply, which every module of the process has from then on, also those that were
#          built before.
# Matters: what tells networks apart in a cache looks at the methods of torch's classes, since one
#          that is replaced changes what is computed. A process that had built any network of
#          transformers found nothing again of what another process had stored.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv v
v/bin/pip install -q --disable-pip-version-check torch==2.14.1 transformers==5.24.0
v/bin/python - <<'PY'
from importlib.metadata import version

from torch import nn
from transformers import ViTConfig, ViTModel

own = nn.Linear(2, 2)  # built before
methods = set(vars(nn.Module))
sizes = {"hidden_size": 16, "intermediate_size": 16, "image_size": 32}
ViTModel(ViTConfig(num_hidden_layers=1, num_attention_heads=2, **sizes))
added = sorted(set(vars(nn.Module)) - methods)
print("torch", version("torch"), "transformers", version("transformers"))
print("expected: torch.nn.Module has the methods that it had; seen: it also has", added)
assert added == ["smart_apply"]
assert hasattr(own, "smart_apply")
PY
