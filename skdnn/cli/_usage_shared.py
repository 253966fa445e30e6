"""Options that several commands have."""

from __future__ import annotations

from dataclasses import replace

from skdnn.cli._arguments import Option, group, option

JSON = option("--json", "print JSON instead of a table")
QUIET = option("--quiet", "show no progress")
OVERWRITE = option("--overwrite", "replace files that are there already")
OUTPUT = (OVERWRITE, QUIET, JSON)
ASSUME_ORDER = option(
    "--assume-order",
    "take rows of files that hold no names in the order of the images (natural order: img2 before "
    "img10), or of the file that has names; names are never overruled",
)
IMAGES = option(
    "--images PATH...",
    "a folder of images (folders inside included), or image files; rows come in natural order "
    "(img2 before img10)",
)
LAYERS = option(
    "--layer NAME...",
    "layers by name, 'penultimate', 'output', patterns such as 'features.*' (all inside) or "
    "'features.?' (direct children), or 'all'; without it, at a terminal, skdnn shows the layers "
    "and asks",
)
TWIN = option(
    "--twin [N]",
    "also with random weights of N seeds (1 if N is left out), and the planned comparison of each "
    "layer with its untrained twin",
    0,
    const=1,
)
METRIC = option(
    "--metric NAME",
    "dissimilarity of two patterns: correlation, spearman, cosine, euclidean, sqeuclidean, or any "
    "other of scipy's pdist",
    "correlation",
)
COMPARISON = option(
    "--comparison NAME",
    "similarity of two RDMs: spearman, pearson, kendall, tau-a, rho-a, cosine, corr_cov, "
    "cosine_cov or bures",
    "spearman",
)
JOBS = option("--jobs N", "processes (default: 1)", least=None)
BACKEND = option("--backend {auto,torch,tensorflow}", "where the name is looked for", "auto")
_OWN = "FILE.py:FUNCTION, a function of yours that returns one"
MODEL = option("--model NAME", f"a network by its name; or {_OWN}", files=True)
MODELS = option(
    "--model NAME...",
    f"networks by name, or NAME@WEIGHTS with weights of their own; or {_OWN}",
    files=True,
)
_OF_NETWORKS = (
    option(
        "--weights WEIGHTS",
        "'default' (the best published ones, downloaded once), 'none' (random), a published "
        "version, or a file",
        "default",
        files=True,
    ),
    option("--seed SEED", "of random weights", 0),
    BACKEND,
    option("--device DEVICE", "cpu, cuda, cuda:1, ... (default: a GPU if there is one)", "auto"),
)
A_NETWORK = group("network", MODEL, *_OF_NETWORKS)
NETWORKS = group("network", MODELS, *_OF_NETWORKS)
EXTRACTION = group(
    "extraction",
    option(
        "--pooling {flatten,mean,max,cls,cls+mean}",
        "what becomes of space or tokens: every unit, one value per channel, the class token",
        "flatten",
    ),
    option("--batch-size BATCH_SIZE", "images at once, at most", 32),
    option("--precision {float32,bfloat16,float16}", "arithmetic of the network", "float32"),
    option(
        "--cache FOLDER",
        "a folder that keeps activations for later commands; each image goes through each "
        "network once",
    ),
)
FOLDS = option("--cv K", "folds", 5, least=2)


def needed(given: Option) -> Option:
    """The same, where a command can't do without it."""
    return replace(given, settings={**given.settings, "required": True})


THE_NETWORK = group("network", needed(MODEL), *_OF_NETWORKS)


def out(
    help: str, *, required: bool = False, report: bool = False, value: str = "FILE..."
) -> Option:
    """--out: one file or several; each ending says what is written."""
    help += "; .html: a page that tells all of it; .skdnn.json: its results" if report else ""
    return option(f"--out {value}", help, required=required)
