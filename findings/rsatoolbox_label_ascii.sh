#!/usr/bin/env bash
# Guessed: RDMs of rsatoolbox can be saved whatever their conditions are called.
# True:    a label with a letter outside of ASCII ("Bär") ends `RDMs.save` to HDF5 in a
#          UnicodeEncodeError, after the file has been made; pickles take it.
# Matters: names of stimuli come from file names. RDMs that are handed over through rsatoolbox's
#          files need plain labels; here names are written as UTF-8, and read back alike.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3.11 -m venv v
v/bin/pip install -q --disable-pip-version-check rsatoolbox==0.3.2
v/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from rsatoolbox.rdm import RDMs, load_rdm

names = ["Bär", "Hund", "Katze"]
rdms = RDMs(np.array([[1.0, 2.0, 3.0]]), pattern_descriptors={"name": names})
print("rsatoolbox", version("rsatoolbox"))
print("expected: a file with the labels", names)
try:
    rdms.save("rdms.h5", file_type="hdf5")
except UnicodeEncodeError as error:
    print("seen:", type(error).__name__, error.reason)
else:
    raise SystemExit("seen: it was saved")
rdms.save("rdms.pkl", file_type="pkl")
assert list(load_rdm("rdms.pkl", file_type="pkl").pattern_descriptors["name"]) == names
PY
